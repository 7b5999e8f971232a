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

__all__ = [
    "Ended",
    "EndedBy",
    "Sandbox",
    "SandboxCommand",
    "SandboxLevel",
    "SandboxLimits",
]
