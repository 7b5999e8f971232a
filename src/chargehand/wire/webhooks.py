"""The bodies about webhooks."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from chargehand.domain.webhook import DEFAULT_KINDS, KINDS, Delivery, DeliveryAttempt, Webhook
from chargehand.wire.bases import Answer, Sent, absent, whole
from chargehand.wire.rest import AGENT_ID_PATTERN, LabelsBody

MAX_OVERLAP_SECONDS = 30 * 86_400

Url = Annotated[
    str,
    Field(min_length=1, max_length=2_048, examples=["https://example.com/hooks/chargehand"]),
]
Kind = Annotated[str, Field(json_schema_extra={"enum": list(KINDS)}, max_length=64)]
Kinds = Annotated[list[Kind], Field(min_length=1, max_length=len(KINDS))]
Agents = Annotated[list[Annotated[str, Field(pattern=AGENT_ID_PATTERN)]], Field(max_length=100)]
Description = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Overlap = Annotated[int, Field(ge=0, le=MAX_OVERLAP_SECONDS), BeforeValidator(whole)]


class WebhookSubmission(Sent):
    """Have events sent to an address."""

    url: Url
    """https, of a public host; or what the operator lists besides."""
    kinds: Kinds = Field(default_factory=lambda: list(DEFAULT_KINDS))
    """Which kinds of events. Unless sent: the ends of tasks, and what waits for a person."""
    agents: Agents = Field(default_factory=list[str])
    """Only the tasks of these; none: of all."""
    labels: LabelsBody = Field(
        default_factory=dict[str, str], max_length=32, json_schema_extra={"additionalProperties": False}
    )
    """Only tasks with all of these."""
    with_children: bool = False
    """Also the `task.*` events of what tasks delegate. What waits for a person is sent in any case."""
    description: Description = ""

    def values(self) -> dict[str, Any]:
        """The fields of a WebhookOrder."""
        return _values({name: getattr(self, name) for name in type(self).model_fields})


class WebhookChange(Sent):
    """What is to be different about a webhook. What is not sent stays as it is."""

    url: Url = Field(default="", json_schema_extra=absent)
    kinds: Kinds = Field(default_factory=list[str])
    agents: Agents = Field(default_factory=list[str])
    labels: LabelsBody = Field(
        default_factory=dict[str, str], max_length=32, json_schema_extra={"additionalProperties": False}
    )
    """All of them: those that are not sent are gone."""
    with_children: bool = Field(default=False, json_schema_extra=absent)
    description: Description = Field(default="", json_schema_extra=absent)
    is_enabled: bool = Field(default=True, json_schema_extra=absent)
    """false: nothing is sent, and no further events are kept for it. true: it goes on, with all that waits."""

    def values(self) -> dict[str, Any]:
        """The changes that were sent."""
        return _values({name: getattr(self, name) for name in self.model_fields_set})


class SecretRotation(Sent):
    """A new secret."""

    overlap_seconds: Overlap = 86_400
    """For so long the secret before it signs too; 0: not at all, as after a leak."""


_LISTS = ("kinds", "agents")


def _values(sent: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(sent[name]) if name in _LISTS else sent[name] for name in sent}


class WebhookBody(Answer):
    """A webhook as it stands."""

    id: str
    url: str
    kinds: list[str]
    agents: list[str]
    labels: dict[str, str]
    with_children: bool
    description: str
    is_enabled: bool
    disabled_at: datetime | None
    disabled_reason: Literal["by_hand", "gone", "failing"] | None
    """`gone`: the receiver answered 410; `failing`: nothing arrived for days."""
    failing_since: datetime | None
    """The first failure after which nothing arrived."""
    last_success_at: datetime | None
    """When something arrived last, to the minute."""
    previous_secret_until: datetime | None
    """Until then messages are signed with the secret before this one too."""
    created_by: str
    created_at: datetime
    updated_at: datetime


class WebhookMade(WebhookBody):
    """A webhook with its secret, which is shown this once."""

    secret: str
    """`whsec_` and base64, as libraries for Standard Webhooks take it."""


class WebhookPage(Answer):
    """A part of a list, newest first."""

    items: list[WebhookBody]
    next_cursor: str | None
    """Give it as `cursor` to get what follows; null: that was all."""


class WebhookDeliveryBody(Answer):
    """One message for one webhook."""

    id: str
    """The `webhook-id` that it is sent with, each time."""
    kind: str
    task_id: str | None
    sequence: int | None
    """The number of the event in its task."""
    status: Literal["pending", "delivered", "failed"]
    attempts: int
    next_at: datetime | None
    """When it is sent next; null: it is not, or not before the webhook is enabled."""
    response_status: int | None
    """What the receiver answered last."""
    error: str | None
    """Why the last try did not count."""
    created_at: datetime
    ended_at: datetime | None


class WebhookDeliveryPage(Answer):
    """A part of a list, newest first."""

    items: list[WebhookDeliveryBody]
    next_cursor: str | None
    """Give it as `cursor` to get what follows; null: that was all."""


class WebhookAttemptBody(Answer):
    """One try."""

    number: int
    at: datetime
    milliseconds: int
    response_status: int | None
    error: str | None
    answer: str
    """How the receiver's answer begins."""


class WebhookDeliveryDetail(WebhookDeliveryBody):
    """A delivery with its tries."""

    tries: list[WebhookAttemptBody]


_UNSEEN = ("tenant", "endpoint_id", "data", "tries")


def webhook_body(one: Webhook) -> dict[str, Any]:
    """WebhookBody."""
    body = {field.name: getattr(one, field.name) for field in fields(one) if field.name != "tenant"}
    return {**body, "is_enabled": one.disabled_at is None}


def delivery_body(one: Delivery) -> dict[str, Any]:
    """WebhookDeliveryBody."""
    body = {field.name: getattr(one, field.name) for field in fields(one) if field.name not in _UNSEEN}
    return {**body, "status": one.status.value, "next_at": None if one.is_put_off else one.next_at}


def delivery_detail(one: Delivery, tries: Sequence[DeliveryAttempt]) -> dict[str, Any]:
    """WebhookDeliveryDetail."""
    return {**delivery_body(one), "tries": [asdict(each) for each in tries]}
