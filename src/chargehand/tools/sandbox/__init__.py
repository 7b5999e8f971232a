"""Where commands run: one port, named levels, fail closed.

A level is used only after it really ran a child on this machine, and a launch that fails later is an error:
nothing is ever run outside the level that was opened.
"""

from chargehand.tools.sandbox.base import (
    Ended,
    EndedBy,
    Sandbox,
    SandboxCommand,
    SandboxLevel,
    SandboxLimits,
)
from chargehand.tools.sandbox.probe import LevelReport, open_sandbox, probe_levels

__all__ = [
    "Ended",
    "EndedBy",
    "LevelReport",
    "Sandbox",
    "SandboxCommand",
    "SandboxLevel",
    "SandboxLimits",
    "open_sandbox",
    "probe_levels",
]
