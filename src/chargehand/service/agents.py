"""Agents: read definitions, publish versions, find the one that a task gets."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from difflib import get_close_matches
from time import monotonic

from chargehand.domain.access import Principal, Scope
from chargehand.domain.agent import AgentDefinition, parse_definition
from chargehand.domain.agent_ranking import AUTO
from chargehand.domain.agent_tools import NOTHING_MORE, Offer
from chargehand.domain.audit import Action
from chargehand.errors import AgentNotFound, Finding, Forbidden, InvalidDefinition
from chargehand.service.audit_records import record
from chargehand.service.ports import RuntimeDirectory
from chargehand.store import agents
from chargehand.store.bus import AGENTS, Bus
from chargehand.store.database import Database, retried

FRESH_SECONDS = 2.0
"""How long a process may take another's publication not to have been."""


@dataclass(frozen=True, slots=True)
class Agents:
    """What can be done with agents. Parsed versions are kept: they never change.

    Which version is current does, and where the database `is_shared` another process may say so.
    """

    db: Database
    runtimes: RuntimeDirectory
    offer: Offer = NOTHING_MORE
    bus: Bus = field(default_factory=Bus)
    is_shared: bool = False
    now: Callable[[], float] = monotonic
    _current: dict[tuple[str, str], tuple[AgentDefinition, float]] = field(
        default_factory=dict[tuple[str, str], tuple[AgentDefinition, float]]
    )
    """And when it was read."""
    _reads: dict[tuple[str, str], "asyncio.Future[AgentDefinition]"] = field(
        default_factory=dict[tuple[str, str], "asyncio.Future[AgentDefinition]"]
    )
    """Looks that are under way."""
    _versions: dict[tuple[str, str, str], AgentDefinition] = field(
        default_factory=dict[tuple[str, str, str], AgentDefinition]
    )

    def __post_init__(self) -> None:
        self.bus.hear(AGENTS, self._forget)

    @retried
    async def publish(
        self, who: Principal, text: str, *, agent_id: str | None = None
    ) -> tuple[AgentDefinition, bool]:
        """Register a definition as its agent's current version; also whether that changed anything.

        InvalidDefinition tells everything that is wrong with the text. A definition whose runtime is not
        available yet is registered all the same; tasks for it are refused. Delegates that are not registered are told
        in the answer only, because they may be in a moment.
        """
        who.require(Scope.AGENTS_WRITE)
        definition = parse_definition(
            text, agent_id=agent_id, origin=agent_id or "the definition", offer=self.offer
        )
        if definition.id == AUTO:
            what = "is what a task says that the service is to pick the agent for"
            finding = Finding(where="name", message=f"{AUTO!r} {what}", hint="give it another name")
            raise InvalidDefinition(f"{AUTO!r} cannot be an agent: it {what}", findings=[finding])
        self.runtimes.check_definition(definition)
        _require_within(who, definition)
        async with self.db.write(who.tenant) as tx:
            changed = await agents.publish(
                tx,
                who.tenant,
                definition.id,
                version=definition.version,
                source=definition.source,
                most_running=definition.block.concurrency,
            )
            known = await agents.current_versions(tx, who.tenant) if definition.block.delegates else {}
            tx.after_commit(lambda: self._published(who.tenant, definition, changed=changed))
            if changed:
                await record(tx, who, Action.AGENT_PUBLISHED, definition.id, {"version": definition.version})
        absent = [
            Finding(where="chargehand.delegates", message=f"there is no agent {one[:128]!r} (yet)")
            for one in definition.block.delegates
            if one not in known
        ]
        return replace(definition, findings=(*definition.findings, *absent)), changed

    def _published(self, tenant: str, definition: AgentDefinition, *, changed: bool) -> None:
        if changed:
            self.bus.publish(AGENTS, f"{tenant} {definition.id}")
        self._current[tenant, definition.id] = definition, self.now()

    def _forget(self, payload: str) -> None:
        """A process has published another version."""
        tenant, _, agent_id = payload.rpartition(" ")
        self._current.pop((tenant, agent_id), None)
        # Who comes from now on looks anew.
        self._reads.pop((tenant, agent_id), None)

    async def publish_all(self, who: Principal, texts: Mapping[str, str]) -> None:
        """Publish texts by origin (a file name, say); the first bad one is told with its origin."""
        for origin, text in texts.items():
            try:
                await self.publish(who, text)
            except InvalidDefinition as error:
                raise InvalidDefinition(f"{origin}: {error}", findings=error.findings) from error

    async def publish_everywhere(self, by: str, texts: Mapping[str, str]) -> None:
        """Publish texts to the tenants that have never had these versions; `by`: who ships them.

        A version that a tenant has had is left as it is, so that what somebody has put in its place stays.
        """
        for text in texts.values():
            definition = parse_definition(text, offer=self.offer)
            async with self.db.read() as tx:
                lacking = await agents.tenants_without(tx, definition.id, definition.version)
            for tenant in lacking:
                await self.publish(
                    Principal(id=by, tenant=tenant, scopes=frozenset({Scope.AGENTS_WRITE})), text
                )

    async def current(self, who: Principal, agent_id: str) -> AgentDefinition:
        """The version that a new task gets. AgentNotFound also for one that the caller is not for."""
        if not who.sees(agent_id):
            raise await self._not_found(who, agent_id)
        key = (who.tenant, agent_id)
        known = self._current.get(key)
        began = self.now()
        if known is not None and not (self.is_shared and began - known[1] > FRESH_SECONDS):
            return known[0]
        reading = self._reads.get(key)
        if reading is None:
            # One look for all who find it stale at the same time; a caller that is cut off does not end it.
            reading = self._reads[key] = asyncio.ensure_future(self._read_current(who, agent_id))
            reading.add_done_callback(lambda done: self._has_read(key, done))
        return await asyncio.shield(reading)

    def _has_read(self, key: tuple[str, str], done: "asyncio.Future[AgentDefinition]") -> None:
        if self._reads.get(key) is done:
            del self._reads[key]
        if not done.cancelled():
            done.exception()  # Everybody who waited for it may have gone.

    async def _read_current(self, who: Principal, agent_id: str) -> AgentDefinition:
        key = (who.tenant, agent_id)
        known, began = self._current.get(key), self.now()
        async with self.db.read(who.tenant) as tx:
            source = await agents.source(tx, who.tenant, agent_id)
        if source is None:
            raise await self._not_found(who, agent_id)
        meanwhile = self._current.get(key)
        if meanwhile is not None and meanwhile is not known:
            # What was published while this read went on is newer and stays.
            return meanwhile[0]
        found = known[0] if known and known[0].source == source else self._stored(source, agent_id)
        self._current[key] = found, began
        return found

    async def version(self, tenant: str, agent_id: str, version: str) -> AgentDefinition:
        """The version that a task has pinned."""
        key = (tenant, agent_id, version)
        found = self._versions.get(key)
        if found is None:
            async with self.db.read() as tx:
                source = await agents.source(tx, tenant, agent_id, version)
            if source is None:
                raise AgentNotFound(f"agent {agent_id!r} has no version {version[:12]!r}")
            found = self._versions[key] = self._stored(source, agent_id)
        return found

    async def version_for(self, tenant: str, agent_id: str) -> AgentDefinition:
        """The version that a delegated task gets."""
        return await self.current(Principal(id="tasks", tenant=tenant, scopes=frozenset()), agent_id)

    async def get(self, who: Principal, agent_id: str, version: str | None = None) -> AgentDefinition:
        """An agent as readers see it."""
        who.require(Scope.AGENTS_READ)
        if version is None or not who.sees(agent_id):
            return await self.current(who, agent_id)
        return await self.version(who.tenant, agent_id, version)

    async def all(self, who: Principal) -> list[AgentDefinition]:
        """Every agent's current version, by id."""
        who.require(Scope.AGENTS_READ)
        return await self.seen_by(who)

    async def seen_by(self, who: Principal) -> list[AgentDefinition]:
        """As `registered`, those that the caller is for."""
        return [one for one in await self.registered(who.tenant) if who.sees(one.id)]

    def _stored(self, source: str, agent_id: str) -> AgentDefinition:
        """A registered text, read with the tools that there are now: some may be gone since it was registered."""
        return parse_definition(source, agent_id=agent_id, offer=self.offer, is_registered=True)

    async def registered(self, tenant: str) -> list[AgentDefinition]:
        """Every agent's current version, by id, as the service itself reads them; parsed once each."""
        async with self.db.read() as tx:
            current = await agents.current_versions(tx, tenant)
            missing = {
                one for one, version in current.items() if (tenant, one, version) not in self._versions
            }
            texts = dict(await agents.sources(tx, tenant)) if missing else {}
        if missing:
            # A thousand definitions take seconds to parse; the loop has leases to renew meanwhile.
            parsed = await asyncio.to_thread(
                lambda: [self._stored(texts[one], one) for one in sorted(missing) if one in texts]
            )
            self._versions.update({(tenant, one.id, one.version): one for one in parsed})
        keys = [(tenant, one, version) for one, version in current.items()]
        return [self._versions[key] for key in keys if key in self._versions]

    async def versions(self, who: Principal, agent_id: str) -> list[tuple[str, datetime]]:
        """(version, since when), newest first."""
        who.require(Scope.AGENTS_READ)
        async with self.db.read(who.tenant) as tx:
            found = await agents.versions(tx, who.tenant, agent_id)
        if not found or not who.sees(agent_id):
            raise await self._not_found(who, agent_id)
        return found

    async def _not_found(self, who: Principal, agent_id: str) -> AgentNotFound:
        async with self.db.read(who.tenant) as tx:
            known = [one for one in await agents.current_versions(tx, who.tenant) if who.sees(one)]
        close = get_close_matches(agent_id, known, 3) or sorted(known)[:10]
        listed = ", ".join(close) or "none; put one with PUT /agents/{agent_id}"
        where = "" if who.agents is None else " for this key, which is narrowed to some agents"
        return AgentNotFound(f"there is no agent {agent_id!r}{where}; registered: {listed}")


def _require_within(who: Principal, definition: AgentDefinition) -> None:
    """A narrowed key publishes its own agents only, and none that would reach for others."""
    beyond = [one for one in (definition.id, *definition.block.delegates) if not who.sees(one)]
    if beyond:
        raise Forbidden(
            f"this key is narrowed to {', '.join(sorted(who.agents or ()))}; it publishes none but these, and none"
            f" that delegates to {beyond[0][:128]!r}"
        )
