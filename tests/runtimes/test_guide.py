"""The agents of docs/guide/agents.md do what the page says."""

import asyncio
import re
from pathlib import Path

from chargehand.domain.task import Status, TaskOrder
from chargehand.runtimes.playbook import Playbook
from chargehand.tools.sandbox.base import Sandbox
from tests import given
from tests.given import ME

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "agents.md"

PLAYBOOK_AGENT = """---
name: release-notes
description: Writes release notes.
chargehand:
  runtime: playbook
  playbook: release-notes
  delegates: [greeter]
---
Writes release notes.
"""


def block(language: str) -> str:
    found = re.search(
        rf"^```{language}\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert found is not None
    return found[1]


async def test_the_program_of_the_guide_greets_and_its_check_passes(tmp_path: Path, sandbox: Sandbox) -> None:
    async with given.a_core(tmp_path, sandbox=sandbox) as core:
        await core.agents.publish(ME, block("markdown"))

        accepted = await core.tasks.submit(ME, TaskOrder(agent_id="greeter", task_data={"who": "Ada"}))
        ended = await given.ended(core, accepted.task)

        assert (ended.status, ended.result) == (Status.COMPLETED, {"greeted": "Ada"})
        [greeting] = await core.watch.deliverables(ME, ended.id)
        assert await core.watch.content(greeting.sha256) == b"Hello, Ada\n"


async def test_the_playbook_of_the_guide_asks_delegates_and_completes(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    module: dict[str, object] = {}
    exec(block("python"), module)  # noqa: S102 - the page's own example is what is tested
    playbook = Playbook(name="release-notes", run=module["release_notes"])  # pyright: ignore[reportArgumentType] - as above
    async with given.a_core(tmp_path, sandbox=sandbox, playbooks={"release-notes": playbook}) as core:
        for definition in (block("markdown"), PLAYBOOK_AGENT):
            await core.agents.publish(ME, definition)
        accepted = await core.tasks.submit(
            ME, TaskOrder(agent_id="release-notes", task_data={"version": "1.0"})
        )
        async with asyncio.timeout(given.LIMIT_SECONDS):
            async for event in core.watch.follow(ME, accepted.task.id):
                if event is not None and event.kind == "question.asked":
                    await core.tasks.answer(ME, accepted.task.id, str(event.data["path"]), "yes")

        ended = await given.ended(core, accepted.task)
        assert (ended.status, ended.result) == (Status.COMPLETED, {"version": "1.0", "published": True})
