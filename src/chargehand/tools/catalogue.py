"""Every tool that the service brings, by the name that agents' definitions use."""

from collections.abc import Collection, Mapping
from types import MappingProxyType

from chargehand.tools.base import Tool
from chargehand.tools.editing import EDIT, MULTI_EDIT
from chargehand.tools.files import READ, WRITE
from chargehand.tools.planning import PLAN
from chargehand.tools.search import GLOB, GREP
from chargehand.tools.shell import BASH
from chargehand.tools.shells import BASH_OUTPUT, KILL_SHELL

_TOOLS: tuple[Tool, ...] = (READ, WRITE, EDIT, MULTI_EDIT, GLOB, GREP, BASH, BASH_OUTPUT, KILL_SHELL, PLAN)


def catalogue() -> Mapping[str, Tool]:
    """The tools in the order in which they are shown. Delegation is the runtimes' own and not among them."""
    return MappingProxyType({tool.name: tool for tool in _TOOLS})


def tools_of(known: Mapping[str, Tool], names: Collection[str]) -> Mapping[str, Tool]:
    """The known tools that a definition lists. Whoever has Bash may also look after what it left running."""
    beside = (BASH_OUTPUT.name, KILL_SHELL.name) if BASH.name in names else ()
    return {name: tool for name, tool in known.items() if name in names or name in beside}
