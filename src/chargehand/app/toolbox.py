"""The tools of this service: those that it brings, those that its settings allow, and the operator's own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from chargehand.app.loading import installed, loaded
from chargehand.domain.agent_tools import Offer, is_taken
from chargehand.errors import InvalidInput
from chargehand.network.addresses import HostRules
from chargehand.network.guarded_http import GuardedHttp
from chargehand.settings import Settings
from chargehand.tools.base import Tool
from chargehand.tools.catalogue import catalogue
from chargehand.tools.fetching import web_fetch
from chargehand.tools.python import tool_of
from chargehand.tools.skills import SkillTool, find_skills

ENTRY_POINTS = "chargehand.tools"


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolbox:
    """The tools by name, and what definitions may say because of them."""

    catalogue: Mapping[str, Tool]
    offer: Offer


def open_toolbox(settings: Settings) -> Toolbox:
    """Find the skills and load the operator's tools. InvalidInput names what cannot be loaded."""
    tools: dict[str, Tool] = dict(catalogue())
    optional: list[str] = []
    skills: frozenset[str] | None = None
    if settings.fetch_hosts:
        rules = HostRules(hosts=settings.fetch_hosts, private=settings.fetch_private_hosts)
        optional.append("WebFetch")
        tools["WebFetch"] = web_fetch(GuardedHttp(rules=rules))
    if settings.skills_dir is not None:
        found = find_skills(settings.skills_dir)
        skills = frozenset(found)
        optional.append("Skill")
        tools["Skill"] = SkillTool(skills=found)
    own: list[str] = []
    for place, one in _own(settings):
        if is_taken(one.name) or one.name in tools:
            raise InvalidInput(f"the tool {one.name!r} of {place} has a name that is taken; give it another")
        own.append(one.name)
        tools[one.name] = one
    return Toolbox(catalogue=tools, offer=Offer(optional=tuple(optional), own=frozenset(own), skills=skills))


def _own(settings: Settings) -> Iterator[tuple[str, Tool]]:
    """From installed packages' entry points, then from the settings, each with where it stands."""
    for _, place, found in installed(ENTRY_POINTS):
        yield place, tool_of(found, place)
    for text in settings.tools:
        yield text, tool_of(loaded(text, "CHARGEHAND_TOOLS"), text)
