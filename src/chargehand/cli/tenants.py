"""The work of `chargehand tenants`."""

from chargehand.cli.agents import time_text
from chargehand.cli.connection import connect
from chargehand.cli.exits import ExitCode, say
from chargehand.cli.output import write, write_fields, write_json, write_rows
from chargehand.wire.access import TenantBody


async def list_tenants(server: str | None, *, limit: int, as_json: bool) -> ExitCode:
    """All tenants, by id."""
    async with connect(server) as connection:
        page = await connection.client.tenants(limit=limit)
    if as_json:
        write_json(page.items)
        return ExitCode.OK
    write_rows(
        ("TENANT", "NAME", "SINCE", "STATE"),
        [(one.id, one.display_name, time_text(one.created_at), _state(one)) for one in page.items],
    )
    if page.next_cursor is not None:
        say(f"there are more; --limit {min(200, limit * 2)} shows more")
    return ExitCode.OK


async def show_tenant(tenant_id: str, server: str | None, *, as_json: bool) -> ExitCode:
    """One tenant."""
    async with connect(server) as connection:
        found = await connection.client.tenant(tenant_id)
    if as_json:
        write_json(found)
    else:
        write_fields(
            [
                ("tenant", found.id),
                ("name", found.display_name),
                ("state", _state(found)),
                ("made", f"{time_text(found.created_at)} by {found.created_by}"),
            ]
        )
    return ExitCode.OK


async def create_tenant(
    tenant_id: str, server: str | None, *, name: str | None, with_key: bool, as_json: bool
) -> ExitCode:
    """A new tenant; its administrator's key is printed this once."""
    async with connect(server) as connection:
        made = await connection.client.create_tenant(tenant_id, display_name=name, with_key=with_key)
    if as_json:
        write_json(made)
        return ExitCode.OK
    if made.secret is not None:
        write(made.secret)
        say(f"the administrator's key of {made.tenant.id} is shown this once; hand it to them")
    else:
        write(f"made {made.tenant.id}")
    return ExitCode.OK


async def set_suspended(tenant_id: str, server: str | None, *, is_suspended: bool, as_json: bool) -> ExitCode:
    """Suspend it, or resume it."""
    async with connect(server) as connection:
        changed = await connection.client.change_tenant(tenant_id, is_suspended=is_suspended)
    if as_json:
        write_json(changed)
    else:
        write(f"{changed.id}: {_state(changed)}")
    return ExitCode.OK


def _state(tenant: TenantBody) -> str:
    return f"suspended {time_text(tenant.suspended_at)}" if tenant.suspended_at else "active"
