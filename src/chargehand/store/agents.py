"""Agents and their immutable versions."""

from datetime import datetime

from sqlalchemy import insert, select, update

from chargehand.store.database import Tx
from chargehand.store.tables import Agent, AgentVersion
from chargehand.store.tenant_tables import Tenant


async def publish(
    tx: Tx, tenant: str, agent_id: str, *, version: str, source: str, most_running: int | None = None
) -> bool:
    """Make a text the agent's current version; False when it already was."""
    known = await tx.connection.scalar(
        select(AgentVersion.version).where(
            AgentVersion.tenant == tenant, AgentVersion.agent_id == agent_id, AgentVersion.version == version
        )
    )
    if known is None:
        await tx.connection.execute(
            insert(AgentVersion).values(
                tenant=tenant, agent_id=agent_id, version=version, source=source, created_at=tx.now
            )
        )
    current = await tx.connection.scalar(
        select(Agent.version).where(Agent.tenant == tenant, Agent.id == agent_id).with_for_update()
    )
    if current == version:
        return False
    if current is None:
        values = {
            "tenant": tenant,
            "id": agent_id,
            "version": version,
            "most_running": most_running,
            "created_at": tx.now,
            "updated_at": tx.now,
        }
        await tx.connection.execute(insert(Agent).values(values))
    else:
        await tx.connection.execute(
            update(Agent)
            .where(Agent.tenant == tenant, Agent.id == agent_id)
            .values(version=version, most_running=most_running, updated_at=tx.now)
        )
    return True


async def source(tx: Tx, tenant: str, agent_id: str, version: str | None = None) -> str | None:
    """The text of a version (None: the current one), or None when there is none."""
    statement = select(AgentVersion.source).where(
        AgentVersion.tenant == tenant, AgentVersion.agent_id == agent_id
    )
    if version is None:
        current = select(Agent.version).where(Agent.tenant == tenant, Agent.id == agent_id).scalar_subquery()
        statement = statement.where(AgentVersion.version == current)
    else:
        statement = statement.where(AgentVersion.version == version)
    return await tx.connection.scalar(statement)


async def sources(tx: Tx, tenant: str) -> list[tuple[str, str]]:
    """(id, current text) of all agents of a tenant, by id."""
    statement = (
        select(Agent.id, AgentVersion.source)
        .join(Agent, (Agent.tenant == AgentVersion.tenant) & (Agent.id == AgentVersion.agent_id))
        .where(Agent.tenant == tenant, AgentVersion.version == Agent.version)
        .order_by(Agent.id)
    )
    return [(row.id, row.source) for row in await tx.connection.execute(statement)]


async def current_versions(tx: Tx, tenant: str) -> dict[str, str]:
    """Which version of each agent of a tenant new tasks get."""
    statement = select(Agent.id, Agent.version).where(Agent.tenant == tenant).order_by(Agent.id)
    return {row.id: row.version for row in await tx.connection.execute(statement)}


async def tenants_without(tx: Tx, agent_id: str, version: str) -> list[str]:
    """The tenants that have never had this version of an agent."""
    is_there = (AgentVersion.agent_id == agent_id) & (AgentVersion.version == version)
    statement = (
        select(Tenant.id)
        .outerjoin(AgentVersion, (AgentVersion.tenant == Tenant.id) & is_there)
        .where(AgentVersion.version.is_(None))
        .order_by(Tenant.id)
    )
    return list(await tx.connection.scalars(statement))


async def versions(tx: Tx, tenant: str, agent_id: str) -> list[tuple[str, datetime]]:
    """(version, created_at) of an agent, newest first."""
    statement = (
        select(AgentVersion.version, AgentVersion.created_at)
        .where(AgentVersion.tenant == tenant, AgentVersion.agent_id == agent_id)
        .order_by(AgentVersion.created_at.desc())
    )
    return [(row.version, row.created_at) for row in await tx.connection.execute(statement)]
