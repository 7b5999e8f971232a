"""Where a command talks to: the service that --server names, the one that holds the data folder, or one of its own.

Rule: whichever it is, the command speaks to it over HTTP with the same client. The administrator's key of the
data folder is sent to this machine only.
"""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from chargehand.cli.configured import load_settings
from chargehand.client import AsyncClient
from chargehand.client.calls import is_loopback, service_url
from chargehand.errors import DataFolderInUse, Unauthorized
from chargehand.settings import Settings
from chargehand.store.folder import read_holder
from chargehand.store.secret_files import read_secret

STARTING_SECONDS = 10.0
"""How long a process that holds the data folder may take until it answers."""
STOPPING_SECONDS = 3.0
"""How long running steps may go on after Ctrl-C; what is cut short is begun anew when the task goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A service that a command may call."""

    client: AsyncClient
    settings: Settings
    is_own: bool
    """It runs in this process and ends with it."""


@asynccontextmanager
async def connect(
    server: str | None, *, engine: bool = False, settings: Settings | None = None
) -> AsyncGenerator[Connection, None]:
    """The service to talk to. `engine`: one of our own carries out tasks, else it only reads and writes rows."""
    settings = settings or load_settings()
    if server:
        async with _client(service_url(server), settings) as client:
            yield Connection(client=client, settings=settings, is_own=False)
        return
    url = running_service(settings.data_dir)
    if url is None:
        try:
            async with _own_service(settings, engine=engine) as client:
                yield Connection(client=client, settings=settings, is_own=True)
            return
        except DataFolderInUse:
            # Its holder may be about to listen, or live where we cannot see its process.
            url = await _announced(settings.data_dir)
            if url is None:
                raise
    async with _client(url, settings) as client:
        yield Connection(client=client, settings=settings, is_own=False)


def _client(url: str, settings: Settings) -> AsyncClient:
    return AsyncClient(url, _key(url, settings), patience_seconds=1.0)


def _key(url: str, settings: Settings) -> str:
    """CHARGEHAND_KEY, else the administrator's key when the service is on this machine."""
    key = os.environ.get("CHARGEHAND_KEY")
    if key:
        return key
    found = read_secret(settings.key_file) if is_loopback(url) else None
    if found is None:
        where = f" and there is none in {settings.key_file}" if is_loopback(url) else ""
        raise Unauthorized(f"no key for {url}: CHARGEHAND_KEY is not set{where}")
    return found.decode("ascii", "replace").strip()


def running_service(folder: Path) -> str | None:
    """The address that the data folder's holder tells, if that process lives.

    A process that began after the text was written only has the number of the one that wrote it.
    """
    holder = read_holder(folder)
    pid, url = holder.get("pid"), holder.get("url")
    if not isinstance(pid, int) or not isinstance(url, str):
        return None
    try:
        written_at = (folder / "lock").stat().st_mtime
        return url if psutil.Process(pid).create_time() <= written_at + 1 else None
    except (psutil.Error, OSError, ValueError, OverflowError):
        return None


async def _announced(folder: Path) -> str | None:
    """The holder's address as soon as it tells one; the folder is known to be held."""
    try:
        async with asyncio.timeout(STARTING_SECONDS):
            while True:
                holder = read_holder(folder)
                url = holder.get("url")
                if isinstance(url, str) or not holder:
                    return url if isinstance(url, str) else None
                # No event tells of another process's file.
                await asyncio.sleep(0.1)
    except TimeoutError:
        return None


@asynccontextmanager
async def _own_service(settings: Settings, *, engine: bool) -> AsyncGenerator[AsyncClient, None]:
    # Only here, because a command that talks to a running service need not load one.
    from chargehand.app.service import listen, open_app  # noqa: PLC0415 - as said above
    from chargehand.telemetry.logs import configure_logging  # noqa: PLC0415 - as said above

    # The terminal belongs to the progress; what goes wrong with a task is told there.
    level = settings.log_level if "log_level" in settings.model_fields_set else "error"
    configure_logging(level, settings.log_format)
    own = settings.model_copy(
        update={"host": "127.0.0.1", "port": 0, "shutdown_grace_seconds": STOPPING_SECONDS}
    )
    async with open_app(own, with_engine=engine) as app:
        stopping, url = asyncio.Event(), asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(listen(app, stopping, on_listening=url.set_result))
        try:
            await asyncio.wait((serving, url), return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
            async with _client(url.result(), own) as client:
                yield client
        finally:
            stopping.set()
            await serving
