"""What an agent's path means: parts below the workspace, or a refusal that says what to write instead.

Rule: the same on every platform and decided on the text alone; that an opened file really lies inside is
checked again, on descriptors, when it is opened.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from chargehand.errors import PathRefused

MOUNT_POINT = "/workspace"
"""Where the workspace stands inside a sandbox; agents written for other hosts begin their paths with it."""

SERVICE_FOLDER = ".chargehand"
"""The service's own folder in a workspace: agents read it, file tools never write it."""

TEMPORARY_PREFIX = ".chargehand-tmp-"
"""Begins the name of a file that is being written; a worker that died may leave one behind."""

MAX_PATH_BYTES = 4096
MAX_PART_BYTES = 255
MAX_PARTS = 64
"""Deeper paths are refused: walking one holds a descriptor per part."""

MAX_SHOWN_CHARACTERS = 200

_SEPARATORS = re.compile(r"[/\\]")
_DRIVE = re.compile(r"[A-Za-z]:")
_SHORT_NAME = re.compile(r"~[0-9]+(\.|$)")
_FORBIDDEN_CHARACTERS = frozenset('<>:"|?*')
_RESERVED_STEMS = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{device}{digit}" for device in ("com", "lpt") for digit in "0123456789¹²³"}
)
_PROTECTED = frozenset({SERVICE_FOLDER, ".git"})


@dataclass(frozen=True, slots=True)
class LogicalPath:
    """A path below the workspace, in checked parts. No parts: the workspace itself."""

    parts: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "/".join(self.parts) or "."

    @property
    def name(self) -> str:
        """The last part; empty for the workspace itself."""
        return self.parts[-1] if self.parts else ""

    @property
    def parent(self) -> "LogicalPath":
        return LogicalPath(self.parts[:-1])

    def child(self, name: str) -> "LogicalPath":
        """A name that a listing gave, as it is: a file on disk may have a name that no agent may write."""
        return LogicalPath((*self.parts, name))


def parse_path(text: str, *, roots: Iterable[str] = (MOUNT_POINT,)) -> LogicalPath:
    """The logical path that `text` names; `roots` are the absolute paths at which the workspace is known.

    Raises `PathRefused`. Separators are `/` and `\\`; empty parts and `.` fall away.
    """
    _check_text(text)
    rest = _below_a_root(text, roots)
    if rest is None:
        _check_relative(text)
        rest = _SEPARATORS.split(text)
    parts = tuple(part for part in rest if part not in {"", "."})
    if len(parts) > MAX_PARTS:
        raise PathRefused(f"{shown(text)} is {len(parts)} folders deep; at most {MAX_PARTS} are taken")
    for part in parts:
        _check_part(part, text)
    return LogicalPath(parts)


def parse_pattern(text: str, *, roots: Iterable[str] = (MOUNT_POINT,)) -> tuple[str, ...]:
    """The parts of a glob pattern, made relative like a path. `PathRefused` for one that looks outside."""
    _check_text(text)
    rest = _below_a_root(text, roots)
    if rest is None:
        _check_relative(text)
        rest = _SEPARATORS.split(text)
    parts = tuple(part for part in rest if part not in {"", "."})
    if ".." in parts:
        raise PathRefused(f"{shown(text)} is refused: '..' is not followed; begin at the workspace's top")
    return parts


def check_writable(path: LogicalPath) -> None:
    """Refuse what file tools may not write: the service's folder, git's own files, files in the making."""
    if not path.parts:
        raise PathRefused(
            "the workspace folder itself cannot be written; name a file in it, such as 'README.md'"
        )
    for part in path.parts:
        if policy_key(part) in _PROTECTED or policy_key(part).startswith(TEMPORARY_PREFIX):
            raise PathRefused(f"{shown(path)} cannot be written: {shown(part)} is kept for {_owner(part)}")


