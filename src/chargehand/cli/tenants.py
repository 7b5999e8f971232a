"""The work of `chargehand tenants`."""

from chargehand.cli.connection import connect
from chargehand.cli.exits import ExitCode, say
from chargehand.cli.lines import time_text
from chargehand.cli.listing import show_list
from chargehand.cli.output import write, write_fields, write_one
from chargehand.wire.access import TenantBody, TenantMade


async def list_tenants(server: str | None, *, limit: int, as_json: bool) -> ExitCode:
    """All tenants, by id."""
    return await show_list(
        server,
        lambda client, cursor, most: client.tenants(cursor=cursor, limit=most),
        ("TENANT", "NAME", "SINCE", "STATE"),
        lambda one: (one.id, one.display_name, time_text(one.created_at), _state(one)),
        limit=limit,
        as_json=as_json,
    )


async def show_tenant(tenant_id: str, server: str | None, *, as_json: bool) -> ExitCode:
    """One tenant."""
    async with connect(server) as connection:
        found = await connection.client.tenant(tenant_id)
    return write_one(found, _write, as_json=as_json)


async def create_tenant(
    tenant_id: str, server: str | None, *, name: str | None, with_key: bool, as_json: bool
) -> ExitCode:
    """A new tenant; its administrator's key is printed this once."""
    async with connect(server) as connection:
        made = await connection.client.create_tenant(tenant_id, display_name=name, with_key=with_key)
    return write_one(made, _write_made, as_json=as_json)


async def set_suspended(tenant_id: str, server: str | None, *, is_suspended: bool, as_json: bool) -> ExitCode:
    """Suspend it, or resume it."""
    async with connect(server) as connection:
        changed = await connection.client.change_tenant(tenant_id, is_suspended=is_suspended)
    return write_one(changed, lambda one: write(f"{one.id}: {_state(one)}"), as_json=as_json)


def _write(found: TenantBody) -> None:
    write_fields(
        [
            ("tenant", found.id),
            ("name", found.display_name),
            ("state", _state(found)),
            ("made", f"{time_text(found.created_at)} by {found.created_by}"),
        ]
    )


def _write_made(made: TenantMade) -> None:
    if made.secret is None:
        write(f"made {made.tenant.id}")
        return
    write(made.secret)
    say(f"the administrator's key of {made.tenant.id} is shown this once; hand it to them")


def _state(tenant: TenantBody) -> str:
    return f"suspended {time_text(tenant.suspended_at)}" if tenant.suspended_at else "active"
