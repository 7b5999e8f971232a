"""Requests of one tenant: with its own key of the provider, where it keeps one as a secret.

Rule: the secret is read for each request, so that a new one counts at once and a deleted one no more.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chargehand.models.choice import ModelName

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.tools import ToolDefinition

    from chargehand.models.requests import ModelRequests, OnText

SecretValues = Callable[[str, Collection[str]], Awaitable[Mapping[str, str]]]
"""The values of those of a tenant's secrets that there are, by name."""


@dataclass(frozen=True, slots=True)
class TenantRequests:
    """What a task of the tenant asks models through."""

    requests: "ModelRequests"
    tenant: str
    secrets: SecretValues | None

    async def ask(
        self,
        name: ModelName,
        messages: "Sequence[ModelMessage]",
        tools: "Sequence[ToolDefinition]",
        *,
        max_output_tokens: int,
        on_text: "OnText | None" = None,
    ) -> "ModelResponse":
        """The model's next message, as ModelRequests has it."""
        secret = name.provider.secret
        key = None if self.secrets is None else (await self.secrets(self.tenant, [secret])).get(secret)
        return await self.requests.ask(
            name,
            messages,
            tools,
            max_output_tokens=max_output_tokens,
            on_text=on_text,
            key=key,
        )
