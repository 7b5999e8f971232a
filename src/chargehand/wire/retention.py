"""The bodies about what is no longer kept."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from chargehand.wire.bases import Answer, Sent, whole
from chargehand.wire.rest import AGENT_ID_PATTERN, TASK_ID_PATTERN

_ENDED = r"^(completed|failed|canceled)$"


class PruneRequest(Sent):
    """Which ended trees of tasks go: those whose root ended longer ago than this, and that have wholly ended."""

    older_than_seconds: Annotated[int, Field(ge=60, le=36_500 * 86_400), BeforeValidator(whole)]
    """At least a minute, so that a client which repeats a submission still finds its task by the key."""
    statuses: list[Annotated[str, Field(pattern=_ENDED)]] | None = Field(
        default=None, min_length=1, max_length=3
    )
    """How the root ended: `completed`, `failed`, `canceled`. Left out: all of them."""
    agent_id: Annotated[str, Field(pattern=AGENT_ID_PATTERN)] | None = None
    """Only trees whose root is this agent's."""
    most_trees: Annotated[int, Field(ge=1, le=1_000_000_000), BeforeValidator(whole)] | None = None
    """No more than so many now."""
    dry_run: bool = False
    """Only count what would go."""
    after: Annotated[str, Field(pattern=TASK_ID_PATTERN)] | None = None
    """Go on behind this one: `after` of the answer before."""


class PruneAnswer(Answer):
    """What went in about a second, or would go."""

    trees: int
    tasks: int
    events: int
    after: str | None
    """Send it to go on; null: there are no more."""


class SweepAnswer(Answer):
    """What no row names any more, and was removed."""

    workspaces: int
    blobs: int
    blob_bytes: int
