"""Which storage keeps the bytes: the folder, or what CHARGEHAND_STORAGE_URL names."""

from collections.abc import Mapping
from pathlib import Path

from chargehand.store.blobs import Blobs, FolderBlobs


def open_blobs(url: str | None, folder: Path, environment: Mapping[str, str]) -> Blobs:
    """The storage of deliverables and of workspaces. InvalidInput for an address that is none, a missing extra."""
    if url is None:
        return FolderBlobs(folder)
    # A third of a second and 16 MB that only installations with such storage pay for.
    from chargehand.store.s3_blobs import S3Blobs  # noqa: PLC0415 - see above

    return S3Blobs(url, environment)
