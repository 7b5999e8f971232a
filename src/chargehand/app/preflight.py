"""What can be told of the settings before anything is touched: names that mean nothing here.

Rule: names and prefixes only. No request is made and no key is looked for, so a start never waits for a provider.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from chargehand.errors import InvalidInput, RuntimeMissing
from chargehand.models.choice import PROVIDERS, parsed
from chargehand.settings import Settings

PREFIX = "CHARGEHAND_"
OTHERS = frozenset(PREFIX + name for name in ("KEY", "SERVER", "URL", "VENV", "COMMAND", "FAIL_POINT"))
"""Variables that are none of the service's settings: those of the command line, the guides and the developers."""


def check_models(settings: Settings) -> None:
    """InvalidInput names the setting whose model or provider there is not."""
    for variable, text in _named_models(settings):
        try:
            parsed(text)
        except RuntimeMissing as error:
            raise InvalidInput(f"{variable}: {error.message}") from error
    for provider in settings.model_urls:
        if provider not in PROVIDERS:
            close = get_close_matches(provider, PROVIDERS, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise InvalidInput(
                f"CHARGEHAND_MODEL_URLS: there is no provider {provider[:64]!r}; known: {', '.join(PROVIDERS)}{hint}"
            )


def _named_models(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.model is not None:
        yield "CHARGEHAND_MODEL", settings.model
    for alias, model in settings.model_aliases.items():
        yield f"CHARGEHAND_MODEL_ALIASES ({alias[:64]!r})", model
    for one in settings.model_fallbacks:
        yield "CHARGEHAND_MODEL_FALLBACKS", settings.model_aliases.get(one, one)


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """A warning for each variable that looks like a setting and is none; values are not shown."""
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    warnings: list[str] = []
    for name in sorted(environment):
        # As settings are read: whatever case they are written in.
        if name.upper().startswith(PREFIX) and name.upper() not in settings | OTHERS:
            close = get_close_matches(name.upper(), settings, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            warnings.append(f"warning: {name[:128]} is no setting and has no effect{hint}")
    return warnings
