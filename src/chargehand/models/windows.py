"""How many tokens a conversation with a model may have: what the operator says, what is known, or a safe guess.

Imported with the model loop: the table of models is a few megabytes that a service without models never loads.
"""

from functools import lru_cache

from genai_prices.data_snapshot import get_snapshot

from chargehand.models.choice import ModelName

UNKNOWN_WINDOW_TOKENS = 128_000
"""What current models take at least. A smaller one needs CHARGEHAND_MODEL_CONTEXT_TOKENS."""


def window_tokens(name: ModelName, configured: int | None) -> int:
    """The model's context window. The operator's word goes before the table's."""
    return configured or _known(name) or UNKNOWN_WINDOW_TOKENS


@lru_cache(maxsize=256)
def _known(name: ModelName) -> int | None:
    provider = name.provider.name.removesuffix("-chat")
    try:
        _, model = get_snapshot().find_provider_model(name.model, None, provider, None)
    except LookupError:
        return None
    return model.context_window
