"""Saves or restores in a process that a test kills: `backup_worker.py save|restore DATA_FOLDER BACKUP`."""

import asyncio
import sys
from pathlib import Path

from chargehand.service.backup import Place, restore, save
from chargehand.store.blobs import FolderBlobs
from chargehand.store.copy_sides import side_of

what, data, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
place = Place(
    data_dir=data, database=side_of(f"sqlite:///{data / 'chargehand.db'}"), blobs=FolderBlobs(data / "blobs")
)
if what == "save":
    asyncio.run(save(place, folder, lambda progress: None))
else:
    asyncio.run(restore(folder, place, lambda progress: None))
