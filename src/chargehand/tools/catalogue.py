"""Every tool that the service brings, by the name that agents' definitions use."""

from collections.abc import Mapping
from types import MappingProxyType

from chargehand.tools.base import Tool
from chargehand.tools.editing import EDIT, MULTI_EDIT
from chargehand.tools.files import READ, WRITE
from chargehand.tools.planning import PLAN
from chargehand.tools.search import GLOB, GREP
from chargehand.tools.shell import BASH

_TOOLS: tuple[Tool, ...] = (READ, WRITE, EDIT, MULTI_EDIT, GLOB, GREP, BASH, PLAN)


def catalogue() -> Mapping[str, Tool]:
    """The tools in the order in which they are shown. Delegation is the runtimes' own and not among them."""
    return MappingProxyType({tool.name: tool for tool in _TOOLS})
