"""The crew's playbooks, by the names that the definitions give them."""

from collections.abc import Awaitable, Callable

from chargehand.crew import specialists
from chargehand.crew.backend_developer import backend_developer
from chargehand.crew.work import check_specification
from chargehand.domain.values import JsonValue
from chargehand.runtimes.playbook import Playbook, PlaybookContext

_CREW: dict[str, Callable[[PlaybookContext], Awaitable[JsonValue]]] = {
    "backend-developer": backend_developer,
    "system-architect": specialists.system_architect,
    "database-designer": specialists.database_designer,
    "test-automator": specialists.test_automator,
    "api-documenter": specialists.api_documenter,
    "security-auditor": specialists.security_auditor,
    "performance-optimizer": specialists.performance_optimizer,
    "deployment-specialist": specialists.deployment_specialist,
}

PLAYBOOKS: dict[str, Playbook] = {
    name: Playbook(name=name, run=run, check_input=check_specification) for name, run in _CREW.items()
}
