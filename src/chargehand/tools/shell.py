"""Bash: one command line in the sandbox, with a time limit and an output that fits the agent's attention.

Rule: the agent is always told how the command ended, and where the output is that was not shown.
"""

import asyncio
import hashlib
import os
import re
import shutil
from dataclasses import dataclass, replace

from pydantic import Field

from chargehand.domain.values import JsonObject
from chargehand.errors import ToolError
from chargehand.tools.background import LONGEST_SECONDS
from chargehand.tools.base import AfterCrash, FunctionTool, Risk, ToolArguments, ToolContext, ToolResult
from chargehand.tools.paths import SERVICE_FOLDER, LogicalPath
from chargehand.tools.sandbox.base import Ended, EndedBy, SandboxCommand
from chargehand.tools.workspace import Workspace

DEFAULT_TIMEOUT_MS = 120_000
MAX_TIMEOUT_MS = 600_000
MAX_SHOWN_CHARACTERS = 30_000
MAX_SHOWN_OF_A_FAILURE = 10_000
"""A failure shows its beginning and its end: errors stand at either."""

_SAY_NO = frozenset(
    {"grep", "egrep", "fgrep", "rg", "find", "diff", "cmp", "test", "[", "git diff", "git grep"}
)
_BETWEEN_COMMANDS = re.compile(r"\s*(?:&&|\|\||[;|\n])\s*")

OUTPUT_FOLDER = LogicalPath((SERVICE_FOLDER, "output"))


class BashArguments(ToolArguments):
    command: str = Field(
        min_length=1, max_length=100_000, description="The command line, run by bash in the workspace."
    )
    timeout: int | None = Field(
        default=None,
        ge=1,
        le=MAX_TIMEOUT_MS,
        description=(
            "Milliseconds until it is ended, with all that it started; without it"
            f" {DEFAULT_TIMEOUT_MS:,}, or in the background as long as you work."
        ),
    )
    description: str = Field(
        default="",
        max_length=1_000,
        description="What the command is for, in a few words, for those who watch.",
    )
    run_in_background: bool = Field(
        default=False,
        description="Answer at once with an id for BashOutput and KillShell, and let it run while you go on.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The part of an output that the agent sees."""

    text: str
    left_out_characters: int


def shell_argv(
    command: str, *, is_windows: bool, bash: str | None, is_merged: bool = False
) -> tuple[str, ...]:
    """How a command line is run: by bash, and on Windows without one by PowerShell.

    `is_merged`: what it writes to standard error comes out with the rest, in order.
    """
    if not is_windows:
        bash = "/bin/bash"
    if bash is not None:
        # As an argument of its own, so that the command line is read exactly as it would be otherwise.
        merged = (bash, "-c", 'exec "$0" -c "$1" 2>&1', bash, command)
        return merged if is_merged else (bash, "-c", command)
    told = f"& {{ {command} }} 2>&1" if is_merged else command
    return ("powershell.exe", "-NoProfile", "-NonInteractive", "-Command", told)


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
    if arguments.run_in_background:
        return _begun(context, arguments)
    seconds = (arguments.timeout or DEFAULT_TIMEOUT_MS) / 1000
    ended = await context.sandbox.run(_command(context, arguments, seconds, is_merged=False))
    output = text_of(ended.stdout, ended.stderr)
    is_error = not ended.succeeded and not _says_no(arguments.command, ended)
    shown = shown_of(output, failed=is_error)
    kept = None
    if shown.left_out_characters or ended.dropped_bytes:
        kept = await keep_output(context.workspace, output)
    details: JsonObject = {
        "exit_code": ended.exit_code,
        "ended_by": ended.ended_by.value,
        "duration_seconds": round(ended.duration_seconds, 3),
        "dropped_bytes": ended.dropped_bytes,
        "output_file": str(kept) if kept is not None else None,
        "sandbox_level": context.sandbox.level.value,
    }
    told = [fate_of(ended, seconds), *_cuts(shown, ended, kept), *await fullness_of(context.workspace)]
    parts = [shown.text.rstrip("\n"), *(note for note in told if note)]
    return ToolResult(
        content="\n".join(part for part in parts if part) or "[no output]",
        details=details,
        is_error=is_error,
    )


def _begun(context: ToolContext, arguments: BashArguments) -> ToolResult:
    seconds = arguments.timeout / 1000 if arguments.timeout else LONGEST_SECONDS
    command = _command(context, arguments, seconds, is_merged=True)
    begun = context.background.start(context.sandbox, command, arguments.command)
    return ToolResult(
        content=f"It runs in the background as {begun.shell_id}. Read its output with BashOutput, end it with"
        " KillShell; it ends with your work at the latest.",
        details={"shell_id": begun.shell_id, "sandbox_level": context.sandbox.level.value},
    )


def _command(
    context: ToolContext, arguments: BashArguments, seconds: float, *, is_merged: bool
) -> SandboxCommand:
    is_windows = os.name == "nt"
    bash = shutil.which("bash") if is_windows else None
    return SandboxCommand(
        argv=shell_argv(arguments.command, is_windows=is_windows, bash=bash, is_merged=is_merged),
        workspace=context.workspace.folder,
        limits=replace(context.limits, wall_seconds=seconds),
    )


def _says_no(command: str, ended: Ended) -> bool:
    """Whether exit code 1 is an answer (nothing found, files differ) and no failure."""
    if ended.ended_by is not EndedBy.EXIT or ended.exit_code != 1:
        return False
    last = _BETWEEN_COMMANDS.split(command.strip())[-1].split()
    return bool(last) and (last[0] in _SAY_NO or " ".join(last[:2]) in _SAY_NO)


def text_of(*streams: bytes) -> str:
    """What a command wrote, as text that can be stored."""
    texts = (stream.decode(errors="replace").replace("\0", "") for stream in streams)
    return "\n".join(text.removesuffix("\n") for text in texts if text)


def fate_of(ended: Ended, seconds: float | None) -> str:
    """Empty when all went well."""
    match ended.ended_by:
        case EndedBy.EXIT:
            return f"[exit code {ended.exit_code}]" if ended.exit_code else ""
        case EndedBy.SIGNAL:
            return f"[ended by signal {ended.signal}, exit code {ended.exit_code}]"
        case EndedBy.TIMEOUT:
            after = f" after {seconds:g} s" if seconds is not None else ""
            return (
                f"[timed out{after} and was ended, with all that it started;"
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


async def keep_output(workspace: Workspace, output: str) -> LogicalPath | None:
    """Put the output into the workspace, by its hash; None when there is no room for it."""
    return await asyncio.to_thread(_keep, workspace, output)


def _keep(workspace: Workspace, output: str) -> LogicalPath | None:
    content = output.encode()
    path = OUTPUT_FOLDER.child(f"bash-{hashlib.sha256(content).hexdigest()[:12]}.txt")
    try:
        workspace.write_bytes(path, content)
    except ToolError:
        return None
    return path


async def fullness_of(workspace: Workspace) -> list[str]:
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
        " starts outlives it. What takes long or serves goes into the background with `run_in_background`."
    ),
    arguments=BashArguments,
    risk=Risk.EXECUTE,
    # A command may do anything: run twice, it may do it twice.
    after_crash=AfterCrash.REPORT,
    run=_bash,
)
