"""What binds an agent binds those that it hands work to: no denial ends at a delegation."""

from pathlib import Path
from typing import Any

import pytest

from chargehand.domain.history import EventKind
from chargehand.domain.task import Status
from chargehand.testkit.server import scripted_models
from tests import given
from tests.given import ME

LEADER = """---
name: leader
description: Leads.
tools: Read, Agent
disallowedTools: Bash(git push:*), Read(secret/**)
chargehand:
  delegates: [middle, hand]
  policy:
    - {tool: "Write(deploy/**)", action: deny}
    - {tool: "Edit", action: ask}
---
You lead.
"""
MIDDLE = """---
name: middle
description: Hands on.
tools: Agent
chargehand:
  delegates: [hand]
---
You hand on.
"""
HAND = """---
name: hand
description: Works.
tools: Bash, Read, Write, Edit
---
You work.
"""
OPERATOR = (
    "- {agent: leader, tool: 'Bash(rm:*)', action: deny}\n- {agent: leader, tool: Bash, action: allow}\n"
)
CALLS: list[dict[str, Any]] = [
    {"name": "Bash", "arguments": {"command": "env git push"}},
    {"name": "Bash", "arguments": {"command": "rm x"}},
    {"name": "Bash", "arguments": {"command": "echo x | tee deploy/run"}},
    {"name": "Write", "arguments": {"file_path": "deploy/run", "content": "x"}},
    {"name": "Read", "arguments": {"file_path": "secret/key"}},
    {"name": "Write", "arguments": {"file_path": "notes", "content": "x"}},
]
SAID = [
    "the definition of leader: deny Bash(git push:*)",
    "the operator's policy: deny Bash(rm:*)",
    "deny Write(deploy/**)",
    "deny Write(deploy/**)",
    "leader handed this work down, and may not do it itself: Read was not run: the definition denies Read(secret/**)",
    "notes",
]


def handed(to: str, prompt: str) -> dict[str, Any]:
    return {"calls": [{"name": "Agent", "arguments": {"subagent_type": to, "prompt": prompt}}]}


@pytest.mark.parametrize("way", ["direct", "by way of another"])
async def test_what_an_agent_may_not_do_is_not_done_for_it(tmp_path: Path, way: str) -> None:
    (tmp_path / "policy.yaml").write_text(OPERATOR, encoding="utf-8")
    first = handed("hand", "[work]") if way == "direct" else handed("middle", "[on]")
    script = [
        {"match": {"prompt_contains": "[lead]"}, "turns": [first, {"text": "Done."}]},
        {"match": {"prompt_contains": "[on]"}, "turns": [handed("hand", "[work]"), {"text": "Done."}]},
        {"match": {"prompt_contains": "[work]"}, "turns": [{"calls": CALLS}, {"text": "Done."}]},
    ]
    async with scripted_models(script) as models:
        options: dict[str, Any] = {
            "model": "anthropic:claude-test",
            "model_urls": {"anthropic": models.url},
            "policy_file": tmp_path / "policy.yaml",
        }
        async with given.a_core(tmp_path, **options) as core:
            for text in (LEADER, MIDDLE, HAND):
                await core.agents.publish(ME, text)
            ended = await given.ended(core, await given.a_task(core, "leader", {"prompt": "[lead]"}))

            assert ended.status is Status.COMPLETED, ended.error
            results = given.rows(
                core,
                "SELECT s.result FROM task_steps s JOIN agent_tasks t ON t.id = s.task_id"
                " WHERE t.agent_id = 'hand' AND s.kind = 'tool' ORDER BY s.path",
            )
            told = [str(result[0]) for result in results]
            assert [said for said, one in zip(SAID, told, strict=True) if said not in one] == []


async def test_what_an_agent_asks_about_is_asked_of_whom_it_hands_work_to_and_of_nobody_else(
    tmp_path: Path,
) -> None:
    edit = {"name": "Edit", "arguments": {"file_path": "a", "old_string": "a", "new_string": "b"}}
    script = [
        {"match": {"prompt_contains": "[lead]"}, "turns": [handed("hand", "[work]"), {"text": "Done."}]},
        {"match": {"prompt_contains": "[work]"}, "turns": [{"calls": [edit]}, {"text": "Done."}]},
    ]
    async with scripted_models(script) as models:
        options: dict[str, Any] = {
            "model": "anthropic:claude-test",
            "model_urls": {"anthropic": models.url},
        }
        async with given.a_core(tmp_path, **options) as core:
            for text in (LEADER, MIDDLE, HAND):
                await core.agents.publish(ME, text)
            alone = await given.a_task(core, "hand", {"prompt": "[work]"})
            assert (await given.ended(core, alone)).status is Status.COMPLETED
            led = await given.a_task(core, "leader", {"prompt": "[lead]"})
            await given.event(core, led, EventKind.WAITING)

            async def is_asked() -> bool:
                return bool((await core.approvals.page(ME, status="open")).items)

            await given.eventually(is_asked)
            [approval] = (await core.approvals.page(ME)).items
            assert (approval.agent_id, approval.tool) == ("hand", "Edit")
