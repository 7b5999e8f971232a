"""Where attempts work: in one folder a workspace, or each in a folder of its own that follows snapshots."""

from chargehand.engine.copies import Copies
from chargehand.engine.snapshot_places import SnapshotPlaces
from chargehand.engine.working_folders import WorkingFolders
from chargehand.engine.workplaces import SharedPlaces, Workplaces
from chargehand.service.journal import Journal
from chargehand.service.snapshots import Snapshots
from chargehand.settings import Settings
from chargehand.tools.workspace import Quota


def workplaces_of(settings: Settings, snapshots: Snapshots, journal: Journal, copies: Copies) -> Workplaces:
    """One process on one host needs no snapshots, and pays for none unless a setting asks for them."""
    quota = Quota(max_bytes=settings.workspace_bytes, max_files=settings.workspace_files)
    if settings.takes_snapshots:
        return SnapshotPlaces(snapshots, journal, WorkingFolders(settings.workspaces_dir), quota)
    return SharedPlaces(settings.workspaces_dir, journal, copies, quota)
