"""Whether a rule's pattern speaks of a command, a path or a name: yes, no, or not to be told.

Rule: a pattern that restricts reads what it is held against broadly, one that allows reads it narrowly.
"""

from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from posixpath import basename, normpath
from urllib.parse import urlsplit


class Fit(Enum):
    """Whether a pattern speaks of something."""

    YES = "yes"
    NO = "no"
    MAYBE = "maybe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One simple command out of a command line. A word that only the shell knows is None.

    No words at all: a part that cannot be read, for which `unreadable` says why.
    """

    words: tuple[str | None, ...] = ()
    is_shell_around: bool = False
    """It only runs another command (`bash -c`, `timeout 5`), which is judged beside it."""
    unreadable: str = ""


def command_fit(pattern: str, command: Command, *, restricts: bool) -> Fit:
    """`git push:*` and `git push *` are commands that begin so, `npm test` that one, `*` any."""
    if pattern.strip() in ("*", ":*", ""):
        return Fit.YES
    words = command.words
    name = words[0] if words else None
    if name is None:
        return Fit.MAYBE
    prefix = _prefix(pattern)
    if not restricts:
        return _begins(words, prefix) if prefix is not None else _whole(pattern, words)
    if "/" in name:
        # However it is reached: `/bin/rm` is `rm`.
        by_name = command_fit(pattern, Command(words=(basename(name), *words[1:])), restricts=True)
        if by_name is not Fit.NO:
            return by_name
    return _may_begin(words, prefix) if prefix is not None else _may_be(pattern, words)


def path_fit(pattern: str, path: str | None, *, restricts: bool) -> Fit:
    """A pattern of paths in the workspace. A path that is not plainly inside it fits what restricts."""
    if path is None or path.startswith("/") or "\\" in path or ":" in path:
        return Fit.YES if restricts else Fit.NO
    plain = normpath(path)
    if plain.startswith(".."):
        return Fit.YES if restricts else Fit.NO
    if restricts:
        # Some file systems do not tell the cases apart.
        plain, pattern = plain.casefold(), pattern.casefold()
    for one in pattern.split(","):
        wanted = one.strip().removeprefix("./").lstrip("/")
        if fnmatchcase(plain, wanted) or (wanted.endswith("/**") and plain == wanted[:-3]):
            return Fit.YES
        if wanted.startswith("**/") and fnmatchcase(plain, wanted[3:]):
            return Fit.YES
        if restricts and "/" not in wanted and any(fnmatchcase(part, wanted) for part in plain.split("/")):
            return Fit.YES
    return Fit.NO


def text_fit(pattern: str, text: str | None, *, restricts: bool) -> Fit:
    """An agent's id, or a URL by `domain:example.com` or as it is written."""
    if text is None:
        return Fit.MAYBE
    if pattern.startswith("domain:"):
        try:
            # A dot at the end names the same host.
            host = (urlsplit(text).hostname or "").rstrip(".")
        except ValueError:
            return Fit.MAYBE
        wanted = pattern.removeprefix("domain:").strip().lower()
        return Fit.YES if host == wanted or fnmatchcase(host, wanted) else Fit.NO
    if restricts:
        text, pattern = text.casefold(), pattern.casefold()  # `HTTP://EXAMPLE.com` is `http://example.com`.
    found = any(fnmatchcase(text, one.strip()) for one in pattern.split(","))
    return Fit.YES if found else Fit.NO


def _prefix(pattern: str) -> list[str] | None:
    """The words that a command begins with; None for a pattern of a whole command."""
    for ending in (":*", " *"):
        if pattern.endswith(ending) and "*" not in pattern[: -len(ending)]:
            return pattern[: -len(ending)].split()
    return None


def _begins(words: tuple[str | None, ...], prefix: list[str]) -> Fit:
    return Fit.YES if list(words[: len(prefix)]) == prefix else Fit.NO


def _whole(pattern: str, words: tuple[str | None, ...]) -> Fit:
    if any(word is None for word in words):
        return Fit.NO
    line = " ".join(word or "" for word in words)
    return Fit.YES if line == pattern or fnmatchcase(line, pattern) else Fit.NO


def _may_begin(words: tuple[str | None, ...], prefix: list[str]) -> Fit:
    """As `_begins`, but options (with a value) may stand between: `git -C x push` is `git push`."""
    place = 0
    is_after_option = False
    for word in words:
        if place == len(prefix):
            break
        if word is None:
            return Fit.MAYBE
        if word == prefix[place]:
            place, is_after_option = place + 1, False
        elif place and word.startswith("-"):
            is_after_option = True
        elif is_after_option:
            is_after_option = False
        else:
            return Fit.NO
    return Fit.YES if place == len(prefix) else Fit.NO


def _may_be(pattern: str, words: tuple[str | None, ...]) -> Fit:
    if all(word is not None for word in words):
        return _whole(pattern, words)
    first = pattern.split()[0]
    return Fit.MAYBE if fnmatchcase(words[0] or "", first) else Fit.NO
