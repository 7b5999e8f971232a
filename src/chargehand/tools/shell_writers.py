"""Which files the common commands write: `tee x`, `cp a x`, `sed -i x`; None for one that cannot be told.

Rule: only commands that are for this are known. What a program (`python`, `make`, `git`) writes is not to be seen in
its words; keeping that from a path takes a rule on the command, or on `risk: execute`.
"""

from collections.abc import Sequence
from posixpath import basename, isabs, join, normpath

Words = tuple[str | None, ...]

_ALL = frozenset(
    ["chmod", "chown", "mkdir", "mkfifo", "rm", "rmdir", "shred", "tee", "touch", "truncate", "unlink"]
)
"""They change each file that they name."""
_INTO = frozenset(["cp", "install", "ln", "mv", "rsync"])
"""They write the last that they name, or into it."""
_MOVES = frozenset({"cd", "chdir", "pushd", "popd"})


def written_by(words: Words) -> list[str | None]:
    """The files that one command writes, takes away or puts in another place."""
    name = basename(words[0] or "") if words else ""
    rest = words[1:]
    named = [word for word in rest if word is None or not word.startswith("-")]
    if name in _ALL:
        return named
    if name in _INTO:
        return _into(name, rest, named)
    if name == "sed" and any(word is None or word.startswith(("-i", "--in-place")) for word in rest):
        return named
    if name == "dd":
        return [None if word is None else word[3:] for word in rest if word is None or word.startswith("of=")]
    if name == "find" and any(
        word == "-delete" or (word or "").startswith(("-fprint", "-fls")) for word in rest
    ):
        return [None]
    return []


def _into(name: str, rest: Words, named: list[str | None]) -> list[str | None]:
    folder, is_folder = _target_folder(rest)
    target = folder if is_folder else (named[-1] if named else None)
    sources = [one for one in named if one != target]
    found: list[str | None] = [target, *(_below(target, one) for one in sources)]
    if name == "mv":
        found += sources
    if name == "ln":
        # Whatever is written through the link later goes where it leads.
        found += [*sources, None]
    if target is not None and normpath(target) == "." and name in ("cp", "rsync"):
        found.append(None)  # What lies in a folder that is copied to here is not known.
    return found


def _target_folder(rest: Words) -> tuple[str | None, bool]:
    for place, word in enumerate(rest):
        if word in ("-t", "--target-directory"):
            return (rest[place + 1] if place + 1 < len(rest) else None), True
        if word is not None and word.startswith("--target-directory="):
            return word.partition("=")[2], True
    return None, False


def _below(folder: str | None, source: str | None) -> str | None:
    return None if folder is None or source is None else join(folder, basename(normpath(source)))


def seen_from(commands: Sequence[Words], written: Sequence[str | None]) -> list[str | None]:
    """The files as the workspace's own folder has them: a command line that moves about writes elsewhere."""
    moves = [words for words in commands if words and basename(words[0] or "") in _MOVES]
    if not moves:
        return list(written)
    known = moves[0][1] if len(moves) == 1 and len(moves[0]) == 2 else None
    if known is None or known.startswith("-"):
        return [path if path is not None and isabs(path) else None for path in written]
    # It is not looked at whether the move comes before or after.
    return [*written, *(None if path is None else join(known, path) for path in written)]
