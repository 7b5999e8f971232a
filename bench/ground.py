"""What the contestants stand on: processes, free ports, databases and brokers of their own, the peers' environment.

Rule: all of it is on the loopback, belongs to this run, and is gone after it. What is missing is said with the reason.
"""

import asyncio
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil
from sqlalchemy import NullPool, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from bench.load import fetch, request
from scripts import installing

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / "peers"
POSTGRESQL_VARIABLE = "CHARGEHAND_TEST_POSTGRESQL_URL"
USUAL_POSTGRESQL = "postgresql://postgres@127.0.0.1:5432/postgres"
START_SECONDS = 60.0
STOP_SECONDS = 20.0


class Missing(Exception):
    """A contestant cannot take part; the message says why and how it could."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a run keeps its files, and where the servers are that it may use."""

    folder: Path
    """Of this run alone; removed at its end."""
    cache: Path
    """Kept from run to run: the peers' environment."""
    variables: Mapping[str, str]

    def postgresql_url(self) -> str:
        url = self.variables.get(POSTGRESQL_VARIABLE) or USUAL_POSTGRESQL
        place = urlsplit(url)
        host, port = place.hostname or "127.0.0.1", place.port or 5432
        try:
            socket.create_connection((host, port), timeout=5).close()
        except OSError as failure:
            raise Missing(
                f"no PostgreSQL answers at {host}:{port}, where {POSTGRESQL_VARIABLE} would have it: {failure}"
            ) from failure
        return url

    def redis_program(self) -> str:
        found = shutil.which("redis-server", path=self.variables.get("PATH"))
        if not found:
            raise Missing("no Redis: the program redis-server is not on PATH")
        return found

    def own_folder(self, name: str) -> Path:
        made = self.folder / f"{name}-{uuid.uuid4().hex[:8]}"
        made.mkdir(parents=True)
        return made


class Program:
    """A process of this run, with all that it starts."""

    def __init__(self, command: Sequence[str], variables: Mapping[str, str], cwd: Path, log: Path) -> None:
        self.log = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(  # noqa: S603 - our own arguments
                command, env=dict(variables), cwd=cwd, stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )

    def tree(self) -> list[psutil.Process]:
        """The process and its descendants, as far as they live."""
        try:
            root = psutil.Process(self._process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def refuse_dead(self) -> None:
        if self._process.poll() is not None:
            raise Missing(f"it ended at its start:\n{self.last_words()}")

    def last_words(self) -> str:
        """The end of what it wrote."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return "\n".join(lines[-12:])

    def kill(self) -> None:
        """SIGKILL for it and all that it started."""
        for process in self.tree():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self._process.wait()

    def stop(self) -> None:
        """Ask it to end; what is still there after a while is killed."""
        family = self.tree()
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        for process in family:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self._process.wait()


class Redis:
    """A Redis of one's own with Debian's defaults (nothing on disk within minutes), to be broken at will."""

    def __init__(self, ground: Ground) -> None:
        self._ground, self._folder = ground, ground.own_folder("redis")
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._program: Program | None = None

    async def start(self) -> None:
        where = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder)]
        command = [self._ground.redis_program(), *where, "--save", "3600 1 300 100 60 10000"]
        self._program = Program(command, os.environ, self._folder, self._folder / "log")
        await until_answered(self.port, self._program, path=None)

    def kill(self) -> None:
        if self._program is not None:
            self._program.kill()


@dataclass(frozen=True, slots=True)
class OwnDatabase:
    """A database on the PostgreSQL that the run may use, dropped at the end."""

    url: str
    _admin_url: str

    @classmethod
    async def make(cls, ground: Ground) -> "OwnDatabase":
        admin = ground.postgresql_url()
        name = f"chargehand_bench_{uuid.uuid4().hex[:12]}"
        await run_sql(admin, f"CREATE DATABASE {name}")
        return cls(urlunsplit(urlsplit(admin)._replace(path=f"/{name}")), admin)

    async def drop(self) -> None:
        await run_sql(self._admin_url, f"DROP DATABASE IF EXISTS {urlsplit(self.url).path[1:]} WITH (FORCE)")


async def run_sql(url: str, *statements: str) -> None:
    """Each in a transaction of its own, on a PostgreSQL."""
    address = make_url(url).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(address, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            for statement in statements:
                await connection.exec_driver_sql(statement)
    finally:
        await engine.dispose()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until_answered(port: int, program: Program, *, path: str | None) -> float:
    """Seconds until the port answers: 200 to a GET of the path, or any connection where there is none."""
    begun = time.perf_counter()
    while time.perf_counter() < begun + START_SECONDS:
        program.refuse_dead()
        try:
            if path is None:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return time.perf_counter() - begun
            if (await fetch(port, request("GET", path)))[0] == 200:
                return time.perf_counter() - begun
        except OSError:
            pass
        await asyncio.sleep(0.005)
    raise Missing(f"nothing answered on port {port} within {START_SECONDS:g} s")


def peers_python(cache: Path) -> Path:
    """The Python of the peers' environment, made from their lock file where it is not there yet."""
    lock = PEERS / "requirements.lock"
    state = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()
    folder = cache / "peers"
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    stamp = folder / "made-from"
    if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == state:
        return python
    installing.say(f"making the peers' environment in {folder}")
    venv.EnvBuilder(with_pip=False, clear=True, symlinks=sys.platform != "win32").create(folder)
    # This environment's pip installs into that one.
    variables = {**os.environ, "PIP_PYTHON": str(python)}
    try:
        installing.install_locked([sys.executable, "-I"], lock, variables)
    except installing.SetupFailed as failure:
        raise Missing(f"the peers' packages could not be installed: {failure}") from failure
    stamp.write_text(state, encoding="utf-8")
    return python
