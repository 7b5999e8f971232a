"""The work of `chargehand db upgrade` and `chargehand db status`, and the database's lines of `chargehand doctor`."""

import os

from chargehand.cli.configured import load_settings
from chargehand.cli.exits import ExitCode
from chargehand.cli.found import Found
from chargehand.cli.output import write, write_json
from chargehand.errors import ChargehandError
from chargehand.settings import Settings
from chargehand.store import inspection, migrate, network_drive, server_look, server_migrate
from chargehand.store.folder import DataFolder
from chargehand.store.server_url import server_url, shown_url

NAME = "database"


async def upgrade() -> ExitCode:
    """Bring the database to this version's schema: the file with no service on it, a server's while others work."""
    settings = load_settings()
    if settings.database_url is not None:
        address = server_url(settings.database_url)
        place = shown_url(address)
        await server_look.look(address)
        before = await server_migrate.upgrade(address)
    else:
        place = str(settings.database_path)
        folder = DataFolder(settings.data_dir)
        folder.open()
        try:
            before = migrate.upgrade(settings.database_path)
        finally:
            folder.close()
    if before == migrate.HEAD:
        write(f"{place} is at revision {before}: nothing to do")
    else:
        was = f"from revision {before}" if before else "from nothing"
        write(f"{place} brought {was} to {migrate.HEAD}")
    return ExitCode.OK


async def status(*, as_json: bool) -> ExitCode:
    """Tell how the database stands; nothing is changed."""
    found = await look_at_database(load_settings())
    if as_json:
        write_json(
            {
                "state": found.state,
                "message": found.message,
                "way_out": found.way_out,
                "revision_wanted": migrate.HEAD,
            }
        )
    else:
        write(found.message + (f"; {found.way_out}" if found.way_out else ""))
    return ExitCode.UNAVAILABLE if found.state == "fail" else ExitCode.OK


async def look_at_database(settings: Settings) -> Found:
    """How the database stands: what a start would find."""
    try:
        if settings.database_url is None:
            return _file(settings)
        return await _server(settings.database_url)
    except (ChargehandError, OSError) as error:
        return Found(name=NAME, state="fail", message=str(error))


def look_at_drive(settings: Settings) -> Found | None:
    """A warning where the SQLite file would lie on a network drive; None where it does not."""
    if settings.database_url is not None:
        return None
    kind = network_drive.kind_of(settings.data_dir)
    if kind is None:
        return None
    return Found(name="drive", state="warn", message=network_drive.warning(settings.data_dir, kind))


async def _server(url: str) -> Found:
    address = server_url(url)
    standing = await server_look.look(address)
    what = f"{standing.product} {standing.version.split()[0]} at {shown_url(address)}"
    if standing.revision is None:
        return Found(name=NAME, state="ok", message=f"{what} is empty; filled at the first start")
    server_migrate.require_head(standing.revision)
    if standing.is_above_walls:
        return Found(
            name=NAME,
            state="warn",
            message=f"{what}: this role stands above row-level security, the second wall between tenants",
            way_out="connect as a role that is no superuser and lacks BYPASSRLS (docs/operate/databases.md)",
        )
    return Found(name=NAME, state="ok", message=f"{what} at revision {standing.revision}")


def _file(settings: Settings) -> Found:
    path = settings.database_path
    if not path.exists():
        return Found(name=NAME, state="ok", message="none yet; made at the first start")
    revision = inspection.revision(path)
    migrate.require_known(revision)
    if not os.access(path, os.W_OK):
        return Found(
            name=NAME,
            state="fail",
            message=f"{path} is read-only",
            way_out="let the service's user write it, or set CHARGEHAND_DATA_DIR",
        )
    if revision == migrate.HEAD:
        return Found(name=NAME, state="ok", message=f"{path} at revision {revision}")
    return Found(
        name=NAME,
        state="warn",
        message=f"{path} is at revision {revision or 'none'}, this version's is {migrate.HEAD}",
        way_out="the next start upgrades it, or `chargehand db upgrade` does",
    )
