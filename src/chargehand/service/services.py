"""All that can be done, in one place: what app.py hands to the ways in."""

from dataclasses import dataclass

from chargehand.service.access import Access
from chargehand.service.agents import Agents
from chargehand.service.health import Health
from chargehand.service.measures import Measures
from chargehand.service.tasks import Tasks
from chargehand.service.watch import Watch


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The service's use cases."""

    agents: Agents
    tasks: Tasks
    watch: Watch
    access: Access
    health: Health
    measures: Measures
