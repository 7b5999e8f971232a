"""The agent files that a command is given: a file, a folder with what lies below it, or a zip archive.

Rule: an archive is read in memory and within limits; nothing of it is unpacked, so no path in it can lead anywhere.
"""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from chargehand.domain.agent import (
    MAX_DEFINITION_BYTES,
    AgentDefinition,
    is_other_text,
    parse_definition,
    slug_of,
)
from chargehand.domain.agent_formats import stem_of
from chargehand.domain.agent_repair import decode
from chargehand.domain.agent_tools import Offer
from chargehand.errors import Finding, InvalidInput

MAX_FILES = 20_000
MAX_ARCHIVE_BYTES = 256 * 1024 * 1024
ENDINGS = (".md", ".markdown", ".toml")
MAX_ID = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFile:
    """A file's bytes; `shown` is what messages call it, `path` where it lies below what was given."""

    shown: str
    path: str
    content: bytes


def is_single(path: str) -> bool:
    """One definition, as opposed to a folder or an archive."""
    place = Path(path)
    return place.is_file() and place.suffix.lower() != ".zip"


def files_of(path: str) -> Iterator[AgentFile]:
    """The agent files, by path. InvalidInput when there is nothing to be read at the path itself."""
    place = Path(path)
    if place.is_dir():
        yield from _of_folder(place)
    elif place.suffix.lower() == ".zip" and place.is_file():
        yield from _of_archive(place)
    elif place.is_file():
        yield AgentFile(shown=path, path=place.as_posix(), content=_content(place))
    else:
        raise InvalidInput(f"there is no file or folder {path}")


def read(
    file: AgentFile, offer: Offer, *, is_for_service: bool
) -> tuple[AgentDefinition, str, list[Finding]]:
    """The definition, the text to register, and all that was repaired.

    `is_for_service`: which of its tools there are is for the service to say, which may offer others than these.
    """
    text, findings = decode(file.content, file.shown)
    definition = parse_definition(
        text, origin=file.shown, path=file.path, offer=offer, is_registered=is_for_service
    )
    return definition, text, [*findings, *definition.findings]


def is_passed_over(file: AgentFile) -> bool:
    """Whether a file beside definitions is none, such as a README; what cannot be decoded is told when it is read."""
    try:
        return is_other_text(decode(file.content, file.shown)[0])
    except InvalidInput:
        return False


def source_of(path: str) -> str:
    """What ids start with unless it is said: the name of the folder or the archive."""
    return Path(path).resolve().stem


def name_of(path: str) -> str:
    """The last part of a path."""
    return PurePosixPath(path).name


def id_of(source: str, path: str) -> str:
    """An agent's id by its source and path, so that equal names live side by side."""
    parts = PurePosixPath(path).parts
    named = [slug_of(part) for part in (source, *parts[:-1], stem_of(parts[-1]))]
    whole = ".".join(part for part in named if part)
    if len(whole) <= MAX_ID:
        return whole
    return f"{whole[: MAX_ID - 13].rstrip('-._')}-{mark_of(path)}"


def mark_of(path: str) -> str:
    """A few characters that tell a path from another one of which the same id is made."""
    return hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _content(place: Path) -> bytes:
    """Enough of the file to see that it is too large, and no more."""
    with place.open("rb") as file:
        return file.read(MAX_DEFINITION_BYTES * 4 + 1)


def _of_folder(folder: Path) -> Iterator[AgentFile]:
    """What lies below a folder; links to folders are not followed."""
    found: list[Path] = []
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in (".git", "node_modules")]
        found.extend(Path(here, name) for name in names if name.lower().endswith(ENDINGS))
        if len(found) > MAX_FILES:
            raise InvalidInput(f"{folder} holds more than {MAX_FILES} files")
    for place in sorted(found, key=lambda one: one.relative_to(folder).as_posix()):
        path = place.relative_to(folder).as_posix()
        if place.is_file():
            yield AgentFile(shown=str(place), path=path, content=_content(place))


def _of_archive(place: Path) -> Iterator[AgentFile]:
    try:
        with zipfile.ZipFile(place) as archive:
            members = [
                one
                for one in archive.infolist()
                if not one.is_dir() and one.filename.lower().endswith(ENDINGS)
            ]
            if len(members) > MAX_FILES:
                raise InvalidInput(f"{place} holds more than {MAX_FILES} files")
            if sum(min(one.file_size, MAX_DEFINITION_BYTES * 4) for one in members) > MAX_ARCHIVE_BYTES:
                raise InvalidInput(f"{place} unpacks to more than {MAX_ARCHIVE_BYTES // 2**20} MiB")
            for one in sorted(members, key=lambda member: member.filename):
                with archive.open(one) as file:
                    # A member may be larger than it says; no more than this is ever unpacked of it.
                    content = file.read(MAX_DEFINITION_BYTES * 4 + 1)
                yield AgentFile(shown=f"{place}/{one.filename}", path=one.filename, content=content)
    except (zipfile.BadZipFile, RuntimeError, EOFError, zlib.error) as error:
        raise InvalidInput(f"{place} cannot be read as a zip archive: {error}") from None
