"""Which model an agent gets, and with which key: `provider:model`, the operator's aliases, the environment.

Rule: a key is read when a request is made and handed to the provider's client; it stands in no row, event, log
or message. A tenant's secret `model:PROVIDER` goes before the service's own key.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from chargehand.errors import RuntimeMissing

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Who answers requests: the protocol's name and where its key is looked for."""

    name: str
    key_variable: str
    models: re.Pattern[str]
    """The bare model names that are taken to be this provider's."""

    @property
    def secret(self) -> str:
        """The name of the secret that a tenant keeps its own key under."""
        return f"model:{self.name}"


PROVIDERS = {
    provider.name: provider
    for provider in (
        Provider(name="anthropic", key_variable="ANTHROPIC_API_KEY", models=re.compile(r"claude-")),
        Provider(name="openai", key_variable="OPENAI_API_KEY", models=re.compile(r"gpt-|o\d")),
        Provider(name="openai-chat", key_variable="OPENAI_API_KEY", models=re.compile(r"(?!)")),
        Provider(name="google", key_variable="GOOGLE_API_KEY", models=re.compile(r"gemini-")),
    )
}
"""`openai` speaks Responses; `openai-chat` speaks Chat Completions, as most compatible servers do."""


@dataclass(frozen=True, slots=True)
class ModelName:
    """A model at a provider."""

    provider: Provider
    model: str

    def __str__(self) -> str:
        return f"{self.provider.name}:{self.model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """What the operator configured: the default, the aliases, other servers' addresses, the environment."""

    default: str | None
    aliases: Mapping[str, str]
    base_urls: Mapping[str, str]
    environment: Mapping[str, str]
    fallbacks: Sequence[str] = ()
    is_by_tenant: bool = False
    """Each tenant brings its keys: the service's own is used for no tenant's task."""

    def in_order(self, wish: str | None, fallbacks: Sequence[str] = ()) -> tuple[ModelName, ...]:
        """The model for a wish, then those to ask when it finally fails: the definition's, or else the operator's."""
        named = [self.of(wish), *(parsed(self.aliases.get(one, one)) for one in fallbacks or self.fallbacks)]
        return tuple(dict.fromkeys(named))

    def of(self, wish: str | None) -> ModelName:
        """The model for what a definition asks for; RuntimeMissing says which setting is missing.

        A wish is an alias, `provider:model`, or a bare name that its beginning gives away. Without one, or with
        one that says nothing here (`inherit`, `sonnet` without an alias), it is the default.
        """
        wished = (wish or "").strip()
        named = self.aliases.get(wished) or (wished if _names_a_model(wished) else self.default)
        if named is None:
            asked = f" (its definition asks for {wished!r})" if wished else ""
            raise RuntimeMissing(
                f"no model is configured{asked}; set CHARGEHAND_MODEL=provider:model, for instance"
                " anthropic:claude-sonnet-4-5, and the provider's key"
            )
        return parsed(named)

    def base_url(self, provider: Provider) -> str | None:
        """Where the provider's protocol is spoken, if not at the provider's own address."""
        return self.base_urls.get(provider.name)

    def require_key(self, provider: Provider) -> None:
        """RuntimeMissing where the service's own key is what counts and there is none."""
        if not self.is_by_tenant:
            self.key(provider)

    def key_for(self, provider: Provider, of_tenant: str | None) -> str:
        """The tenant's own key where it has one; RuntimeMissing says what to set."""
        if of_tenant is not None:
            return of_tenant
        if self.is_by_tenant and not _is_local(self.base_url(provider)):
            raise RuntimeMissing(
                f"the tenant has no key for provider {provider.name!r}: set its secret {provider.secret!r}"
            )
        return self.key(provider)

    def key(self, provider: Provider) -> str:
        """The provider's key, from its variable or the file that `<variable>_FILE` names."""
        variable = provider.key_variable
        if key := self.environment.get(variable, "").strip():
            return key
        if file := self.environment.get(f"{variable}_FILE", "").strip():
            return _key_of(file, variable)
        if _is_local(self.base_url(provider)):
            return "none"  # A server on this machine asks for no key, but its client insists on one.
        raise RuntimeMissing(
            f"provider {provider.name!r} needs a key: set {variable}, or {variable}_FILE to a file that holds it"
        )


def parsed(text: str) -> ModelName:
    """`provider:model`, or a bare model name whose provider its beginning tells; RuntimeMissing otherwise."""
    provider, colon, model = text.partition(":")
    if not colon:
        provider = next((one.name for one in PROVIDERS.values() if one.models.match(text)), "")
        model = text
    if provider not in PROVIDERS or not model:
        known = ", ".join(PROVIDERS)
        raise RuntimeMissing(f"{text!r} names no model: write provider:model, with a provider of {known}")
    return ModelName(PROVIDERS[provider], model)


def _names_a_model(text: str) -> bool:
    return ":" in text or any(provider.models.match(text) for provider in PROVIDERS.values())


def _key_of(file: str, variable: str) -> str:
    try:
        key = Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RuntimeMissing(f"the file that {variable}_FILE names cannot be read: {error}") from error
    if not key:
        raise RuntimeMissing(f"the file that {variable}_FILE names is empty")
    return key


def _is_local(url: str | None) -> bool:
    return url is not None and (urlsplit(url).hostname or "") in LOOPBACK
