"""The work of `chargehand doctor`: what the service needs, looked at one by one, with the way out."""

import importlib.util
import os
import platform
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from chargehand import __version__
from chargehand.cli.configured import load_settings
from chargehand.cli.connection import running_service
from chargehand.cli.diagnosis_configured import configured
from chargehand.cli.diagnosis_servers import servers
from chargehand.cli.exits import ExitCode
from chargehand.cli.found import Found, State
from chargehand.cli.lines import one_line, size_text
from chargehand.cli.output import write, write_json
from chargehand.errors import ChargehandError
from chargehand.settings import Settings
from chargehand.store import inspection
from chargehand.tools.sandbox import probe_levels

CREW_MODULES = ("limits", "pygal", "jwt", "pytest", "pytest_cov", "ruff", "secure")
"""What the services that the backend crew writes are built and tested with."""


async def doctor(*, as_json: bool) -> ExitCode:
    """Look at everything, tell it, and exit with 6 when something stands in the way of the service."""
    settings = load_settings()
    found = [_python()]
    for look in (_data_folder, _space):
        found.append(_careful(look, settings))
    found += await servers(settings)
    for look in (_key, _port):
        found.append(_careful(look, settings))
    found += [_ripgrep(), _crew(), *configured(settings), *await _sandbox(settings)]
    if as_json:
        items = [
            {"name": one.name, "state": one.state, "message": one.message, "way_out": one.way_out}
            for one in found
        ]
        write_json({"version": __version__, "checks": items})
    else:
        width = max(len(one.name) for one in found)
        for one in found:
            way_out = f"; {one.way_out}" if one.way_out else ""
            write(f"{one.state:<4}  {one.name:<{width}} {one_line(one.message)}{way_out}")
    return ExitCode.UNAVAILABLE if any(one.state == "fail" for one in found) else ExitCode.OK


def _careful(look: Callable[[Settings], Found], settings: Settings) -> Found:
    try:
        return look(settings)
    except (OSError, ChargehandError) as error:
        name = look.__name__.removeprefix("_").replace("_", " ")
        return Found(name=name, state="fail", message=str(error))


def _python() -> Found:
    return Found(
        name="python",
        state="ok",
        message=f"{platform.python_version()} on {platform.system()} {platform.machine()}, "
        f"SQLite {inspection.sqlite_version()}, Chargehand {__version__}",
    )


def _data_folder(settings: Settings) -> Found:
    folder = settings.data_dir
    existing = _existing(folder)
    name = "data folder"
    if not existing.is_dir():
        return Found(
            name=name,
            state="fail",
            message=f"{existing} is a file",
            way_out="set CHARGEHAND_DATA_DIR to a folder",
        )
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        return Found(
            name=name,
            state="fail",
            message=f"{existing} cannot be written ({error.strerror})",
            way_out="set CHARGEHAND_DATA_DIR to one that can",
        )
    if os.name == "posix" and folder.is_dir() and stat.S_IMODE(folder.stat().st_mode) & 0o077:
        return Found(
            name=name,
            state="warn",
            message=f"{folder} is open to other users",
            way_out=f"chmod 700 {folder}",
        )
    made = "" if folder.is_dir() else " (made at the first start)"
    return Found(name=name, state="ok", message=f"{folder}{made}")


def _space(settings: Settings) -> Found:
    free = shutil.disk_usage(_existing(settings.data_dir)).free
    reserve = settings.disk_reserve_bytes
    state: State = "fail" if free < reserve else "warn" if free < 4 * reserve else "ok"
    return Found(
        name="space",
        state=state,
        message=f"{size_text(free)} free; below {size_text(reserve)} no task is accepted",
        way_out="" if state == "ok" else "free some space",
    )


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder


def _key(settings: Settings) -> Found:
    path = settings.key_file
    if not path.exists():
        return Found(name="key", state="ok", message="none yet; made at the first start")
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        return Found(
            name="key", state="fail", message=f"{path} can be read by others", way_out=f"chmod 600 {path}"
        )
    return Found(name="key", state="ok", message=f"{path}, readable by its owner only")


def _port(settings: Settings) -> Found:
    url = running_service(settings.data_dir)
    if url is not None:
        return Found(name="port", state="ok", message=f"a service on this data folder answers at {url}")
    host, port = settings.host, settings.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as one:
            if sys.platform != "win32":
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((host, port))
    except OSError as error:
        return Found(
            name="port",
            state="fail",
            message=f"{host}:{port} cannot be listened on ({error.strerror})",
            way_out="set CHARGEHAND_PORT to a free one; 0 takes any",
        )
    return Found(name="port", state="ok", message=f"{host}:{port} is free")


def _ripgrep() -> Found:
    # Beside the interpreter first: where the package puts it.
    program = shutil.which("rg", path=str(Path(sys.executable).parent)) or shutil.which("rg")
    if program is None:
        return Found(
            name="ripgrep",
            state="fail",
            message="is missing: Grep and Glob need it",
            way_out="install Chargehand again",
        )
    try:
        done = subprocess.run([program, "--version"], capture_output=True, timeout=20, check=True)  # noqa: S603 - a fixed list
    except (OSError, subprocess.SubprocessError) as error:
        return Found(name="ripgrep", state="fail", message=f"{program} does not run: {error}")
    return Found(name="ripgrep", state="ok", message=done.stdout.decode(errors="replace").partition("\n")[0])


def _crew() -> Found:
    missing = [name for name in CREW_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        return Found(
            name="crew",
            state="warn",
            message=f"the backend crew cannot test what it writes without {', '.join(missing)}",
            way_out='install "chargehand[crew]"',
        )
    return Found(
        name="crew", state="ok", message="everything that the crew's services are tested with is there"
    )


async def _sandbox(settings: Settings) -> list[Found]:
    reports = await probe_levels()
    wanted = settings.sandbox
    confining = [one for one in reports if one.is_available and one.level != "none"]
    used = wanted or (confining[0].level.value if confining else None)
    found: list[Found] = []
    is_weaker = False
    for one in reports:
        is_used = one.level == used
        state: State = "ok"
        if not one.is_available:
            # What is weaker than the level in use is not missed.
            state = "fail" if is_used else "ok" if is_weaker else "warn"
        elif is_used and one.level == "none":
            state = "warn"
        is_weaker = is_weaker or (is_used and one.is_available)
        mark = " (in use)" if is_used else ""
        prefix = "" if one.is_available else "not here: "
        found.append(Found(name=f"sandbox {one.level}", state=state, message=f"{prefix}{one.reason}{mark}"))
    if used is None:
        found.append(
            Found(
                name="sandbox",
                state="fail",
                message="no level can be had here: agents could run no command",
                way_out='install bubblewrap ("chargehand[sandbox]" or your package manager), '
                "or set CHARGEHAND_SANDBOX=none to run agents' commands unconfined",
            )
        )
    return found
