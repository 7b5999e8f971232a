"""Webhooks: which events an endpoint is told, when a delivery is tried again, and when an endpoint is given up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from chargehand.domain.history import EventKind
from chargehand.domain.task import FOREVER
from chargehand.domain.values import JsonObject

TEST_KIND = "webhook.test"
"""What a test sends; it stands for no event."""
DISABLED_KIND = "webhook.disabled"
"""What the tenant's other endpoints are told when one was given up."""

KINDS: tuple[str, ...] = (
    EventKind.SUBMITTED.value, EventKind.STARTED.value, EventKind.WAITING.value, EventKind.WOKEN.value,
    EventKind.REOPENED.value, EventKind.COMPLETED.value, EventKind.FAILED.value, EventKind.CANCELED.value,
    EventKind.DELIVERED.value, EventKind.APPROVAL_REQUESTED.value, EventKind.APPROVAL_DECIDED.value,
    EventKind.ASKED.value, EventKind.ANSWERED.value, DISABLED_KIND,
)  # fmt: skip
"""The kinds of events that can be sent. Those of single steps are for who follows the task's stream."""
DEFAULT_KINDS: tuple[str, ...] = (
    EventKind.COMPLETED.value, EventKind.FAILED.value, EventKind.CANCELED.value, EventKind.APPROVAL_REQUESTED.value,
    EventKind.ASKED.value, DISABLED_KIND,
)  # fmt: skip
"""What somebody has to know or to do something about."""
OF_PEOPLE = frozenset({
    EventKind.APPROVAL_REQUESTED.value, EventKind.APPROVAL_DECIDED.value,
    EventKind.ASKED.value, EventKind.ANSWERED.value,
})  # fmt: skip
"""They are told wherever in a tree they happen: a person is waited for."""

PAUSES_SECONDS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Before the second try, the third, and so on; as Standard Webhooks has them. With the first try: three days."""
MOST_TRIES = len(PAUSES_SECONDS) + 1
LONGEST_RETRY_AFTER = timedelta(days=1)
"""A receiver's `Retry-After` is honoured as far as this."""


class DeliveryStatus(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    """The receiver answered with 2xx."""
    FAILED = "failed"
    """It was tried as often as there are tries; it can be sent again by hand."""


class DisabledReason(StrEnum):
    """Why an endpoint is told nothing."""

    BY_HAND = "by_hand"
    GONE = "gone"
    """The receiver answered 410."""
    FAILING = "failing"
    """Nothing arrived for days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookOrder:
    """What a caller says of an endpoint."""

    url: str
    kinds: tuple[str, ...] = DEFAULT_KINDS
    agents: tuple[str, ...] = ()
    """Only tasks of these; none named: of all."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """Only tasks with all of these."""
    with_children: bool = False
    """Also the `task.*` events of what tasks delegate."""
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook(WebhookOrder):
    """A row of `webhook_endpoints`, without its secrets."""

    id: str
    tenant: str
    previous_secret_until: datetime | None
    """Until then the secret before this one signs too."""
    failing_since: datetime | None
    """The first failure after which nothing arrived."""
    last_success_at: datetime | None
    disabled_at: datetime | None
    disabled_reason: str | None
    created_by: str
    created_at: datetime
    updated_at: datetime

    @property
    def place(self) -> str:
        """Its address as logs and the audit show it: without the query, in which some receivers want a token."""
        return self.url.partition("?")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldTask:
    """What of a task decides whether an endpoint is told of its events."""

    id: str
    tenant: str
    agent_id: str
    labels: Mapping[str, str]
    depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """An endpoint that is told something, as the outbox goes by it."""

    id: str
    tenant: str
    kinds: frozenset[str]
    agents: frozenset[str]
    labels: Mapping[str, str]
    with_children: bool

    def wants(self, kind: str, task: ToldTask) -> bool:
        """Whether the endpoint is told this event of this task."""
        return (
            task.tenant == self.tenant
            and kind in self.kinds
            and (not self.agents or task.agent_id in self.agents)
            and (task.depth == 0 or self.with_children or kind in OF_PEOPLE)
            and all(task.labels.get(key) == value for key, value in self.labels.items())
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A row of `webhook_deliveries`: one event for one endpoint. Its id is the `webhook-id`."""

    id: str
    endpoint_id: str
    tenant: str
    kind: str
    task_id: str | None
    sequence: int | None
    data: JsonObject | None
    """Of what stands for no event; an event's own data is read when it is sent."""
    status: DeliveryStatus
    attempts: int
    """Tries in all; the number fences what is written of one."""
    tries: int
    """Since it was stored, or sent again by hand."""
    next_at: datetime
    response_status: int | None
    error: str | None
    created_at: datetime
    ended_at: datetime | None

    @property
    def is_put_off(self) -> bool:
        """Whether no time is known at which it is sent."""
        return self.next_at == FOREVER


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryAttempt:
    """What came of one try."""

    number: int
    at: datetime
    milliseconds: int
    response_status: int | None
    error: str | None
    answer: str
    """How the receiver's answer begins."""

    @property
    def is_success(self) -> bool:
        return self.error is None


def next_try(tries: int, now: datetime, chance: float, retry_after: timedelta | None) -> datetime | None:
    """When to try again after so many tries; None: no more.

    The jitter is as wide as the pause, half of it before and half after, so that the mean of the schedule stays.
    """
    if tries >= MOST_TRIES:
        return None
    pause = timedelta(seconds=PAUSES_SECONDS[tries - 1] * (0.5 + chance))
    wished = min(retry_after or timedelta(0), LONGEST_RETRY_AFTER)
    return now + max(pause, wished)
