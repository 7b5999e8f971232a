"""The runtime `model`: an agent whose every next move is a language model's.

The loop itself is model_loop.py, imported when the first such agent runs: what it needs costs half a second and
tens of megabytes, which a service without such agents never pays.
"""

from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from chargehand.clock import Clock
from chargehand.domain.agent import AgentDefinition
from chargehand.domain.values import JsonValue
from chargehand.errors import RuntimeMissing
from chargehand.models.choice import ModelChoice, ModelName
from chargehand.models.costs import Costs
from chargehand.models.limits import ModelLimits
from chargehand.models.tenant_requests import SecretValues, TenantRequests
from chargehand.runtimes.base import Hands

if TYPE_CHECKING:
    from chargehand.models.requests import ModelRequests


@dataclass(slots=True)
class ModelRuntime:
    """Carries out agents of runtime `model`."""

    choice: ModelChoice
    limits: ModelLimits
    clock: Clock
    costs: Costs = field(default_factory=Costs)
    context_tokens: int | None = None
    """The window of every model; None: what is known of each."""
    secrets: SecretValues | None = None
    """Where tenants keep keys of their own."""
    _requests: "ModelRequests | None" = field(default=None)

    def require(self, definition: AgentDefinition) -> ModelName:
        """The agent's model. RuntimeMissing when none, its key or the extra is missing; it says which."""
        return self.models_of(definition)[0]

    def models_of(self, definition: AgentDefinition) -> tuple[ModelName, ...]:
        """The agent's model and its fallbacks in order; RuntimeMissing as above, of any of them."""
        try:
            names = self.choice.in_order(definition.wishes.model, definition.block.fallback_models)
            for name in names:
                self.choice.require_key(name.provider)
            if find_spec("pydantic_ai") is None:
                raise RuntimeMissing("the extra is not installed; `pip install chargehand[models]`")
        except RuntimeMissing as missing:
            raise RuntimeMissing(
                f"agent {definition.id!r} is run by a model, and {missing.message}"
            ) from missing
        return names

    async def run(self, hands: Hands) -> JsonValue:
        """Replay what is recorded and go on from there; the model's last words are the result."""
        names = self.models_of(hands.definition)
        made = self._requests
        if made is None:
            module = import_module("chargehand.models.requests")
            made = self._requests = module.ModelRequests(self.choice, self.limits, self.clock)
        loop = import_module("chargehand.runtimes.model_loop")
        requests = TenantRequests(made, hands.task.tenant, self.secrets)
        run = loop.ModelRun(hands, names, requests, self.costs, self.context_tokens)
        return await run.to_the_end()

    async def close(self) -> None:
        """Close the connections to the providers."""
        if self._requests is not None:
            await self._requests.close()
            self._requests = None
