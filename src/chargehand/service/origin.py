"""From where what is being done was asked for: set at the way in, read where it is recorded."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """A client's address and the id of its request."""

    address: str
    request_id: str | None


LOCAL = Origin("local", None)
"""This very process: the command line, a program that embeds the service, the service itself."""
_ORIGIN: ContextVar[Origin] = ContextVar("chargehand_origin", default=LOCAL)


def origin() -> Origin:
    """Who asks for what is being done now."""
    return _ORIGIN.get()


@contextmanager
def coming_from(address: str, request_id: str | None) -> Generator[None, None, None]:
    """What is done within the block was asked for from there."""
    token = _ORIGIN.set(Origin(address, request_id))
    try:
        yield
    finally:
        _ORIGIN.reset(token)
