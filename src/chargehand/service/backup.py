"""A backup while the service runs, and the way back.

Rule: the rows first, then what they name: stored content is never changed and is written before the rows that name it,
so all of it is there. A backup appears whole, under its name, after every file of it was read again; so does what is
restored.
"""

import asyncio
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from chargehand.errors import Conflict, InvalidInput, NotFound, StorageFull, Unavailable
from chargehand.failpoint import fail_point
from chargehand.service.master_keys import OWN_FILE
from chargehand.service.references import HeadReferences, named_content
from chargehand.store import backup, migrate
from chargehand.store.blobs import Blobs, FolderBlobs
from chargehand.store.copy_sides import Side
from chargehand.store.copying import Told
from chargehand.store.database import Database
from chargehand.store.secret_files import read_secret, write_secret

FORMAT = 1
MANIFEST, DATABASE, BLOBS, WORKSPACES, KEYS = "manifest.json", "chargehand.db", "blobs", "workspaces", "keys"
SECRETS = ("pepper", "admin.key", OWN_FILE)
TRIES = 3
"""Content that a prune removed after the rows were saved makes the backup begin anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An installation: what is saved, or where it is brought to."""

    data_dir: Path
    database: Side
    blobs: Blobs
    heads: Callable[[Database, Blobs], HeadReferences] | None = None


@dataclass(slots=True, kw_only=True)
class Saved:
    """What a backup holds."""

    files: int = 0
    size_bytes: int = 0
    workspaces: int = 0
    left_out: list[str] = field(default_factory=list[str])
    """Files of workspaces that changed or vanished while they were copied."""


async def save(place: Place, target: Path, told: Told) -> Saved:
    """Write a backup to a folder that does not exist yet. Conflict when it does."""
    making = await asyncio.to_thread(_begun_for, target)
    found = Saved()
    for left in range(TRIES - 1, -1, -1):
        try:
            await _save_rows_and_content(place, making, told)
            break
        except NotFound:
            if not left:
                raise
    await _save_workspaces(place, making, found)
    for name in SECRETS:
        if (secret := read_secret(place.data_dir / name)) is not None:
            await asyncio.to_thread(write_secret, making / KEYS / name, secret)
    fail_point("backup.copied")
    entries = await asyncio.to_thread(_entries, making)
    data = {"format": FORMAT, "revision": migrate.HEAD, "files": entries}
    (making / MANIFEST).write_text(json.dumps(data, indent=0), encoding="utf-8")
    await asyncio.to_thread(check, making)
    fail_point("backup.checked")
    making.rename(target)
    found.files, found.size_bytes = len(entries), sum(size for _, _, size in entries)
    return found


async def _save_rows_and_content(place: Place, making: Path, told: Told) -> None:
    (making / DATABASE).unlink(missing_ok=True)
    await backup.save_rows(place.database, making / DATABASE, told)
    fail_point("backup.rows_saved")
    into, db = FolderBlobs(making / BLOBS), backup.opened(making / DATABASE)
    try:
        heads = place.heads(db, place.blobs) if place.heads else None
        async for digests in named_content(db, heads):
            for digest in digests:
                if not into.path(digest).exists():
                    await into.put(await place.blobs.get(digest))
                    fail_point("backup.blob_saved")
    finally:
        await db.stop()


async def _save_workspaces(place: Place, making: Path, found: Saved) -> None:
    """As well as can be: tasks may be writing there. What their attempts find missing, steps have in the journal."""
    db = backup.opened(making / DATABASE)
    try:
        ids = await backup.open_workspaces(db)
    finally:
        await db.stop()
    for one in sorted(ids):
        source = place.data_dir / WORKSPACES / one
        if source.is_dir():
            found.workspaces += 1
            try:
                await asyncio.to_thread(shutil.copytree, source, making / WORKSPACES / one, symlinks=True)
            except shutil.Error as error:
                found.left_out += [str(failure[0]) for failure in error.args[0]]


def check(folder: Path) -> dict[str, Any]:
    """Read every file of a backup again; what the manifest says. InvalidInput, Unavailable: it cannot be used."""
    try:
        data = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        listed = {str(name): (str(digest), int(size)) for name, digest, size in data["files"]}
        format_number = data["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{folder} holds no backup: its {MANIFEST} cannot be read ({error})") from None
    if format_number != FORMAT:
        raise InvalidInput(f"{folder} is a backup of format {format_number}; this version reads {FORMAT}")
    for name, (digest, _) in listed.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise InvalidInput(f"{folder}: the manifest names {name!r}, which is no file of a backup")
        if _hash(folder / path) != digest:
            raise Unavailable(f"the backup is damaged: {name} is missing or was changed; use another backup")
    if DATABASE not in listed:
        raise Unavailable(f"the backup is damaged: {DATABASE} is not in it")
    backup.check_rows(folder / DATABASE)
    return data


async def restore(source: Path, place: Place, told: Told) -> int:
    """Bring a backup back into an empty data folder; the number of files. Nothing is written before it was checked."""
    data = await asyncio.to_thread(check, source)
    folder = place.data_dir
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(
            f"the data folder {folder} is not empty; set CHARGEHAND_DATA_DIR to one that is, or move it away"
        )
    making = folder.with_name(f".{folder.name}.unfinished")
    await asyncio.to_thread(_fresh, making)
    for name in (WORKSPACES, BLOBS):
        if (source / name).is_dir() and not (name == BLOBS and not isinstance(place.blobs, FolderBlobs)):
            await asyncio.to_thread(shutil.copytree, source / name, making / name, symlinks=True)
    for name in SECRETS:
        if (secret := read_secret(source / KEYS / name)) is not None:
            write_secret(making / name, secret)
    if not isinstance(place.blobs, FolderBlobs):
        async for blob in FolderBlobs(source / BLOBS).listed():
            await place.blobs.put(await FolderBlobs(source / BLOBS).get(blob.sha256))
    if place.database.is_server:
        await backup.bring_rows(source / DATABASE, place.database, told)
    else:
        (making / DATABASE).touch(mode=0o600)
        await asyncio.to_thread(shutil.copyfile, source / DATABASE, making / DATABASE)
    fail_point("restore.copied")
    if folder.exists():
        folder.rmdir()
    making.rename(folder)
    return len(data["files"])


def _begun_for(target: Path) -> Path:
    target = target.absolute()
    if target.exists():
        raise Conflict(f"{target} is there already; name a folder that is not")
    making = target.with_name(f".{target.name}.unfinished")
    _fresh(making)
    return making


def _fresh(folder: Path) -> None:
    """What a killed run left goes."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise StorageFull(f"{folder} cannot be made ({error.strerror}); name a folder elsewhere") from error


def _entries(folder: Path) -> list[tuple[str, str, int]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return [(path.relative_to(folder).as_posix(), _hash(path), path.stat().st_size) for path in files]


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
