"""The runtime `model`: an agent whose every next move is a language model's.

The loop itself is model_loop.py, imported when the first such agent runs: what it needs costs half a second and
tens of megabytes, which a service without such agents never pays.
"""

from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from chargehand.domain.agent import AgentDefinition
from chargehand.domain.values import JsonValue
from chargehand.errors import RuntimeMissing
from chargehand.models.choice import ModelChoice, ModelName
from chargehand.runtimes.base import Hands

if TYPE_CHECKING:
    from chargehand.models.requests import ModelRequests


@dataclass(slots=True)
class ModelRuntime:
    """Carries out agents of runtime `model`."""

    choice: ModelChoice
    timeout_seconds: float
    context_tokens: int | None = None
    """The window of every model; None: what is known of each."""
    _requests: "ModelRequests | None" = field(default=None)

    def require(self, definition: AgentDefinition) -> ModelName:
        """The agent's model. RuntimeMissing when none, its key or the extra is missing; it says which."""
        try:
            name = self.choice.of(definition.wishes.model)
            self.choice.key(name.provider)
            if find_spec("pydantic_ai") is None:
                raise RuntimeMissing("the extra is not installed; `pip install chargehand[models]`")
        except RuntimeMissing as missing:
            raise RuntimeMissing(
                f"agent {definition.id!r} is run by a model, and {missing.message}"
            ) from missing
        return name

    async def run(self, hands: Hands) -> JsonValue:
        """Replay what is recorded and go on from there; the model's last words are the result."""
        name = self.require(hands.definition)
        if self._requests is None:
            requests = import_module("chargehand.models.requests")
            self._requests = requests.ModelRequests(self.choice, self.timeout_seconds)
        loop = import_module("chargehand.runtimes.model_loop")
        return await loop.ModelRun(hands, name, self._requests, self.context_tokens).to_the_end()

    async def close(self) -> None:
        """Close the connections to the providers."""
        if self._requests is not None:
            await self._requests.close()
            self._requests = None
