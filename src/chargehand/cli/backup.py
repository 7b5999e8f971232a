"""The work of `chargehand backup` and `chargehand restore`."""

import os
from pathlib import Path

from chargehand.cli.configured import load_settings
from chargehand.cli.copying import Lines
from chargehand.cli.exits import ExitCode, say
from chargehand.cli.output import write
from chargehand.service.backup import Place, restore, save
from chargehand.service.snapshots import Snapshots
from chargehand.settings import Settings
from chargehand.store.copy_sides import side_of
from chargehand.store.storage import open_blobs


async def save_backup(target: Path) -> ExitCode:
    """Write and verify a backup."""
    settings = load_settings()
    found = await save(_place(settings), target, Lines().tell)
    write(f"{target}: {found.files} files, {found.size_bytes / 2**20:.1f} MiB, read again and found whole")
    if found.workspaces:
        say(f"{found.workspaces} workspace(s) of open tasks were copied as they stood")
    for one in found.left_out[:20]:
        say(f"  left out, since it changed meanwhile: {one}")
    say("it holds the keys of the service: keep it where only you can read it")
    return ExitCode.OK


async def restore_backup(source: Path) -> ExitCode:
    """Check a backup and bring it back."""
    settings = load_settings()
    files = await restore(source, _place(settings), Lines().tell)
    write(
        f"{files} files of {source} are in {settings.data_dir}; tasks that were under way go on at the next start"
    )
    return ExitCode.OK


def _place(settings: Settings) -> Place:
    return Place(
        data_dir=settings.data_dir,
        database=side_of(settings.database_url or f"sqlite:///{settings.database_path}"),
        blobs=open_blobs(settings.storage_url, settings.blobs_dir, os.environ),
        heads=lambda db, blobs: Snapshots(db, blobs).referred_to,
    )
