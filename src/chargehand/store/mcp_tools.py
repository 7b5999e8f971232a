"""The pins of MCP tools: what was seen, and which version of it somebody approved."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Row, insert, select, update

from chargehand.domain.mcp import McpTool, Pin
from chargehand.store import tables
from chargehand.store.database import Tx

_PINS = select(tables.McpTool.__table__).order_by(tables.McpTool.server, tables.McpTool.name)


async def pins(tx: Tx, servers: Iterable[str] | None = None) -> list[Pin]:
    """All pins, or those of some servers, by server and name."""
    statement = _PINS if servers is None else _PINS.where(tables.McpTool.server.in_(list(servers)))
    return [_as_pin(row) for row in await tx.connection.execute(statement)]


async def see(tx: Tx, server: str, tools: Iterable[McpTool], *, approved_by: str | None) -> None:
    """Note what a server offers now. `approved_by`: who approves tools that were never seen before."""
    known = {pin.tool.name for pin in await pins(tx, [server])}
    for tool in tools:
        values = {"seen_hash": tool.hash, "definition": tool.as_data(), "seen_at": tx.now}
        if tool.name in known:
            statement = update(tables.McpTool).where(
                tables.McpTool.server == server, tables.McpTool.name == tool.name
            )
            await tx.connection.execute(statement.values(values))
            continue
        approved = {"approved_hash": tool.hash, "approved_at": tx.now, "approved_by": approved_by}
        more = approved if approved_by else {}
        await tx.connection.execute(
            insert(tables.McpTool).values(server=server, name=tool.name, **values, **more)
        )


async def approve(tx: Tx, pin: Pin, *, by: str) -> None:
    """Approve a tool as it was seen last."""
    await tx.connection.execute(
        update(tables.McpTool)
        .where(tables.McpTool.server == pin.server, tables.McpTool.name == pin.tool.name)
        .values(approved_hash=pin.seen_hash, approved_at=tx.now, approved_by=by)
    )


def _as_pin(row: Row[Any]) -> Pin:
    return Pin(
        server=row.server,
        tool=McpTool.from_data({**row.definition, "name": row.name}),
        seen_hash=row.seen_hash,
        approved_hash=row.approved_hash,
        seen_at=row.seen_at,
        approved_at=row.approved_at,
        approved_by=row.approved_by,
    )
