"""The service under test: the real one, on a data folder of its own; inside this process, or served by another."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from fastapi import FastAPI

from chargehand.app.loop import keep_what_the_start_made
from chargehand.app.service import open_app
from chargehand.serve.http import create_http
from chargehand.settings import Settings
from review.fuzz import agents

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0


def options(folder: Path) -> dict[str, str]:
    """The settings of the service under test, as variables; the caller's own CHARGEHAND_ variables go before them."""
    definitions = folder / "agents"
    definitions.mkdir(exist_ok=True)
    (definitions / "echo.md").write_text(agents.ECHO, encoding="utf-8")
    ours = {
        "CHARGEHAND_DATA_DIR": str(folder / "data"),
        "CHARGEHAND_AGENTS_DIR": str(definitions),
        "CHARGEHAND_FUNCTIONS": f'["echo={agents.__name__}:echo"]',
        "CHARGEHAND_DISK_RESERVE_BYTES": "0",
        "CHARGEHAND_SANDBOX": "none",
        "CHARGEHAND_SHUTDOWN_GRACE_SECONDS": "1",
        "CHARGEHAND_LOG_LEVEL": "error",
    }
    theirs = {name: value for name, value in os.environ.items() if name.startswith("CHARGEHAND_")}
    return {**ours, **theirs, "CHARGEHAND_DATA_DIR": ours["CHARGEHAND_DATA_DIR"]}


@asynccontextmanager
async def opened(folder: Path) -> AsyncGenerator[tuple[FastAPI, str], None]:
    """The application in this process, and its administrator's key."""
    before = dict(os.environ)
    os.environ.update(options(folder))
    try:
        settings = Settings()
    finally:
        os.environ.clear()
        os.environ.update(before)
    async with open_app(settings) as app:
        http = create_http(app.services, settings)
        keep_what_the_start_made()
        yield http, settings.key_file.read_text(encoding="ascii").strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A service in a process of its own."""

    url: str
    port: int
    key: str
    process: asyncio.subprocess.Process
    log: Path

    @property
    def is_alive(self) -> bool:
        return self.process.returncode is None


@asynccontextmanager
async def served(folder: Path, port: int) -> AsyncGenerator[Served, None]:
    """A served process; ended with the block."""
    environment = {**os.environ, **options(folder), "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    # Made-up keys are a good part of what is sent; they are to be looked at.
    environment.setdefault("CHARGEHAND_FAILED_AUTHENTICATIONS_PER_SECOND", "10000")
    url, log = f"http://127.0.0.1:{port}", folder / "serve.log"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "chargehand", "serve", "--port", str(port)),
            env=environment, stdout=file, stderr=file,
        )  # fmt: skip
    try:
        await _answers(url, process, log)
        key = (folder / "data" / "admin.key").read_text(encoding="ascii").strip()
        yield Served(url=url, port=port, key=key, process=process, log=log)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 15)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _answers(url: str, process: asyncio.subprocess.Process, log: Path) -> None:
    async with httpx2.AsyncClient() as client, asyncio.timeout(START_SECONDS):
        while process.returncode is None:
            try:
                if (await client.get(f"{url}/health")).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            await asyncio.sleep(0.1)
    raise ConnectionError(f"the service did not start; its log: {_text_of(log)[-2000:]}")


def _text_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")
