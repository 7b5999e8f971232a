"""The bodies of the REST API: what may be sent, and the shape of every answer.

Rule: a request refuses unknown fields and coerces nothing; an answer may gain fields, so readers ignore those
they do not know. `answers.py` builds answers without these models, and a test holds the two together.
"""

import re
import sys
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    WithJsonSchema,
)

from chargehand.domain.access import Scope
from chargehand.domain.history import StepKind, StepStatus
from chargehand.domain.task import Status
from chargehand.domain.values import MAX_SAFE_INTEGER
from chargehand.wire.bases import Answer as _Answer
from chargehand.wire.bases import Sent as _Sent
from chargehand.wire.bases import whole
from chargehand.wire.spending import BudgetBody, SpentBody

PROBLEM_TYPE = "application/problem+json"
"""The media type of every answer that tells of an error (RFC 9457)."""

AGENT_ID_PATTERN = r"^[a-z0-9]([a-z0-9._-]{0,126}[a-z0-9])?$"
TASK_ID_PATTERN = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
LABEL_KEY_PATTERN = r"^[A-Za-z0-9_.-]{1,64}$"
CONTEXT_ID_PATTERN = r"^[A-Za-z0-9_.:-]{1,64}$"
IDEMPOTENCY_KEY_PATTERN = r"^[\x21-\x7e]{1,255}$"
NO_NUL = r"^[^\x00]*$"
_SPACES = r"\x00-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
SOMETHING = rf"^[^\x00]*[^{_SPACES}][^\x00]*$"
"""Text with more in it than spaces, of whichever script; and without NUL."""
MAX_WAIT_SECONDS = 60
"""The longest that `Prefer: wait` is honoured."""

JSON_VALUE_SCHEMA: dict[str, Any] = {
    "title": "JsonValue",
    "description": "Any JSON, at most 64 levels deep and of 10,000 values; without NUL in its texts.",
    "anyOf": [
        {"type": "string", "pattern": NO_NUL},
        {"type": "integer", "minimum": -MAX_SAFE_INTEGER, "maximum": MAX_SAFE_INTEGER},
        {"type": "number", "minimum": -sys.float_info.max, "maximum": sys.float_info.max},
        {"type": "boolean"},
        {"type": "null"},
        {"type": "array", "items": {"$ref": "#/components/schemas/JsonValue"}},
        {"$ref": "#/components/schemas/JsonObject"},
    ],
}
JSON_OBJECT_SCHEMA: dict[str, Any] = {
    "title": "JsonObject",
    "type": "object",
    "propertyNames": {"pattern": NO_NUL},
    "additionalProperties": {"$ref": "#/components/schemas/JsonValue"},
}
"""The two refer to each other by where the OpenAPI document puts them."""

# pydantic refuses a $ref to a schema that it did not make; the OpenAPI document turns this mark into one.
REF_MARK = "x-ref"
JsonBody = Annotated[Any, WithJsonSchema({REF_MARK: "JsonValue"})]
JsonObjectBody = Annotated[dict[str, Any], WithJsonSchema({REF_MARK: "JsonObject"})]


TIME_PATTERN = r"^(19[7-9]\d|2\d{3})-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})$"
"""RFC 3339, from 1970 to 2999: what is beyond cannot be reckoned with."""

_TIME = re.compile(TIME_PATTERN, re.ASCII)


def _only_text(value: object) -> object:
    """A time is text; numbers, which a lax reader takes for seconds, are refused."""
    if isinstance(value, datetime) or (isinstance(value, str) and _TIME.fullmatch(value)):
        return value
    raise ValueError("a time is text such as 2030-01-31T08:00:00Z")


Time = Annotated[
    AwareDatetime,
    BeforeValidator(_only_text),
    AfterValidator(lambda value: value.astimezone(UTC)),
    Field(strict=False),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": TIME_PATTERN}),
]


LabelsBody = dict[
    Annotated[str, Field(pattern=LABEL_KEY_PATTERN)],
    Annotated[str, Field(max_length=255, pattern=NO_NUL)],
]


