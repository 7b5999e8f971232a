"""Level `none`, and what macOS adds to it: limits, and a kill that reaches the whole tree.

Rule: `none` confines nothing. It is there for operators who asked for it by name.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from chargehand.tools.sandbox.base import Ended, OnLine, SandboxCommand, SandboxLevel
from chargehand.tools.sandbox.environment import Toolchains, build_environment
from chargehand.tools.sandbox.guard import Guard
from chargehand.tools.sandbox.limits import process_limits
from chargehand.tools.sandbox.request import checked_argv, open_workspace
from chargehand.tools.sandbox.runner.forms import Form
from chargehand.tools.sandbox.runner_start import run_by_runner
from chargehand.tools.sandbox.scratch import Scratch, scratch_folders


@dataclass(slots=True, kw_only=True)
class PlainSandbox:
    """Runs commands with limits and nothing else."""

    toolchains: Toolchains
    level: SandboxLevel = field(default=SandboxLevel.NONE, init=False)

    async def run(self, command: SandboxCommand, *, on_stdout_line: OnLine | None = None) -> Ended:
        """Run the command to its end; see `Sandbox.run`."""
        argv = checked_argv(command)
        os.close(open_workspace(command))
        with scratch_folders() as scratch:
            form = plain_form(command, argv, scratch, self.toolchains)
            guard = Guard(limits=command.limits, groups=None, scratch=scratch)
            return await run_by_runner(command, form, guard, on_stdout_line=on_stdout_line)


def plain_form(
    command: SandboxCommand, argv: Sequence[str], scratch: Scratch, toolchains: Toolchains
) -> Form:
    """What the runner needs to know to run a command that it does not confine."""
    environment = build_environment(
        home=str(scratch.home),
        temporary=str(scratch.temporary),
        bin_folders=toolchains.bin_folders,
        added=command.environment,
    )
    limits = process_limits(command.limits, count_processes=False)
    return {
        "mode": ["plain"],
        "argv": list(argv),
        "names": list(environment),
        "values": list(environment.values()),
        "cwd": [str(command.workspace.resolve() / command.cwd)],
        "limits": [f"{name} {soft} {hard}" for name, (soft, hard) in limits.items()],
    }
