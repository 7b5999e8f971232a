"""What a data folder on Windows must be; pure, so that every rule is tested on any system.

Rule: the text alone decides. Already a look at `\\\\host\\share` would send that host the user's credentials.
"""

import ntpath
import re
from pathlib import PureWindowsPath

from chargehand.errors import InvalidInput

MAX_FOLDER_CHARACTERS = 120
"""Of a data folder: what tasks write below it must fit the 259 characters that most programs still end at."""
_RESERVED = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])(?:\..*)?", re.IGNORECASE
)
_FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f]')


def local_folder(text: str, *, called: str) -> PureWindowsPath:
    """An absolute folder on a drive of this machine. InvalidInput for all that only looks like one.

    `called` names the setting or option in what is told.
    """

    def refused(why: str) -> InvalidInput:
        return InvalidInput(
            f"{called}: {text!r} {why}; give a local folder such as C:\\ProgramData\\Chargehand"
        )

    path = PureWindowsPath(text)
    plain = text.replace("/", "\\")
    if plain.startswith(("\\\\?\\", "\\\\.\\", "\\??\\")):
        raise refused("begins with a device prefix, which many programs cannot use")
    if plain.startswith("\\\\"):
        raise refused("lies on another machine, where SQLite loses locks and rows")
    if not re.fullmatch(r"[A-Za-z]:", path.drive) or path.root != "\\":
        raise refused(
            "does not begin with a drive and a backslash, so it depends on where a program was started"
        )
    parts = path.parts[1:]
    if not parts:
        raise refused("is a whole drive")
    for part in parts:
        if part == ".." or _FORBIDDEN.search(part) or part != part.rstrip(" ."):
            raise refused(f"has a part that Windows reads as another: {part!r}")
        if _RESERVED.fullmatch(part):
            raise refused(f"has the name of a device in it: {part!r}")
    if len(text) > MAX_FOLDER_CHARACTERS:
        raise refused(
            f"is longer than {MAX_FOLDER_CHARACTERS} characters: tasks' files below it would be too deep"
        )
    return PureWindowsPath(ntpath.normpath(text))
