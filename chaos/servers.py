"""Servers of the harness's own: PostgreSQL, Redis and RabbitMQ on free loopback ports, data in a temporary folder.

Rule: the machine's own services are never touched. What is started here is ended here, by its own process id.
"""

import asyncio
import os
import secrets
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from chaos.ports import LOOPBACK, free_port, wait_for_port, wait_until_free

START_SECONDS = 90.0
MOST_STARTS = 30
AGAIN_SECONDS = 0.5
STOP_SECONDS = 20.0
SERVICE_USER = "postgres"
"""Whom PostgreSQL, which refuses to run as root, runs as where the harness is root."""


class ServerMissing(Exception):
    """A server's program is not on this machine; the message says which, and how to get it."""


def binary(name: str, *further: str) -> Path:
    """A program on PATH or in a folder where distributions put it; ServerMissing when there is none."""
    places = [Path(place) for pattern in further for place in sorted(Path("/").glob(pattern), reverse=True)]
    found = next((place / name for place in places if (place / name).is_file()), None)
    on_path = shutil.which(name)
    if found is None and on_path is None:
        raise ServerMissing(f"{name} is not on PATH: install it, or leave it out (--help says how)")
    return found or Path(str(on_path))


def is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


@dataclass(slots=True, eq=False, kw_only=True)
class Server:
    """One server's process; started, killed and started again on the same port and data."""

    name: str
    argv: Sequence[str]
    port: int
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    user: str | None = None
    hard: int = signal.SIGKILL
    """The signal that ends it without any care."""
    soft: int = signal.SIGTERM
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until its port is taken."""
        await self._begin()
        if not await self._answers():
            raise ServerMissing(f"{self.name} does not answer at port {self.port}; its log: {self.log}")

    async def _begin(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,
                user=self.user,
                group=self.user,
                extra_groups=[] if self.user else None,
            )

    async def _answers(self) -> bool:
        """Wait until its port is taken; False when it has ended before, or takes too long."""
        until = time.monotonic() + START_SECONDS
        while self.is_alive and time.monotonic() < until:
            if await wait_for_port(self.port, seconds=0.3):
                return True
        return False

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def kill(self) -> None:
        """End it and all its processes without any care."""
        await self._end(self.hard)

    async def stop(self) -> None:
        """End it as an operator does; then without care."""
        await self._end(self.soft)

    async def again(self) -> None:
        """Start it, several times if need be: the system may still hold what the killed one had."""
        tries = 0
        while not self.is_alive:
            tries += 1
            await self._begin()
            if await self._answers():
                return
            if tries == MOST_STARTS:
                raise ServerMissing(f"{self.name} was started {tries} times in vain; its log: {self.log}")
            await self._end(self.hard)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _end(self, number: int) -> None:
        process = self.process
        if process is None or process.returncode is not None:
            return
        process.send_signal(number)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        # What it left behind is in its own group, which it alone had.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        await wait_until_free(self.port, seconds=STOP_SECONDS)


async def postgresql(folder: Path, data: Path) -> Server:
    """An empty PostgreSQL whose superuser is `postgres`, without a password. `data`: a folder that is not there yet."""
    initdb, program = (
        binary(name, "usr/lib/postgresql/*/bin", "usr/pgsql-*/bin") for name in ("initdb", "postgres")
    )
    port = free_port()
    await asyncio.to_thread(data.mkdir, mode=0o700)
    user = SERVICE_USER if is_root() else None
    if user:
        shutil.chown(data, user, user)
        await asyncio.to_thread(folder.chmod, 0o711)  # a folder that its user may pass through
    made = await asyncio.create_subprocess_exec(
        *(str(initdb), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N", "--locale=C"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        cwd="/",
        user=user,
        group=user,
        extra_groups=[] if user else None,
    )
    _, problem = await made.communicate()
    if made.returncode:
        raise ServerMissing(f"initdb failed: {problem.decode(errors='replace').strip()}")
    options = {
        "listen_addresses": LOOPBACK,
        "unix_socket_directories": "",
        "max_connections": "200",
        "max_wal_size": "128MB",
        "restart_after_crash": "on",
    }
    listed = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    return Server(
        name="postgresql",
        argv=[str(program), "-D", str(data), "-p", str(port), *listed],
        port=port,
        log=folder / "postgresql.log",
        user=user,
        hard=signal.SIGQUIT,
        soft=signal.SIGINT,
    )


async def redis(folder: Path) -> Server:
    """A Redis that keeps nothing on disk."""
    port = free_port()
    options = {"port": str(port), "bind": LOOPBACK, "save": "", "appendonly": "no", "dir": str(folder)}
    listed = [word for name, value in options.items() for word in (f"--{name}", value)]
    return Server(
        name="redis", argv=[str(binary("redis-server")), *listed], port=port, log=folder / "redis.log"
    )


async def rabbitmq(folder: Path) -> tuple[Server, Server]:
    """The port mapper that Erlang's nodes need, and a RabbitMQ; both with everything in a folder of their own."""
    home = folder / "rabbitmq"
    home.mkdir()
    mapper_port, port = free_port(), free_port()
    (home / "rabbitmq.conf").write_text(f"listeners.tcp.1 = {LOOPBACK}:{port}\n", encoding="utf-8")
    (home / "enabled_plugins").write_text("[].\n", encoding="utf-8")
    cookie = home / ".erlang.cookie"
    cookie.write_text(secrets.token_hex(16), encoding="utf-8")
    cookie.chmod(0o400)
    environment = {
        "HOME": str(home),
        "ERL_EPMD_PORT": str(mapper_port),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "RABBITMQ_NODENAME": f"chaos{port}@localhost",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "logs"),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_PID_FILE": str(home / "pid"),
    }
    mapper = Server(
        name="epmd",
        argv=[str(binary("epmd")), "-port", str(mapper_port), "-address", LOOPBACK],
        port=mapper_port,
        log=folder / "epmd.log",
    )
    server = Server(
        name="rabbitmq",
        argv=[str(binary("rabbitmq-server", "usr/lib/rabbitmq/bin"))],
        port=port,
        log=folder / "rabbitmq.log",
        environment=environment,
        soft=signal.SIGKILL,  # its own way down takes longer than the data, which is thrown away, is worth
    )
    return mapper, server
