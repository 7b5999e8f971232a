"""What must not be in any log or event: the secret values that this process has seen, and what looks like a secret.

Rule: a value is known from the moment at which it is read or stored, before anything is done with it. The cost is
bounded: a text without a secret is looked through a few times, however many values are known. What a tenant calls a
secret is taken out of what is said for that tenant alone: else one could take words out of another's events.

Of what an agent works with, only known values are taken out: what merely looks like a key may be the work itself.
"""

import base64
import json
import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast
from urllib.parse import quote

from chargehand.domain.access import DEFAULT_TENANT
from chargehand.domain.redaction import SHOWN, without

SHORTEST = 12
FEWEST_CHARACTERS = 6
"""Different ones. Of a shorter or simpler value it cannot be told whether a text means it: it is not searched for."""
MOST_TENANTS = 1_000
"""Whose values are kept in mind; those that were known last."""
MOST_VALUES = 2_000
"""The values that were used last; whoever uses one makes it known again."""
_TELLING = 16
"""So much of a value's beginning gives it away, where a text was cut."""
_FEW = 48
_GRAM = SHORTEST
_START = 4
"""So many characters of a value are looked for at the end of a text that goes on."""

_LOOKS = (
    (re.compile(r"(chg_live_)[0-9A-Za-z]{8,}"), r"\1" + SHOWN),
    (re.compile(r"(whsec_)[0-9A-Za-z+/=_-]{8,}"), r"\1" + SHOWN),
    (
        # A run is read from its first `eyJ` alone: where that one does not fit, no later one of the run does.
        re.compile(
            r"(?<![0-9A-Za-z_-])(?>([0-9A-Za-z_-]*?)\beyJ)"
            r"[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}(?:\.[0-9A-Za-z_-]*)?"
        ),
        r"\1" + SHOWN,
    ),
    (
        re.compile(r"([Aa]uthorization[\\\"']*\s*[:=,]\s*[\\\"'(b]*(?:[A-Za-z]+\s+)?)[^\s\\\"',;)\]}]{8,}"),
        r"\1" + SHOWN,
    ),
    (
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
        ),
        SHOWN,
    ),
)
"""What is searched for, and what is put in its place; each in a time that grows with the text and no faster."""


class KnownSecrets:
    """Takes secrets out of texts."""

    def __init__(self) -> None:
        self._values: dict[str, None] = {}
        self._forms: list[str] = []
        """The longest first: of `user:pass@host` nothing is left then for `pass` to find."""
        self._heads: list[str] = []
        """Their beginnings, in the same order."""
        self._grams: dict[str, list[str]] = {}
        self._starts: set[str] = set()

    def add(self, values: Iterable[str]) -> None:
        """Know these from now on; those that are too short to be told from other words are passed over."""
        fresh = [value for one in values if _can_be_told(value := one.strip())]
        known = all(value in self._values for value in fresh)
        for value in fresh:
            # Used last, forgotten last.
            self._values.pop(value, None)
            self._values[value] = None
        if known:
            return
        while len(self._values) > MOST_VALUES:
            del self._values[next(iter(self._values))]
        forms = {form for value in self._values for form in _forms(value)}
        self._forms = sorted(forms, key=len, reverse=True)
        self._heads = [form[:_TELLING] for form in self._forms]
        self._grams = {}
        for form in self._forms:
            self._grams.setdefault(form[:_GRAM], []).append(form)
        self._starts = {form[:length] for form in self._forms for length in range(1, _START + 1)}

    def unfinished(self, text: str) -> int:
        """Where the text's end begins that the next piece may make one of them; its length when there is none."""
        longest = len(self._forms[0]) if self._forms else 0
        for place in range(max(0, len(text) - longest), len(text)):
            if text[place : place + _START] in self._starts:
                tail = text[place:]
                if any(form.startswith(tail) and form != tail for form in self._forms):
                    return place
        return len(text)

    def taken_out(self, text: str, *, looks: bool = True) -> str:
        """The text without any of them; with `looks` also without what looks like a key, a token, a private key."""
        if len(text) < SHORTEST:
            return text
        for form in self._perhaps_in(text):
            text = without(text, form, beginning=_TELLING)
        if looks and _looks(text):
            for pattern, shown in _LOOKS:
                text = pattern.sub(shown, text)
        return text

    def taken_out_of(self, value: Any, *, looks: bool = True) -> Any:
        """JSON without any of them; what holds none is given back as it is, without a copy."""
        if not (looks or self._forms):
            return value
        return self._cleared(value, looks) if self._may_be_in(value, looks) else value

    def _may_be_in(self, value: Any, looks: bool) -> bool:
        if isinstance(value, str):
            return len(value) >= SHORTEST and ((looks and _looks(value)) or bool(self._perhaps_in(value)))
        if isinstance(value, dict):
            mapping = cast("dict[str, Any]", value)
            return any(self._may_be_in(one, looks) for some in (mapping, mapping.values()) for one in some)
        return isinstance(value, list | tuple) and any(
            self._may_be_in(one, looks) for one in cast("list[Any]", value)
        )

    def _cleared(self, value: Any, looks: bool) -> Any:
        if isinstance(value, str):
            return self.taken_out(value, looks=looks)
        if isinstance(value, dict):
            mapping = cast("dict[str, Any]", value)
            return {
                self.taken_out(key, looks=looks): self._cleared(one, looks) for key, one in mapping.items()
            }
        if isinstance(value, list | tuple):
            return [self._cleared(one, looks) for one in cast("list[Any]", value)]
        return value

    def _perhaps_in(self, text: str) -> list[str]:
        if len(self._forms) <= _FEW:
            return [form for form, head in zip(self._forms, self._heads, strict=True) if head in text]
        grams = {text[place : place + _GRAM] for place in range(len(text) - _GRAM + 1)}
        found = [form for gram in self._grams.keys() & grams for form in self._grams[gram]]
        return sorted(found, key=len, reverse=True)


