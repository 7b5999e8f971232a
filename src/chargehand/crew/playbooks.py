"""The crew's playbooks, by the names that the definitions give them.

They are loaded when the first of them gets a task: a service whose crew has nothing to do carries none of it.
"""

import asyncio
from importlib import import_module

from chargehand.domain.values import JsonObject, JsonValue
from chargehand.runtimes.playbook import Playbook, PlaybookContext

_PLACES = {
    "backend-developer": "chargehand.crew.backend_developer",
    "system-architect": "chargehand.crew.specialists",
    "database-designer": "chargehand.crew.specialists",
    "test-automator": "chargehand.crew.specialists",
    "api-documenter": "chargehand.crew.specialists",
    "security-auditor": "chargehand.crew.specialists",
    "performance-optimizer": "chargehand.crew.specialists",
    "deployment-specialist": "chargehand.crew.specialists",
}
"""The modules with the playbooks; a function is named like its agent."""


def _of_crew(name: str, place: str) -> Playbook:
    async def run(context: PlaybookContext) -> JsonValue:
        # Beside the event loop, which would stand still for as long as it takes.
        module = await asyncio.to_thread(import_module, place)
        return await getattr(module, name.replace("-", "_"))(context)

    return Playbook(name=name, run=run, check_input=_check_specification)


def _check_specification(task_data: JsonObject) -> None:
    import_module("chargehand.crew.specification_input").check_specification(task_data)


PLAYBOOKS: dict[str, Playbook] = {name: _of_crew(name, place) for name, place in _PLACES.items()}
