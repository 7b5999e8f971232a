"""BashOutput and KillShell: what became of a command that Bash left running.

Rule: an agent whose attempt was resumed is told that its commands are gone, never that they do not exist.
"""

from dataclasses import replace

from pydantic import Field

from chargehand.domain.values import JsonObject
from chargehand.errors import ToolError
from chargehand.tools.background import BackgroundCommand
from chargehand.tools.base import (
    OUTCOME_UNKNOWN,
    AfterCrash,
    FunctionTool,
    Risk,
    ToolArguments,
    ToolContext,
    ToolResult,
)
from chargehand.tools.ripgrep import ripgrep_program
from chargehand.tools.sandbox.base import EndedBy, SandboxCommand
from chargehand.tools.shell import MAX_TIMEOUT_MS, fate_of, fullness_of, keep_output, shown_of, text_of

FILTER_SECONDS = 10.0
_NOTHING_MATCHED = 1


class BashOutputArguments(ToolArguments):
    bash_id: str = Field(max_length=100, description="The id that Bash gave.")
    filter: str | None = Field(
        default=None,
        min_length=1,
        max_length=1_000,
        pattern=r"\A[^\x00]+\z",
        description="A regular expression: only new lines that it matches are shown, the others are passed over.",
    )
    wait: int = Field(
        default=0,
        ge=0,
        le=MAX_TIMEOUT_MS,
        description="Milliseconds to wait for output or its end when there is nothing new yet.",
    )


class KillShellArguments(ToolArguments):
    shell_id: str = Field(max_length=100, description="The id that Bash gave.")


async def _bash_output(context: ToolContext, arguments: BashOutputArguments) -> ToolResult:
    command = _command(context, arguments.bash_id)
    if isinstance(command, ToolResult):
        return command
    if arguments.wait:
        await command.news(arguments.wait / 1000)
    # Before the output is taken: what a command that has ended wrote is complete. And both at one moment.
    status, details = status_of(command), _details(command)
    taken = command.take()
    try:
        output = await _filtered(context, taken, arguments.filter) if arguments.filter else taken
    except BaseException:
        command.put_back(taken)
        raise
    text = text_of(output)
    shown = shown_of(text, failed=False)
    kept = await keep_output(context.workspace, text) if shown.left_out_characters else None
    notes = [f"[{status}]"]
    if shown.left_out_characters:
        rest = f"; read them in {kept}" if kept is not None else ""
        notes.append(f"[{shown.left_out_characters:,} characters are not shown{rest}]")
    if command.dropped_bytes:
        notes.append(
            f"[{command.dropped_bytes:,} bytes were written faster than they were read, and not kept]"
        )
        command.dropped_bytes = 0
    body = shown.text.rstrip("\n") or "[no new output]"
    return ToolResult(
        content="\n".join([body, *notes, *await fullness_of(context.workspace)]),
        details={**details, "output_file": str(kept) if kept is not None else None},
    )


async def _kill_shell(context: ToolContext, arguments: KillShellArguments) -> ToolResult:
    command = _command(context, arguments.shell_id)
    if isinstance(command, ToolResult):
        return command
    was_running = command.is_running
    await command.kill()
    told = (
        "was ended, with all that it started" if was_running else f"had ended already: {status_of(command)}"
    )
    return ToolResult(
        content=f"{command.shell_id} {told}. Its last output can be read with BashOutput.",
        details=_details(command),
    )


def _command(context: ToolContext, shell_id: str) -> BackgroundCommand | ToolResult:
    """The command; or what to tell of one that an attempt before had started. ToolError when there was none."""
    found = context.background.get(shell_id)
    if found is not None:
        return found
    if context.reads.has_started(shell_id):
        told = (
            f"{shell_id} does not run any more: the work was interrupted and taken up again, which ended it."
            " How far it came is unknown: look, and start it again if it is still needed."
        )
        return ToolResult(content=told, details={"code": OUTCOME_UNKNOWN}, is_error=True)
    known = ", ".join(context.background.ids()) or "none"
    raise ToolError(f"there is no command {shell_id[:60]!r} in the background; there are: {known}")


def status_of(command: BackgroundCommand) -> str:
    """How it stands, in words for the agent."""
    if command.is_running:
        return "still running"
    if command.was_killed:
        return "ended by KillShell"
    ended = command.ended
    if ended is None:
        return f"could not be run: {command.failure or 'it was interrupted'}"
    return fate_of(ended, None).strip("[]") or "completed, exit code 0"


def _details(command: BackgroundCommand) -> JsonObject:
    ended = command.ended
    status = "running" if command.is_running else "killed" if command.was_killed else "ended"
    return {
        "shell_id": command.shell_id,
        "status": status,
        "exit_code": ended.exit_code if ended is not None else None,
        "ended_by": ended.ended_by.value if ended is not None else None,
    }


async def _filtered(context: ToolContext, output: bytes, pattern: str) -> bytes:
    """By ripgrep in the sandbox: no pattern of an agent's can keep the service itself busy."""
    if not output:
        return b""
    argv = (ripgrep_program(), "--no-config", "--color=never", "--text", f"--regexp={pattern}", "-")
    limits = replace(context.limits, wall_seconds=FILTER_SECONDS)
    ended = await context.sandbox.run(
        SandboxCommand(argv=argv, workspace=context.workspace.folder, stdin=output, limits=limits)
    )
    if ended.ended_by is EndedBy.EXIT and ended.exit_code in (0, _NOTHING_MATCHED):
        return ended.stdout
    said = ended.stderr.decode(errors="replace").strip()[:500] or ended.ended_by.value
    raise ToolError(f"the filter could not be applied, no output was passed over: {said}")


BASH_OUTPUT = FunctionTool(
    name="BashOutput",
    description=(
        "What a command that Bash runs in the background has written since you last asked, and whether it still"
        " runs. With `wait` it waits for news instead of answering at once."
    ),
    arguments=BashOutputArguments,
    risk=Risk.READ,
    # The command itself died with its worker, and that is what a second call finds.
    after_crash=AfterCrash.REPEAT,
    run=_bash_output,
)

KILL_SHELL = FunctionTool(
    name="KillShell",
    description="End a command that Bash runs in the background, with everything that it has started.",
    arguments=KillShellArguments,
    risk=Risk.EXECUTE,
    after_crash=AfterCrash.REPEAT,
    run=_kill_shell,
)
