"""How long and how large one answer of a model may be, and how hard its provider may be pressed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLimits:
    """The operator's bounds; the defaults are those of the settings."""

    connect_seconds: float = 15.0
    first_byte_seconds: float = 120.0
    """Of a streamed answer. A whole one is silent until it is complete, so `total_seconds` bounds that."""
    idle_seconds: float = 120.0
    """Between two pieces of an answer that has begun."""
    total_seconds: float = 600.0
    max_answer_bytes: int = 32 * 1024 * 1024
    concurrency: int = 64
    """Requests to one provider at once; further ones wait in order."""
    circuit_failures: int = 10
    """Failures of one provider in a row after which it is left alone."""
    circuit_seconds: float = 30.0
