"""The bodies about schedules."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from chargehand.domain.schedule import MAX_CRON, MAX_ZONE
from chargehand.domain.values import JsonObject
from chargehand.wire.bases import Answer, Sent, absent, whole
from chargehand.wire.rest import AGENT_ID_PATTERN, JsonObjectBody, LabelsBody
from chargehand.wire.spending import BudgetBody

SCHEDULE_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$"
Name = Annotated[str, Field(pattern=SCHEDULE_NAME_PATTERN)]
CronText = Annotated[str, Field(min_length=1, max_length=MAX_CRON)]
ZoneName = Annotated[str, Field(min_length=1, max_length=MAX_ZONE)]
MissedPolicy = Literal["skip", "once", "all"]
# The bounds stand first: behind a validator pydantic's schema would not name them as JSON Schema does.
Priority = Annotated[int, Field(ge=-100, le=100), BeforeValidator(whole)]
Seconds = Annotated[int, Field(ge=1, le=366 * 86_400), BeforeValidator(whole)]


class ScheduleSubmission(Sent):
    """A task that comes by itself, at the times of a cron expression."""

    name: Name = Field(examples=["nightly-report"])
    """Unique in the tenant; its tasks carry it as the label `schedule`."""
    cron: CronText = Field(examples=["30 7 * * MON-FRI", "@daily"])
    """Minute, hour, day of month, month, day of week; or @hourly, @daily, @weekly, @monthly, @yearly."""
    time_zone: ZoneName = Field(default="UTC", examples=["Europe/Berlin"])
    """An IANA name; the expression is read as a clock there shows the time."""
    missed: MissedPolicy = "once"
    """What becomes of times at which no process ran: `skip`, `once` for all of them, or `all`, 100 at most."""
    agent_id: Annotated[str, Field(pattern=AGENT_ID_PATTERN)]
    """Who gets the task."""
    task_data: JsonObjectBody
    """What the agent works with."""
    labels: LabelsBody = Field(
        default_factory=dict[str, str],
        max_length=31,
        json_schema_extra={"additionalProperties": False},
    )
    """The caller's own marks on each task."""
    priority: Priority = 0
    """Higher goes first."""
    budget: BudgetBody | None = None
    """What each task, and all that it delegates, may use."""
    timeout_seconds: Seconds | None = None
    """How long each task, and all that it delegates, may take."""
    is_paused: bool = False

    def values(self) -> JsonObject:
        """The fields of a ScheduleOrder."""
        return _values(self)


class ScheduleChange(Sent):
    """What is to be different about a schedule. What is not sent stays as it is."""

    name: Name = Field(default="", json_schema_extra=absent)
    cron: CronText = Field(default="", json_schema_extra=absent)
    time_zone: ZoneName = Field(default="", json_schema_extra=absent)
    missed: MissedPolicy = Field(default="once", json_schema_extra=absent)
    agent_id: Annotated[str, Field(pattern=AGENT_ID_PATTERN)] = Field(default="", json_schema_extra=absent)
    task_data: JsonObjectBody = Field(default_factory=dict[str, Any])
    labels: LabelsBody = Field(
        default_factory=dict[str, str],
        max_length=31,
        json_schema_extra={"additionalProperties": False},
    )
    """All of them: those that are not sent are gone."""
    priority: Priority = Field(default=0, json_schema_extra=absent)
    budget: BudgetBody | None = Field(default=None, json_schema_extra=absent)
    """null: the agent's own limits."""
    timeout_seconds: Seconds | None = Field(default=None, json_schema_extra=absent)
    """null: the agent's own."""
    is_paused: bool = Field(default=False, json_schema_extra=absent)
    """A schedule that is resumed goes on from now: what was missed meanwhile is not run."""

    def values(self) -> JsonObject:
        """The fields of a ScheduleOrder that were sent."""
        return {name: value for name, value in _values(self).items() if name in self.model_fields_set}


def _values(sent: ScheduleSubmission | ScheduleChange) -> JsonObject:
    values: JsonObject = {name: getattr(sent, name) for name in type(sent).model_fields}
    return {**values, "budget": sent.budget.as_data() if sent.budget else {}}


class ScheduleFault(Answer):
    """Why a due time has no task, or which were left out."""

    code: str
    """The code of the error that submitting the task met, or `schedule.missed`."""
    message: str
    due_at: datetime


class ScheduleBody(Answer):
    """A schedule as it stands."""

    id: str
    name: str
    cron: str
    time_zone: str
    missed: MissedPolicy
    agent_id: str
    task_data: dict[str, Any]
    labels: dict[str, str]
    priority: int
    budget: dict[str, Any]
    """The limits that it sets, over the agent's own."""
    timeout_seconds: int | None
    is_paused: bool
    next_times: list[datetime]
    """When it runs next, five times at most, in UTC; none while it is paused."""
    last_at: datetime | None
    """The due time that was seen to last."""
    last_task_id: str | None
    """The task that the last due time with one led to."""
    last_error: ScheduleFault | None
    created_by: str
    created_at: datetime
    updated_at: datetime


class SchedulePage(Answer):
    """A part of a list, newest first."""

    items: list[ScheduleBody]
    next_cursor: str | None
    """Give it as `cursor` to get what follows; null: that was all."""
