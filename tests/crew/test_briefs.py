"""The crew takes a brief in plain words when a model is configured, and says so when none is."""

from pathlib import Path

import pytest

from chargehand.domain.task import Status
from chargehand.errors import InvalidDefinition, RuntimeMissing
from tests import given
from tests.given import ME
from tests.runtimes.test_model import a_modelled_core

AGENT = """---
name: architect
description: Looks at plans.
tools: Read, Write
chargehand:
  runtime: playbook
  playbook: architect
  takes_briefs: true
---
You look at plans.
"""


async def by_playbook(context: object) -> str:
    del context
    return "by the playbook"


async def test_a_prompt_goes_to_the_model_and_everything_else_to_the_playbook(tmp_path: Path) -> None:
    opened = a_modelled_core(
        tmp_path, [{"text": "Seen."}], definition=AGENT, playbooks={"architect": by_playbook}
    )
    async with opened as (core, models):
        said = await given.ended(core, await given.a_task(core, "architect", {"prompt": "Look at this."}))
        played = await given.ended(core, await given.a_task(core, "architect", {"plan": "this"}))

        assert said.result == {"text": "Seen.", "model": "anthropic:claude-test"}
        assert (played.status, played.result) == (Status.COMPLETED, "by the playbook")
        assert len(models.log) == 1


async def test_without_a_model_a_prompt_is_refused_with_both_ways_out(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, playbooks={"architect": by_playbook}) as core:
        await core.agents.publish(ME, AGENT)

        with pytest.raises(
            RuntimeMissing, match=r"set CHARGEHAND_MODEL.*its playbook 'architect' works from"
        ):
            await given.a_task(core, "architect", {"prompt": "Look at this."})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("takes_briefs: maybe", "is not true or false"),
        ("takes_briefs: true\n  runtime: command\n  command: [cat]", "has a meaning only with"),
    ],
)
async def test_a_wrong_takes_briefs_is_refused(tmp_path: Path, line: str, said: str) -> None:
    text = AGENT.replace("takes_briefs: true", line)
    if "command" in line:
        text = text.replace("  runtime: playbook\n  playbook: architect\n", "")
    async with given.a_core(tmp_path, playbooks={"architect": by_playbook}) as core:
        with pytest.raises(InvalidDefinition, match=said):
            await core.agents.publish(ME, text)
