"""What a request to a model can come to instead of an answer, and what each kind of it leads to.

docs/reference/models.md shows the same table to people.
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class FailureKind(StrEnum):
    """Why there is no answer."""

    WRONG_KEY = "wrong_key"
    REFUSED = "refused"
    """The provider will not answer this request, however often it is asked."""
    LIMITED = "limited"
    """Asked too often, or for too much at a time."""
    FAULTY = "faulty"
    """The provider is down, out of reach, silent, cut off, or says what is no answer."""
    TOO_LONG = "too_long"
    """It was still at it when the time for a whole answer was over."""
    TOO_LARGE = "too_large"
    NOT_ASKED = "not_asked"
    """It failed so often of late that it is left alone for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What follows. `tries`: requests in all, after which this model is given up for this answer."""

    tries: int
    may_fall_back: bool = True
    is_providers_fault: bool = False
    """Whether it speaks against asking the provider anything just now."""


MAX_TRIES = 8
"""The waits between so many tries add up to minutes."""

POLICIES = {
    # Another model would hide for weeks that the key is wrong.
    FailureKind.WRONG_KEY: Policy(tries=1, may_fall_back=False),
    FailureKind.REFUSED: Policy(tries=1),
    FailureKind.LIMITED: Policy(tries=MAX_TRIES),
    FailureKind.FAULTY: Policy(tries=MAX_TRIES, is_providers_fault=True),
    FailureKind.TOO_LONG: Policy(tries=3),
    FailureKind.TOO_LARGE: Policy(tries=2),
    FailureKind.NOT_ASKED: Policy(tries=MAX_TRIES),
}

_TOO_LONG = re.compile(
    r"ContextWindowExceeded|context[ _](length|window)|(prompt|input) is too long|reduce the length"
    r"|(input token count|input tokens) exceed",
    re.IGNORECASE,
)
"""How the providers and their compatible servers word it; most have no code for it."""


class ModelFailure(Exception):
    """No answer. `retry_after_seconds`: no sooner does another try make sense.

    `may_be_paid`: the provider may have worked on it and put it on the bill, as when its answer broke off.
    """

    def __init__(
        self,
        message: str,
        kind: FailureKind,
        *,
        retry_after_seconds: float | None = None,
        may_be_paid: bool = False,
    ) -> None:
        super().__init__(message)
        self.may_be_paid = may_be_paid
        self.message = message
        self.kind = kind
        self.retry_after_seconds = retry_after_seconds

    @property
    def policy(self) -> Policy:
        """What follows from it."""
        return POLICIES[self.kind]

    @property
    def is_too_long(self) -> bool:
        """Whether the provider refused the request because the model takes no conversation as long as this."""
        return self.kind is FailureKind.REFUSED and _TOO_LONG.search(self.message) is not None
