"""What a request to a model can come to instead of an answer."""


class ModelFailure(Exception):
    """No answer. `may_retry`: the same request may succeed later, at the earliest after `retry_after_seconds`.

    `may_be_paid`: the provider may have worked on it and put it on the bill, as when it did not answer in time.
    """

    def __init__(
        self,
        message: str,
        *,
        may_retry: bool,
        retry_after_seconds: float | None = None,
        may_be_paid: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.may_retry = may_retry
        self.retry_after_seconds = retry_after_seconds
        self.may_be_paid = may_be_paid