class TaskSubmission(_Sent):
    """A task to be carried out."""

    task_data: JsonObjectBody
    """What the agent works with."""
    context_id: Annotated[str, Field(pattern=CONTEXT_ID_PATTERN)] | None = None
    """The conversation that the task belongs to; made when it is absent."""
    labels: LabelsBody = Field(
        default_factory=dict[str, str],
        max_length=32,
        json_schema_extra={"additionalProperties": False},
    )
    """The caller's own marks, which lists can be narrowed by."""
    priority: Annotated[int, BeforeValidator(whole)] = Field(default=0, ge=-100, le=100)
    """Higher goes first."""
    run_after: Time | None = None
    """Not before this time."""
    timeout_seconds: float | None = Field(default=None, gt=0, le=366 * 86_400)
    """How long the task, and all that it delegates, may take."""
    budget: BudgetBody | None = None
    """What the task, and all that it delegates, may use: lower limits than its agent's."""
    output_schema: JsonObjectBody | None = None
    """The JSON schema that the result must fit; for agents that a model runs."""


class RetrySubmission(_Sent):
    """What a retry changes. The body may be left out."""

    budget: BudgetBody | None = None
    """What the tree may use from now on in all: the limits of the agent's current definition, or lower ones."""


class AnswerSubmission(_Sent):
    """The answer to a question that a task waits for."""

    question: str = Field(min_length=1, max_length=128, pattern=NO_NUL)
    """Which one: `question` of GET /tasks/{id}/questions."""
    answer: JsonBody


class MessageSubmission(_Sent):
    """What a person tells a task."""

    text: str = Field(min_length=1, max_length=100_000, pattern=SOMETHING)


class DecisionSubmission(_Sent):
    """A person's decision about a call that waits."""

    decision: Literal["approve", "deny"]
    arguments_hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """`arguments_hash` as it was read; refused when the call is another."""
    arguments: JsonObjectBody | None = None
    """What is run instead; only with `approve`."""
    reason: Annotated[str, Field(max_length=2000, pattern=NO_NUL)] | None = None
    """Why; the agent is told."""


class FindingBody(_Answer):
    """One thing wrong with what was sent."""

    where: str
    message: str
    hint: str
    line: int | None


class ProblemBody(_Answer):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    """Stable, for programs; docs/reference/api.md tells each."""
    findings: list[FindingBody]
    request_id: str


class TaskErrorBody(_Answer):
    """Why a task failed."""

    reason: str
    message: str
    details: dict[str, Any]


class CandidateBody(_Answer):
    """An agent that a task for `auto` could have gone to."""

    agent_id: str
    score: float
    """How well its name and description match; 0 is not at all."""


class SelectionBody(_Answer):
    """How the agent of a task for `auto` was picked."""

    by: Literal["ranking", "model"]
    why: str
    candidates: list[CandidateBody]
    """Best first, by the ranking."""
    model: str | None = None
    """The model that chose."""


class TaskBody(_Answer):
    """A task as it stands."""

    id: str
    agent_id: str
    agent_version: str
    task_data: dict[str, Any]
    status: Status
    reason: str | None
    """Why the status stands so, for machines: `children`, `timer`, `timeout`, `checks_failed`, …"""
    result: Any
    """What the agent returned, once the task is completed."""
    error: TaskErrorBody | None
    attempt: int
    round: int
    """Repair rounds that failed checks have led to."""
    priority: int
    labels: dict[str, str]
    parent_id: str | None
    root_id: str
    depth: int
    context_id: str
    follows_id: str | None
    """The task whose conversation this one goes on from."""
    budget: dict[str, Any]
    output_schema: dict[str, Any] | None
    """The JSON schema that the task's result must fit, as it was submitted."""
    steps_spent: int
    """By the whole tree, when this task is its root."""
    children_spent: int
    spent: SpentBody
    last_event: int
    """The sequence number of the newest event."""
    created_by: str
    run_after: datetime | None
    """Not before this time; null while the task waits for something other than a time."""
    deadline_at: datetime | None
    cancel_requested_at: datetime | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    selection: SelectionBody | None = None
    """How the agent was picked; only in the answer to a task for `auto`."""


class TaskPage(_Answer):
    """A part of a list, newest first."""

    items: list[TaskBody]
    next_cursor: str | None
    """Give it as `cursor` to get what follows; null: that was all."""


class TaskList(_Answer):
    """A task's children, oldest first."""

    items: list[TaskBody]


