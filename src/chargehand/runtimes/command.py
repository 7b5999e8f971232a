"""Commands: an external program in the sandbox, run as one journaled step.

It reads one JSON object on standard input (`task_id`, `task_data`, `round`, `failures`, …) and writes JSON
lines on standard output: `{"type": "progress", "message": …}`, `{"type": "result", "result": …}`,
`{"type": "error", "message": …, "may_retry": …}`. A line that is no such object is told as progress. Exit
code 0 completes the task. A program in flight when its worker dies is run again.
"""

import json
from dataclasses import dataclass, field, replace

from chargehand.domain.history import StepKind
from chargehand.domain.values import JsonObject, JsonValue, canonical, check_json
from chargehand.errors import ChargehandError
from chargehand.runtimes.base import AgentFailure, Hands
from chargehand.tools.sandbox.base import Ended, EndedBy, SandboxCommand

MAX_LINE_BYTES = 256 * 1024
MAX_TOLD_LINES = 1000
MAX_RESULT_NODES = 200_000
_TOO_LARGE = (
    f"the result is no JSON, or larger than {MAX_LINE_BYTES // 1024} KiB or {MAX_RESULT_NODES} values;"
    " write it to a file and promise that as a deliverable"
)
WALL_SECONDS = 3600.0


@dataclass(slots=True)
class _Heard:
    """What the program has said so far."""

    result: JsonValue = None
    error: JsonObject | None = None
    told: int = field(default=0)
    has_lost_one: bool = False
    """A result or an error could not be taken and none came after it: the task must not complete without it."""


class CommandRuntime:
    """Carries out agents of runtime `command`."""

    async def run(self, hands: Hands) -> JsonValue:
        """Run the program once; the journal keeps its result."""
        argv = hands.definition.block.command

        async def work() -> JsonValue:
            heard = _Heard()

            async def on_line(line: bytes) -> None:
                await _hear(hands, heard, line)

            limits = replace(hands.tools.limits, wall_seconds=WALL_SECONDS)
            command = SandboxCommand(
                argv=argv,
                workspace=hands.tools.workspace.folder,
                stdin=canonical(_input(hands)).encode(),
                limits=limits,
            )
            ended = await hands.tools.sandbox.run(command, on_stdout_line=on_line)
            return _verdict(argv, heard, ended)

        arguments: JsonObject = {"command": " ".join(argv)}
        return await hands.steps.run(f"{hands.task.round}/0", StepKind.TOOL, "command", arguments, work)


def _input(hands: Hands) -> JsonObject:
    task = hands.task
    return {
        "task_id": task.id,
        "agent_id": task.agent_id,
        "context_id": task.context_id,
        "task_data": task.task_data,
        "round": task.round,
        "failures": [one.as_data() for one in hands.failures],
    }


async def _hear(hands: Hands, heard: _Heard, line: bytes) -> None:
    text = line[:MAX_LINE_BYTES].decode("utf-8", "replace").replace("\x00", "").strip()
    if not text:
        return
    if len(line) > MAX_LINE_BYTES and text.startswith("{"):
        heard.has_lost_one = True
        return
    said = _parsed(text)
    match said.get("type"):
        case "result" | "error" if not _is_sound(said):
            heard.has_lost_one = True
            await _tell(hands, heard, text[:2000])
        case "result":
            heard.result, heard.has_lost_one = said.get("result"), False
        case "error":
            heard.error = said
        case "progress":
            await _tell(hands, heard, str(said.get("message", "")))
        case _:
            await _tell(hands, heard, text[:2000])


async def _tell(hands: Hands, heard: _Heard, message: str) -> None:
    heard.told += 1
    if heard.told <= MAX_TOLD_LINES:
        await hands.report(message[:2000])


def _parsed(text: str) -> JsonObject:
    try:
        said: object = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}  # pyright: ignore[reportUnknownVariableType] - JSON of strangers


def _is_sound(said: JsonObject) -> bool:
    try:
        check_json(said, max_nodes=MAX_RESULT_NODES)
    except ChargehandError:
        return False
    return True


def _verdict(argv: tuple[str, ...], heard: _Heard, ended: Ended) -> JsonValue:
    if heard.error is not None:
        message = str(heard.error.get("message", "the program reported an error"))
        raise AgentFailure(message[:2000], may_retry=heard.error.get("may_retry") is True)
    if ended.ended_by is not EndedBy.EXIT:
        raise AgentFailure(
            f"{argv[0]} was ended by {ended.ended_by.value} after {ended.duration_seconds:.1f} s"
        )
    if ended.exit_code != 0:
        tail = ended.stderr.decode("utf-8", "replace").replace("\x00", "")[-2000:]
        raise AgentFailure(f"{argv[0]} ended with exit code {ended.exit_code}", details={"stderr": tail})
    if heard.has_lost_one:
        raise AgentFailure(_TOO_LARGE)
    return heard.result