KNOWN = KnownSecrets()
"""The operator's: of this process, and of the operator's own tenant."""
_OF_TENANTS: dict[str, KnownSecrets] = {}
_tenant: ContextVar[str | None] = ContextVar("tenant", default=None)


@contextmanager
def working_for(tenant: str) -> Generator[None]:
    """While this is done for a tenant, its secrets are taken out of what is said."""
    before = _tenant.set(tenant)
    try:
        yield
    finally:
        _tenant.reset(before)


def know(values: Iterable[str], tenant: str) -> None:
    """Values that a tenant calls secret."""
    if tenant == DEFAULT_TENANT:
        KNOWN.add(values)
        return
    known = _OF_TENANTS.pop(tenant, None) or KnownSecrets()
    while len(_OF_TENANTS) >= MOST_TENANTS:
        del _OF_TENANTS[next(iter(_OF_TENANTS))]
    _OF_TENANTS[tenant] = known
    known.add(values)


def taken_out(text: str) -> str:
    """The text without the operator's secrets, and without those of whom this is done for."""
    own = _OF_TENANTS.get(_tenant.get() or "")
    return KNOWN.taken_out(text) if own is None else own.taken_out(KNOWN.taken_out(text))


def taken_out_of(value: Any, tenant: str) -> Any:
    """As `taken_out`, of JSON that is said for this tenant: who writes for many at once works for none of them."""
    own = _OF_TENANTS.get(tenant)
    return KNOWN.taken_out_of(value) if own is None else own.taken_out_of(KNOWN.taken_out_of(value))


def values_taken_out_of(value: Any, tenant: str) -> Any:
    """JSON that an agent of this tenant works with, without known values; as it is, when it holds none."""
    own, clear = _OF_TENANTS.get(tenant), KNOWN.taken_out_of(value, looks=False)
    return clear if own is None else own.taken_out_of(clear, looks=False)


def unfinished(text: str, tenant: str) -> int:
    """Where the end of a text that goes on may be the beginning of a known value; its length, where it is none."""
    own = _OF_TENANTS.get(tenant)
    place = KNOWN.unfinished(text)
    return place if own is None else min(place, own.unfinished(text))


def _can_be_told(value: str) -> bool:
    return len(value) >= SHORTEST and len(set(value)) >= FEWEST_CHARACTERS


def _looks(text: str) -> bool:
    """Whether the patterns are worth a search: written out, since every event passes here."""
    return (
        "chg_live_" in text
        or "whsec_" in text
        or "eyJ" in text
        or "uthorization" in text
        or "PRIVATE KEY-----" in text
    )


def _forms(value: str) -> set[str]:
    """As it is, and as JSON, URLs and base64 have it; a header's value also without its scheme."""
    scheme, space, credentials = value.partition(" ")
    parts = [value]
    if space and scheme.casefold() in ("bearer", "basic", "token") and len(credentials) >= SHORTEST:
        parts.append(credentials.strip())
    forms = {
        form for part in parts for form in (part, json.dumps(part)[1:-1], quote(part, safe=""), quote(part))
    }
    content = value.encode("utf-8", "replace")
    for shift in range(3):
        # The characters that hold nothing of what may stand before or behind it.
        text = base64.b64encode(bytes(shift) + content).decode()
        core = text[(0, 2, 3)[shift] : (shift + len(content)) * 8 // 6]
        forms |= {core, core.replace("+", "-").replace("/", "_")}
    return {form for form in forms if len(form) >= SHORTEST}