class CancelBody(_Answer):
    """How far a cancel has come."""

    cancel: Literal["requested", "confirmed"]
    """`requested`: workers are still being stopped; `confirmed`: nothing of it runs any more."""
    task: TaskBody


class EventBody(_Answer):
    """What happened to a task. `sequence` starts at 1 and has no gap."""

    task_id: str
    sequence: int
    kind: str
    at: datetime
    data: dict[str, Any]


class DeltaBody(_Answer):
    """A piece of what a model is saying in the step at `path`; only streams of events have it, without an id.

    One of `text`, `thinking` and `restart` is there; `restart` says that what came before of this step is void.
    """

    task_id: str
    path: str
    text: str = ""
    thinking: str = ""
    restart: bool = False


class EventPage(_Answer):
    """Events after a sequence number."""

    items: list[EventBody]
    next_after: int
    """Give it as `after` to get what follows."""


class StepBody(_Answer):
    """A journaled unit of a task."""

    task_id: str
    path: str
    kind: StepKind
    name: str
    arguments: dict[str, Any]
    status: StepStatus
    result: Any
    attempt: int
    started_at: datetime
    finished_at: datetime | None


class StepList(_Answer):
    """A task's journal, in the order in which the steps began."""

    items: list[StepBody]


class QuestionBody(_Answer):
    """A question that a task waits for."""

    question: str
    """What POST /tasks/{id}/answers names."""
    text: str
    choices: list[Any] | None
    """When given, the answer is one of these."""
    asked_at: datetime


class QuestionList(_Answer):
    """The questions that are open."""

    items: list[QuestionBody]


class ApprovalBody(_Answer):
    """A call that waits for a person, or how it was decided."""

    id: str
    task_id: str
    root_id: str
    path: str
    """The step that waits."""
    agent_id: str
    tool: str
    arguments: dict[str, Any]
    arguments_hash: str
    """What the decision is bound to: SHA-256 over tool and arguments."""
    why: str
    """The rule that asks."""
    status: Literal["open", "approved", "edited", "denied", "expired", "withdrawn"]
    default_action: Literal["approve", "deny"]
    """What is done when nobody decides until `expires_at`."""
    edited_arguments: dict[str, Any] | None
    """What was run instead, when a person changed it."""
    comment: str | None
    """The person's reason."""
    created_at: datetime
    expires_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    """The key that decided; null when nobody did."""


class ApprovalPage(_Answer):
    """A part of a list, newest first."""

    items: list[ApprovalBody]
    next_cursor: str | None
    """Give it as `cursor` to get what follows; null: that was all."""


class FileBody(_Answer):
    """A file of a deliverable."""

    path: str
    sha256: str
    size_bytes: int


class EvidenceBody(_Answer):
    """What a check found."""

    deliverable: str
    check: str
    passed: bool
    output: str
    exit_code: int | None
    duration_seconds: float


class DeliverableBody(_Answer):
    """A stored output of a task, and the evidence that it was checked."""

    task_id: str
    name: str
    path: str
    is_folder: bool
    sha256: str
    size_bytes: int
    files: list[FileBody]
    evidence: list[EvidenceBody]
    stored_at: datetime


class DeliverableList(_Answer):
    """What a task has delivered, by name."""

    items: list[DeliverableBody]


class WhoAmI(_Answer):
    """The key that was sent: who holds it and what it may do."""

    id: str
    tenant: str
    scopes: list[Scope]
    roles: list[str]
    """Where scopes came from when the key was made."""
    agents: list[str] | None
    """What the key is narrowed to; null: nothing."""
    expires_at: datetime | None


class HealthBody(_Answer):
    """The service answers."""

    status: Literal["healthy"]
    service: Literal["ai-agent-api"]


class LiveBody(_Answer):
    """The process runs."""

    status: Literal["live"]


class CheckBody(_Answer):
    """One thing that readiness depends on."""

    ok: bool
    degraded: bool
    """It works, yet slower or with less than was set up."""
    detail: str


class ReadyBody(_Answer):
    """Whether the service can take and carry out tasks."""

    status: Literal["ready", "not_ready"]
    checks: dict[str, CheckBody] | None = None
    """Told only to callers with a key."""
