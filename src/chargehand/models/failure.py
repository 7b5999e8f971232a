"""What a request to a model can come to instead of an answer."""

import re

_TOO_LONG = re.compile(
    r"ContextWindowExceeded|context[ _](length|window)|(prompt|input) is too long|reduce the length"
    r"|(input token count|input tokens) exceed",
    re.IGNORECASE,
)
"""How the providers and their compatible servers word it; most have no code for it."""


class ModelFailure(Exception):
    """No answer. `may_retry`: the same request may succeed later, at the earliest after `retry_after_seconds`."""

    def __init__(self, message: str, *, may_retry: bool, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.may_retry = may_retry
        self.retry_after_seconds = retry_after_seconds

    @property
    def is_too_long(self) -> bool:
        """Whether the provider refused the request because the model takes no conversation as long as this."""
        return not self.may_retry and _TOO_LONG.search(self.message) is not None
