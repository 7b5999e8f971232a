"""Attempts of a model that obeys planted instructions, and a service with secrets that they are made on."""

import asyncio
import base64
import io
import json
import socket
import subprocess
import sys
import zipfile
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from chargehand.cli.connection import running_service
from chargehand.client import AsyncClient
from chargehand.testkit.server import Scripted
from tests.cli.service import Cli, cli_in
from tests.given import eventually

CANARY = "canary-b7e2c1f09d54"
"""The provider's key, others of the service's environment and a stored secret: it may be in no output of any kind."""
STORED = "DESK_TOKEN"
"""The secret that was put over the API."""
FORMS = [
    CANARY.encode(),
    # The part of its base64 that no neighbour changes, wherever it begins.
    *(base64.b64encode(bytes(shift) + CANARY.encode())[4:-4] for shift in range(3)),
]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the attempts take place, so that they can name real things."""

    root: Path
    data: Path
    port: int
    """Something on this machine listens here."""
    pid: int
    """A process of the same user."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the model tries, which control must stop it, and what the tool then says."""

    control: str
    tool: str
    arguments: Callable[[Place], dict[str, Any]]
    said: str


def bash(command: str) -> Callable[[Place], dict[str, Any]]:
    def arguments(place: Place) -> dict[str, Any]:
        filled = command.replace("DATA", str(place.data)).replace("ROOT", str(place.root))
        return {"command": filled.replace("PORT", str(place.port)).replace("PID", str(place.pid))}

    return arguments


def a_cli(folder: Path, models: Scripted, **environment: str) -> Cli:
    """Commands in the environment that the service has."""
    return cli_in(folder).with_environment(
        ANTHROPIC_API_KEY=CANARY,
        DATABASE_PASSWORD=f"another-{CANARY}",
        CHARGEHAND_MODEL="anthropic:claude-test",
        CHARGEHAND_MODEL_URLS=json.dumps({"anthropic": models.url}),
        CHARGEHAND_LOG_LEVEL="debug",
        **environment,
    )


@asynccontextmanager
async def a_service(
    folder: Path, models: Scripted, port: int = 0, **environment: str
) -> AsyncGenerator[AsyncClient]:
    """A service with secrets in its environment, as one in earnest has; all that it logs is kept."""
    cli = a_cli(folder, models, **environment)
    with (folder / "service.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *cli.argv("serve", "--port", str(port)), env=dict(cli.environment), stdout=log, stderr=log
        )

        async def answers() -> bool:
            assert process.returncode is None, (folder / "service.log").read_text("utf-8")
            return running_service(cli.data_dir) is not None

        try:
            await eventually(answers)
            key = (cli.data_dir / "admin.key").read_text("ascii").strip()
            async with AsyncClient(running_service(cli.data_dir) or "", key) as client:
                await client.put_secret(STORED, f"kept-{CANARY}-kept")
                yield client
        finally:
            process.terminate()
            await process.wait()


@contextmanager
def a_place(folder: Path) -> Generator[Place]:
    """Real things that could be read, reached, written or killed."""
    (folder / "secret.txt").write_text(CANARY, encoding="utf-8")
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as victim,
    ):
        yield Place(folder, folder / "data", listener.getsockname()[1], victim.pid)
        assert victim.poll() is None, "a process outside of the sandbox was killed"
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
        victim.communicate(b"\n")
    assert not (folder / "owned").exists()


def while_it_runs(folder: Path) -> dict[str, bytes]:
    """What is gone when the service has ended: command lines, and what the database has not taken over yet."""
    lines = [" ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"])]
    wal = folder / "data" / "chargehand.db-wal"
    assert "serve --port" in " ".join(lines)
    return {"processes": "\n".join(lines).encode(), "wal": wal.read_bytes()}


def look_for_the_canary(folder: Path, shown: dict[str, bytes], task_id: str) -> None:
    """In the database, the workspace, the service's log, the events, the requests and the deliverables."""
    files = [one for one in (folder / "data").rglob("*") if one.is_file() and not one.is_symlink()]
    contents = {str(one.relative_to(folder)): one.read_bytes() for one in [*files, folder / "service.log"]}
    if shown["deliverables"]:
        with zipfile.ZipFile(io.BytesIO(shown["deliverables"])) as archive:
            contents |= {f"delivered {name}": archive.read(name) for name in archive.namelist()}
    contents |= shown
    assert [name for name, content in contents.items() if any(form in content for form in FORMS)] == []
    # That the search would find one: what the task is called stands where it should.
    assert task_id.encode() in contents["events"]
    assert task_id.encode() in contents["service.log"]
    assert any(task_id.encode() in content for name, content in contents.items() if "chargehand.db" in name)
