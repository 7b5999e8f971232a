"""The way to pywin32: loaded when first used, on Windows only, and with the way out when it is not there.

Untried on Windows: everything beside this room that decides something is tested on other systems, against stand-ins.
"""

import importlib
import sys
from types import ModuleType

from chargehand.errors import Conflict, Forbidden, InvalidInput, NotFound, RuntimeMissing, Unavailable

PLATFORM = sys.platform


_ELSEWHERE = {
    "darwin": "on macOS keep `chargehand serve` running by launchd: docs/operate/install.md has the file",
    "linux": "on Linux systemd does this: packaging/systemd has the units, docs/operate/install.md says how",
}


def require_windows() -> None:
    """InvalidInput elsewhere, with what does the same there."""
    if PLATFORM != "win32":
        way = _ELSEWHERE.get(PLATFORM, "let this system's own supervisor keep `chargehand serve` running")
        raise InvalidInput(f"`chargehand service` is for Windows; {way}")


def win32(name: str) -> ModuleType:
    """A module of pywin32, such as `win32service`."""
    require_windows()
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RuntimeMissing(
            f"the Windows service needs pywin32 ({name}): `pip install chargehand[windows]`"
        ) from error


def told(error: Exception, name: str) -> Exception:
    """What an error of pywin32 means for whoever keeps the service `name`; another's is given back as it is."""
    code: object = getattr(error, "winerror", None)
    if not isinstance(code, int):
        return error
    match code:
        case 5:
            return Forbidden("Windows refused: open the terminal with `Run as administrator` and try again")
        case 1060:
            return NotFound(f"there is no service {name!r}; `chargehand service install` makes it")
        case 1056:
            return Conflict(f"the service {name!r} runs already; `chargehand service restart` starts it anew")
        case 1062:
            return Conflict(f"the service {name!r} does not run; `chargehand service start` starts it")
        case 1072 | 1073:
            return Conflict(
                f"there is a service {name!r} already, or one that is about to go; close the window of services,"
                " `chargehand service uninstall` it, or choose another --name"
            )
        case _:
            text: object = getattr(error, "strerror", None)
            return Unavailable(f"Windows says of the service {name!r}: {text or error} (error {code})")