def policy_key(name: str) -> str:
    """The form in which names are compared for policy: `.Git` is `.git` on a disk that folds case.

    Invisible format characters fall away too: some file systems ignore them.
    """
    visible = "".join(character for character in name if unicodedata.category(character) != "Cf")
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", visible).casefold())


def shown(path: LogicalPath | str) -> str:
    """A path as messages show it: quoted, escaped where it does not print, never longer than a line."""
    text = str(path)
    cut = text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}…"
    return repr(cut) if cut.isprintable() else ascii(cut)


def listed(path: LogicalPath) -> str:
    """A path as listings and details give it: as it is where it prints, else escaped."""
    text = str(path)
    return text if text.isprintable() else ascii(text)[1:-1]


def is_temporary(name: str) -> bool:
    """Whether a name on disk is that of a file in the making, which no listing shows."""
    return name.startswith(TEMPORARY_PREFIX)


def _check_text(text: str) -> None:
    if not text:
        raise PathRefused("the path is empty; '.' is the workspace itself")
    if "\x00" in text:
        raise PathRefused(f"{shown(text)} holds the character NUL; remove it")
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError:
        raise PathRefused(f"{shown(text)} holds a lone surrogate, which no file name can have") from None
    if size_bytes > MAX_PATH_BYTES:
        raise PathRefused(
            f"the path {shown(text)} has {size_bytes} bytes; at most {MAX_PATH_BYTES} are taken"
        )


def _below_a_root(text: str, roots: Iterable[str]) -> list[str] | None:
    """The parts below the root that `text` begins with, compared by parts: no sibling is taken for it."""
    parts = _SEPARATORS.split(text)
    for root in roots:
        root_parts = _SEPARATORS.split(root.rstrip("/\\"))
        if root_parts == [""]:
            continue  # A workspace at the top of a disk would make every absolute path its own.
        count = len(root_parts)
        folds_case = bool(_DRIVE.match(root))
        head = parts[:count]
        if head == root_parts or (
            folds_case and [p.casefold() for p in head] == [p.casefold() for p in root_parts]
        ):
            return parts[count:]
    return None


def _check_relative(text: str) -> None:
    instead = (
        f"use a path relative to the workspace, such as 'src/app.py', or one that begins with {MOUNT_POINT}/"
    )
    if text[:1] in {"/", "\\"}:
        kind = "a network or device path" if text[1:2] in {"/", "\\", "?"} else "an absolute path"
        raise PathRefused(f"{shown(text)} is {kind} outside the workspace; {instead}")
    if _DRIVE.match(text):
        raise PathRefused(f"{shown(text)} names a drive; {instead}")
    if _SEPARATORS.split(text)[0] == "~":
        raise PathRefused(f"{shown(text)} names a home folder, which tools do not have; {instead}")


def _check_part(part: str, text: str) -> None:
    problem = _problem_of(part)
    if problem:
        raise PathRefused(f"{shown(text)} is refused: {problem}")


def _problem_of(part: str) -> str:
    if part == "..":
        return "'..' is not followed; give the path from the workspace's top instead"
    if len(part.encode()) > MAX_PART_BYTES:
        return f"{shown(part)} is longer than {MAX_PART_BYTES} bytes"
    if any(unicodedata.category(character) == "Cc" for character in part):
        return f"{shown(part)} holds a control character"
    forbidden = sorted(_FORBIDDEN_CHARACTERS.intersection(part))
    if forbidden:
        return f"{shown(part)} holds {' '.join(forbidden)}, which file names of Windows cannot have"
    if part[-1] in {".", " "}:
        return f"{shown(part)} ends in a dot or a space, which Windows drops"
    if part.split(".")[0].rstrip(" ").casefold() in _RESERVED_STEMS:
        return f"{shown(part)} is the name of a device on Windows; choose another"
    if _SHORT_NAME.search(part):
        return f"{shown(part)} looks like a short name of Windows, which may stand for another file"
    return ""


def _owner(part: str) -> str:
    return "git; use git in Bash" if policy_key(part) == ".git" else "the service"
