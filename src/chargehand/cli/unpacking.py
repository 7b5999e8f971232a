"""Writes deliverables into a folder: whole or not at all, only what the service vouches for, never outside it."""

import hashlib
import os
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from chargehand.client import AsyncClient
from chargehand.errors import ChargehandError, InvalidInput, PathRefused
from chargehand.tools.paths import parse_path
from chargehand.wire.rest import DeliverableBody

CHUNK = 1024 * 1024


class NotAsDelivered(ChargehandError):
    """What came over the wire is not what the service lists; nothing was written."""

    code = "deliverable.altered"
    status = 502


def check_target(folder: Path, *, force: bool) -> None:
    """Refuse early what could not be written in the end."""
    if folder.exists() and not folder.is_dir():
        raise InvalidInput(f"{folder} is a file; --out names a folder")
    if folder.is_dir() and not force and any(folder.iterdir()):
        raise InvalidInput(
            f"the folder {folder} is not empty; name another with --out, or write over its files with --force"
        )
    existing = folder
    while not existing.exists():
        existing = existing.parent
    if not os.access(existing, os.W_OK):
        raise InvalidInput(f"{existing} cannot be written; name another folder with --out")


async def deliver(
    client: AsyncClient, task_id: str, delivered: Sequence[DeliverableBody], folder: Path, *, force: bool
) -> int:
    """Put the files of a task's deliverables below `folder`; how many there are.

    One deliverable's files stand there directly, those of several below their names.
    """
    check_target(folder, force=force)
    with _staging(folder) as staging:
        fetched, files = staging / "fetched", staging / "files"
        only = delivered[0] if len(delivered) == 1 else None
        with fetched.open("w+b") as archive:
            await client.save(task_id, archive, name=only.name if only else None)
            archive.seek(0)
            if only is None or only.is_folder:
                unpack(archive, files, delivered)
        if only is not None and not only.is_folder:
            _keep_file(fetched, files, only)
        _move_into(files, folder)
    return sum(len(one.files) for one in delivered)


@contextmanager
def _staging(folder: Path) -> Generator[Path]:
    """A place inside the target: the same disk, so that what is complete can be moved in one step."""
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".chargehand-", dir=folder) as name:
            yield Path(name)
    except BaseException:
        if is_new:
            with suppress(OSError):  # Not empty: some of it was moved into place.
                folder.rmdir()
        raise


def unpack(archive: IO[bytes], folder: Path, delivered: Sequence[DeliverableBody]) -> None:
    """Write an archive's files below a new folder; each must have a content that the service lists."""
    known = {file.sha256: file.size_bytes for one in delivered for file in one.files}
    folder.mkdir()
    written: set[str] = set()
    try:
        with zipfile.ZipFile(archive) as opened:
            for entry in opened.infolist():
                # An entry without a name is one for which zipfile has no answer.
                if not entry.filename.endswith("/"):
                    target = _target_of(entry, folder, written)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    _write(opened, entry, target, known)
    except (zipfile.BadZipFile, zlib.error) as error:
        raise NotAsDelivered(f"the service's archive cannot be read: {error}") from None
    listed = sum(len(one.files) for one in delivered)
    if len(written) != listed:
        raise NotAsDelivered(f"the service lists {listed} files and sent {len(written)}; try again")


def _keep_file(fetched: Path, folder: Path, one: DeliverableBody) -> None:
    """A deliverable that is a single file comes as its bytes."""
    with fetched.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != one.files[0].sha256:
        raise NotAsDelivered(f"{one.name!r} came altered over the wire; nothing was written, try again")
    path = parse_path(one.files[0].path, roots=())
    folder.mkdir()
    fetched.replace(folder / path.name)


def _target_of(entry: zipfile.ZipInfo, folder: Path, written: set[str]) -> Path:
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
        raise PathRefused(f"{entry.filename!r} in the archive is no plain file; nothing was written")
    path = parse_path(entry.filename, roots=())
    key = str(path).casefold()
    if not path.parts or key in written:
        raise PathRefused(f"{entry.filename!r} in the archive stands for two files; nothing was written")
    written.add(key)
    return folder.joinpath(*path.parts)


def _write(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, known: dict[str, int]) -> None:
    digest, size = hashlib.sha256(), 0
    most = max(known.values(), default=0)
    with opened.open(entry) as source, target.open("xb") as file:
        while chunk := source.read(CHUNK):
            size += len(chunk)
            if size > most:
                break
            digest.update(chunk)
            file.write(chunk)
    if known.get(digest.hexdigest()) != size:
        raise NotAsDelivered(f"{entry.filename!r} came altered over the wire; nothing was written, try again")
    if os.name == "posix" and entry.external_attr >> 16 & 0o100:
        target.chmod(target.stat().st_mode | 0o111)


def _move_into(source: Path, folder: Path) -> None:
    """Move files into place, over files of the same name; other files in the folder stay."""
    for found in sorted(source.iterdir()):
        target = folder / found.name
        if found.is_dir() and target.is_dir() and not target.is_symlink():
            _move_into(found, target)
        elif found.is_dir() and not target.exists():
            found.rename(target)
        elif target.is_dir() and not target.is_symlink():
            raise InvalidInput(f"{target} is a folder where a file is delivered; move it away")
        else:
            if found.is_dir():
                target.unlink()
            found.replace(target)
