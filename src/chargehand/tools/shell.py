"""Bash: one command line in the sandbox, with a time limit and an output that fits the agent's attention.

Rule: the agent is always told how the command ended, and where the output is that was not shown.
"""

import asyncio
import hashlib
import os
import shutil
from dataclasses import dataclass, replace

from pydantic import Field

from chargehand.domain.values import JsonObject
from chargehand.errors import ToolError
from chargehand.tools.base import AfterCrash, FunctionTool, Risk, ToolArguments, ToolContext, ToolResult
from chargehand.tools.paths import SERVICE_FOLDER, LogicalPath
from chargehand.tools.sandbox.base import Ended, EndedBy, SandboxCommand
from chargehand.tools.workspace import Workspace

DEFAULT_TIMEOUT_MS = 120_000
MAX_TIMEOUT_MS = 600_000
MAX_SHOWN_CHARACTERS = 30_000
MAX_SHOWN_OF_A_FAILURE = 10_000
"""A failure shows its beginning and its end: errors stand at either."""

OUTPUT_FOLDER = LogicalPath((SERVICE_FOLDER, "output"))


class BashArguments(ToolArguments):
    command: str = Field(
        min_length=1, max_length=100_000, description="The command line, run by bash in the workspace."
    )
    timeout: int = Field(
        default=DEFAULT_TIMEOUT_MS,
        ge=1,
        le=MAX_TIMEOUT_MS,
        description="Milliseconds until it is ended, with all that it started.",
    )
    description: str = Field(
        default="",
        max_length=1_000,
        description="What the command is for, in a few words, for those who watch.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The part of an output that the agent sees."""

    text: str
    left_out_characters: int


def shell_argv(command: str, *, is_windows: bool, bash: str | None) -> tuple[str, ...]:
    """How a command line is run: by bash, and on Windows without one by PowerShell."""
    if not is_windows:
        return ("/bin/bash", "-c", command)
    if bash is not None:
        return (bash, "-c", command)
    return ("powershell.exe", "-NoProfile", "-NonInteractive", "-Command", command)


def shown_of(output: str, *, failed: bool) -> Shown:
    """The beginning of a good output; beginning and end of a failed one."""
    most = MAX_SHOWN_OF_A_FAILURE if failed else MAX_SHOWN_CHARACTERS
    left_out = len(output) - most
    if left_out <= 0:
        return Shown(text=output, left_out_characters=0)
    if not failed:
        return Shown(text=output[:most], left_out_characters=left_out)
    half = most // 2
    text = f"{output[:half]}\n[… {left_out:,} characters left out …]\n{output[-half:]}"
    return Shown(text=text, left_out_characters=left_out)


async def _bash(context: ToolContext, arguments: BashArguments) -> ToolResult:
    if "\0" in arguments.command:
        raise ToolError("the command holds a NUL character, which no shell takes: remove it")
    is_windows = os.name == "nt"
    bash = shutil.which("bash") if is_windows else None
    seconds = arguments.timeout / 1000
    ended = await context.sandbox.run(
        SandboxCommand(
            argv=shell_argv(arguments.command, is_windows=is_windows, bash=bash),
            workspace=context.workspace.folder,
            limits=replace(context.limits, wall_seconds=seconds),
        )
    )
    output = _text(ended)
    shown = shown_of(output, failed=not ended.succeeded)
    kept = None
    if shown.left_out_characters or ended.dropped_bytes:
        kept = await asyncio.to_thread(_keep, context.workspace, output)
    details: JsonObject = {
        "exit_code": ended.exit_code,
        "ended_by": ended.ended_by.value,
        "duration_seconds": round(ended.duration_seconds, 3),
        "dropped_bytes": ended.dropped_bytes,
        "output_file": str(kept) if kept is not None else None,
        "sandbox_level": context.sandbox.level.value,
    }
    told = [_fate(ended, seconds), *_cuts(shown, ended, kept), *await _fullness(context.workspace)]
    parts = [shown.text.rstrip("\n"), *(note for note in told if note)]
    return ToolResult(
        content="\n".join(part for part in parts if part) or "[no output]",
        details=details,
        is_error=not ended.succeeded,
    )


def _text(ended: Ended) -> str:
    streams = (stream.decode(errors="replace").replace("\0", "") for stream in (ended.stdout, ended.stderr))
    return "\n".join(stream.removesuffix("\n") for stream in streams if stream)


def _fate(ended: Ended, seconds: float) -> str:
    """Empty when all went well."""
    match ended.ended_by:
        case EndedBy.EXIT:
            return f"[exit code {ended.exit_code}]" if ended.exit_code else ""
        case EndedBy.SIGNAL:
            return f"[ended by signal {ended.signal}, exit code {ended.exit_code}]"
        case EndedBy.TIMEOUT:
            return (
                f"[timed out after {seconds:g} s and was ended, with all that it started;"
                f" `timeout` can be up to {MAX_TIMEOUT_MS} ms]"
            )
        case EndedBy.CPU:
            return "[ended: it used up its CPU time]"
        case EndedBy.MEMORY:
            return "[ended: it used more memory than a command may]"
        case EndedBy.PROCESSES:
            return "[ended: it started more processes than a command may]"
        case EndedBy.DISK:
            return "[ended: HOME and TMPDIR together grew larger than they may]"


def _cuts(shown: Shown, ended: Ended, kept: LogicalPath | None) -> list[str]:
    notes: list[str] = []
    if kept is not None:
        notes.append(f"[{shown.left_out_characters:,} characters are not shown; read them in {kept}]")
    if ended.dropped_bytes:
        notes.append(f"[{ended.dropped_bytes:,} more bytes were written and not kept]")
    return notes


def _keep(workspace: Workspace, output: str) -> LogicalPath | None:
    """Put the output into the workspace, by its hash; None when there is no room for it."""
    content = output.encode()
    path = OUTPUT_FOLDER.child(f"bash-{hashlib.sha256(content).hexdigest()[:12]}.txt")
    try:
        workspace.write_bytes(path, content)
    except ToolError:
        return None
    return path


async def _fullness(workspace: Workspace) -> list[str]:
    """What the command wrote past the file tools is measured here; a full workspace is said at once."""
    usage = await asyncio.to_thread(workspace.usage)
    quota = workspace.quota
    if usage.size_bytes > quota.max_bytes:
        return [
            f"[the workspace holds {usage.size_bytes:,} bytes, more than its {quota.max_bytes:,}: remove some]"
        ]
    if usage.files > quota.max_files:
        return [
            f"[the workspace holds {usage.files:,} files, more than its {quota.max_files:,}: remove some]"
        ]
    return []


BASH = FunctionTool(
    name="Bash",
    description=(
        "Run a command line with bash in the workspace's sandbox: no network but the sandbox's own loopback,"
        " a private HOME and TMPDIR that are gone afterwards. Each call is a new shell; nothing that it"
        " starts outlives it."
    ),
    arguments=BashArguments,
    risk=Risk.EXECUTE,
    # A command may do anything: run twice, it may do it twice.
    after_crash=AfterCrash.REPORT,
    run=_bash,
)
