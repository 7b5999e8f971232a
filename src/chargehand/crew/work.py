"""What the crew's playbooks share: reading the specification, writing a part, running a command."""

import asyncio
from collections.abc import Callable

from chargehand.crew.blueprint import render
from chargehand.crew.specification import ServiceSpecification
from chargehand.crew.specification_input import parsed
from chargehand.domain.values import JsonValue
from chargehand.runtimes.base import AgentFailure
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service.journal import Delegation
from chargehand.tools.base import OUTCOME_UNKNOWN, ToolResult

SECOND_MS = 1000


def specification_of(ctx: PlaybookContext) -> ServiceSpecification:
    """The task's specification. It was checked when the task was submitted."""
    return parsed(str(ctx.data["specification"]))


def hand_over(ctx: PlaybookContext, agent_id: str) -> Delegation:
    """The same specification as work for a colleague."""
    return Delegation(agent_id=agent_id, task_data={"specification": ctx.data["specification"]}, labels={})


async def write_part(
    ctx: PlaybookContext, part: str, *, of: Callable[[str], bool] = lambda path: True
) -> list[str]:
    """Render a part of the project and write those of its files whose paths are `of` it; their paths.

    What was rendered is journaled, so that a replay by a newer version of Chargehand writes the same files.
    """
    spec = specification_of(ctx)

    async def rendered() -> JsonValue:
        return dict(await asyncio.to_thread(render, spec, part))

    files = await ctx.once(f"render {part}", rendered)
    if not isinstance(files, dict):
        raise TypeError(f"the rendered part {part!r} is no mapping of paths to texts")
    chosen = [path for path in files if of(path)]
    for path in chosen:
        await ctx.must("Write", file_path=path, content=str(files[path]))
    return chosen


async def run(ctx: PlaybookContext, command: str, *, seconds: float = 120) -> ToolResult:
    """Run a command in the workspace; a failure fails the task with what the command said.

    For commands that may be run twice, as all of the crew's may: one that was in flight when its worker died is
    run again.
    """
    result = await ctx.tool("Bash", command=command, timeout=int(seconds * SECOND_MS))
    while result.details.get("code") == OUTCOME_UNKNOWN:
        result = await ctx.tool("Bash", command=command, timeout=int(seconds * SECOND_MS))
    if result.is_error:
        raise AgentFailure(f"{command} failed: {result.content[-2000:]}", details=result.details)
    return result


async def todo(ctx: PlaybookContext, steps: list[str], current: int) -> None:
    """Keep the list that everyone sees: steps before `current` are done, that one is in progress."""
    todos: list[JsonValue] = [
        {
            "content": step,
            "activeForm": step,
            "status": "completed" if index < current else "in_progress" if index == current else "pending",
        }
        for index, step in enumerate(steps)
    ]
    await ctx.must("TodoWrite", todos=todos)
