"""Agents: versions that never change, and the one that a new task gets."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from chargehand.app.core import Core
from chargehand.domain.access import Principal, Scope
from chargehand.errors import AgentNotFound, Forbidden, InvalidDefinition, RuntimeMissing
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service.agents import FRESH_SECONDS, Agents
from chargehand.store.bus import AGENTS, Bus
from tests import given
from tests.given import ME

STRANGER = Principal(id="stranger", tenant="elsewhere", scopes=frozenset({Scope.ADMIN}))


async def idle(ctx: PlaybookContext) -> None:
    del ctx


@pytest_asyncio.fixture
async def core(tmp_path: Path) -> AsyncGenerator[Core, None]:
    async with given.a_core(tmp_path, playbooks={"one": idle}, with_engine=False) as opened:
        yield opened


async def test_a_text_published_again_changes_nothing(core: Core) -> None:
    text = given.a_definition("helper", playbook="one")

    first, was_new = await core.agents.publish(ME, text)
    again, is_new = await core.agents.publish(ME, text)

    assert (was_new, is_new) == (True, False)
    assert first.version == again.version
    assert len(await core.agents.versions(ME, "helper")) == 1


async def test_an_edit_is_a_new_version_and_the_old_one_stays(core: Core) -> None:
    old = await given.an_agent(core, "helper", playbook="one")
    new = await given.an_agent(core, "helper", playbook="one", attempts=2)

    assert (await core.agents.get(ME, "helper")).version == new.version
    assert (await core.agents.get(ME, "helper", old.version)).block.attempts == 1
    assert {version for version, _ in await core.agents.versions(ME, "helper")} == {old.version, new.version}


async def test_going_back_to_an_old_text_makes_its_version_current_again(core: Core) -> None:
    old = await given.an_agent(core, "helper", playbook="one")
    await given.an_agent(core, "helper", playbook="one", attempts=2)

    _, changed = await core.agents.publish(ME, old.source)

    assert changed
    assert (await core.agents.get(ME, "helper")).version == old.version


async def test_agents_survive_a_restart(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, playbooks={"one": idle}, with_engine=False) as core:
        published = await given.an_agent(core, "helper", playbook="one", attempts=2)
    async with given.a_core(tmp_path, with_engine=False) as core:
        assert await core.agents.get(ME, "helper") == published
        assert [agent.id for agent in await core.agents.all(ME)] == ["helper", "one"]


async def test_a_version_published_while_another_is_read_is_the_one_that_counts(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, playbooks={"one": idle}, with_engine=False) as core:
        await given.an_agent(core, "helper", playbook="one")
    async with given.a_core(tmp_path, playbooks={"one": idle}, with_engine=False) as core:
        _, new = await asyncio.gather(
            core.agents.current(ME, "helper"), given.an_agent(core, "helper", playbook="one", attempts=2)
        )

        assert (await core.agents.current(ME, "helper")).version == new.version


async def test_agents_of_tenants_do_not_meet(core: Core) -> None:
    await core.agents.publish(STRANGER, given.a_definition("theirs", playbook="one"))

    assert [agent.id for agent in await core.agents.all(ME)] == ["one"]
    for read in (core.agents.get(ME, "theirs"), core.agents.versions(ME, "theirs")):
        with pytest.raises(AgentNotFound):
            await read


async def test_a_misspelt_agent_is_answered_with_those_that_are_like_it(core: Core) -> None:
    await given.an_agent(core, "backend-developer", playbook="one")

    with pytest.raises(AgentNotFound, match="no agent 'backend-develper'; registered: backend-developer"):
        await core.agents.get(ME, "backend-develper")
    with pytest.raises(AgentNotFound, match="has no version 'abc'"):
        await core.agents.get(ME, "one", "abc")


async def test_without_any_agent_the_answer_says_how_to_get_one(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, with_engine=False) as core:
        with pytest.raises(AgentNotFound, match="none; put one with PUT"):
            await core.agents.get(ME, "any")


async def test_an_agent_whose_runtime_cannot_be_here_is_refused_but_a_models_is_kept_for_later(
    core: Core,
) -> None:
    with pytest.raises(
        RuntimeMissing, match=r"no playbook 'unheard'; registered: .*one.* \(CHARGEHAND_PLAYBOOKS adds\)"
    ):
        await given.an_agent(core, "helper", playbook="unheard")
    with pytest.raises(
        RuntimeMissing, match=r"no function 'unheard'; registered: none \(CHARGEHAND_FUNCTIONS adds\)"
    ):
        await given.an_agent(core, "helper", function="unheard")

    assert (await given.an_agent(core, "helper")).runtime == "model"


async def test_the_first_bad_file_of_many_is_named(core: Core) -> None:
    texts = {"good.md": given.a_definition("good", playbook="one"), "bad.md": "nothing"}

    with pytest.raises(InvalidDefinition, match=r"bad\.md: .*lacks front matter") as caught:
        await core.agents.publish_all(ME, texts)

    assert caught.value.findings


async def test_publishing_takes_the_scope(core: Core) -> None:
    reader = Principal(id="r", tenant="default", scopes=frozenset({Scope.AGENTS_READ}))

    with pytest.raises(Forbidden, match="agents:write"):
        await core.agents.publish(reader, given.a_definition("helper", playbook="one"))
    with pytest.raises(Forbidden, match="agents:read"):
        await core.agents.all(Principal(id="n", tenant="default", scopes=frozenset()))


async def test_a_delegate_that_is_not_registered_yet_is_told_in_the_answer_alone(core: Core) -> None:
    await core.agents.publish(ME, given.a_definition("helper", playbook="one"))
    text = given.a_definition("lead", playbook="one").replace(
        "chargehand:\n", "chargehand:\n  delegates: [helper, nope, lead]\n"
    )

    published, _ = await core.agents.publish(ME, text)

    assert [str(one.message) for one in published.findings] == ["there is no agent 'nope' (yet)"]
    assert (await core.agents.current(ME, "lead")).findings == ()


async def test_what_another_process_publishes_is_current_within_two_seconds_and_at_once_by_the_bus(
    core: Core,
) -> None:
    now = 0.0
    bus = Bus()
    here = Agents(core.db, core.runtimes, is_shared=True, now=lambda: now)
    by_bus = Agents(core.db, core.runtimes, is_shared=True, now=lambda: now, bus=bus)
    old = await given.an_agent(core, "helper", playbook="one")
    assert (await here.current(ME, "helper")).version == old.version
    assert (await by_bus.current(ME, "helper")).version == old.version

    new = await given.an_agent(core, "helper", playbook="one", attempts=2)
    bus.publish(AGENTS, f"{ME.tenant} helper")

    assert (await by_bus.current(ME, "helper")).version == new.version
    assert (await here.current(ME, "helper")).version == old.version
    now = FRESH_SECONDS + 0.01
    assert (await here.current(ME, "helper")).version == new.version


async def test_a_publication_that_changes_nothing_is_not_told(core: Core) -> None:
    told: list[str] = []
    core.bus.hear(AGENTS, told.append)
    text = given.a_definition("helper", playbook="one")
    for _ in range(2):
        await core.agents.publish(ME, text)

    assert told == [f"{ME.tenant} helper"]
