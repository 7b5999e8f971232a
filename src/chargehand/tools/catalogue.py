"""Every tool that the service brings, by the name that agents' definitions use."""

from collections.abc import Mapping
from types import MappingProxyType

from chargehand.domain.agent import AgentDefinition
from chargehand.tools.base import Tool
from chargehand.tools.editing import EDIT, MULTI_EDIT
from chargehand.tools.files import READ, WRITE
from chargehand.tools.planning import PLAN
from chargehand.tools.search import GLOB, GREP
from chargehand.tools.shell import BASH
from chargehand.tools.shells import BASH_OUTPUT, KILL_SHELL
from chargehand.tools.skills import SkillTool

_TOOLS: tuple[Tool, ...] = (READ, WRITE, EDIT, MULTI_EDIT, GLOB, GREP, BASH, BASH_OUTPUT, KILL_SHELL, PLAN)


def catalogue() -> Mapping[str, Tool]:
    """The tools in the order in which they are shown. Delegation is the runtimes' own and not among them."""
    return MappingProxyType({tool.name: tool for tool in _TOOLS})


def tools_of(known: Mapping[str, Tool], definition: AgentDefinition) -> Mapping[str, Tool]:
    """The known tools that a definition lists. Whoever has Bash may also look after what it left running."""
    names = {
        *definition.tools,
        *((BASH_OUTPUT.name, KILL_SHELL.name) if BASH.name in definition.tools else ()),
    }
    return {
        name: tool.for_names(definition.wishes.skills) if isinstance(tool, SkillTool) else tool
        for name, tool in known.items()
        if name in names
    }
