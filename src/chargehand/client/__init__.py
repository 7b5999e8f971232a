"""The SDK: what programs (and our command line) call a Chargehand service with."""

from chargehand.client.calls import DEFAULT_URL, Call, listing, submission, usage_report
from chargehand.client.client import AsyncClient

__all__ = ["DEFAULT_URL", "AsyncClient", "Call", "listing", "submission", "usage_report"]
