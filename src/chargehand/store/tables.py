"""The tables, their constraints and their indexes.

Rule: what must always be true of a row stands here as a constraint too, so that a stray update is refused by
the database: a finished task has an end, a running one a lease and a worker.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

LONG_TEXT = Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
"""MySQL's own TEXT ends at 64 KiB."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class UtcMicroseconds(TypeDecorator[datetime]):
    """An aware UTC datetime kept as whole microseconds since 1970: exact, ordered, alike everywhere."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        del dialect
        return None if value is None else (value - _EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        del dialect
        return None if value is None else _EPOCH + timedelta(microseconds=value)


class Base(DeclarativeBase):
    """The metadata of every table."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcMicroseconds(),
        dict[str, Any]: JSON(none_as_null=True),
    }


def _of_few(name: str, column: str) -> Index:
    """An index of a column that few rows have; MySQL has none but whole ones."""
    some = text(f"{column} IS NOT NULL")
    return Index(name, column, sqlite_where=some, postgresql_where=some)


class AgentTask(Base):
    """A piece of work for one agent. Written by store/tasks.py only."""

    __tablename__ = "agent_tasks"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    agent_id: Mapped[str] = mapped_column(String(128))
    agent_version: Mapped[str] = mapped_column(String(64))
    task_data: Mapped[dict[str, Any]] = mapped_column(JSON)
    status: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(String(32))
    result: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    error: Mapped[dict[str, Any] | None]
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    tries: Mapped[int] = mapped_column(Integer, default=0)
    losses: Mapped[int] = mapped_column(Integer, default=0)
    worker_id: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None]
    run_after: Mapped[datetime]
    priority: Mapped[int] = mapped_column(Integer, default=0)
    parent_id: Mapped[str | None] = mapped_column(String(36))
    parent_step: Mapped[str | None] = mapped_column(String(128))
    root_id: Mapped[str] = mapped_column(String(36))
    depth: Mapped[int] = mapped_column(Integer, default=0)
    context_id: Mapped[str] = mapped_column(String(64))
    follows_id: Mapped[str | None] = mapped_column(String(36))
    workspace_id: Mapped[str | None] = mapped_column(String(36))
    traceparent: Mapped[str | None] = mapped_column(String(64))
    output_schema: Mapped[dict[str, Any] | None]
    labels: Mapped[dict[str, Any]] = mapped_column(JSON)
    budget: Mapped[dict[str, Any]] = mapped_column(JSON)
    steps_spent: Mapped[int] = mapped_column(Integer, default=0)
    children_spent: Mapped[int] = mapped_column(Integer, default=0)
    usd_nanos_spent: Mapped[int] = mapped_column(BigInteger, server_default="0")
    tokens_spent: Mapped[int] = mapped_column(BigInteger, server_default="0")
    tool_calls_spent: Mapped[int] = mapped_column(Integer, server_default="0")
    deadline_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    wakes: Mapped[int] = mapped_column(Integer, default=0)
    last_event: Mapped[int] = mapped_column(Integer, default=0)
    round: Mapped[int] = mapped_column(Integer, default=0)
    created_by: Mapped[str] = mapped_column(String(64))
    rights: Mapped[dict[str, Any] | None]
    """What its submitter could do; NULL: all that an administrator of the tenant can."""
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint(
            "status IN ('pending','running','waiting','completed','failed','canceled')", name="known_status"
        ),
        CheckConstraint(
            "(status IN ('completed','failed','canceled')) = (finished_at IS NOT NULL)",
            name="finished_has_end",
        ),
        CheckConstraint(
            "(status = 'running') = (lease_until IS NOT NULL AND worker_id IS NOT NULL)",
            name="running_has_lease",
        ),
        Index("ix_agent_tasks_lane", "status", "tenant", "agent_id", "priority", "run_after", "id"),
        Index("ix_agent_tasks_due", "status", "run_after"),
        Index("ix_agent_tasks_deadline", "status", "deadline_at"),
        Index("ix_agent_tasks_listed", "tenant", "agent_id", "id"),
        Index("ix_agent_tasks_newest", "tenant", "id"),
        Index("ix_agent_tasks_standing", "tenant", "status", "id"),
        Index("ix_agent_tasks_context", "context_id"),
        Index("ix_agent_tasks_parent", "parent_id", "parent_step"),
        Index("ix_agent_tasks_root", "root_id"),
        _of_few("ix_agent_tasks_follows", "follows_id"),
        _of_few("ix_agent_tasks_workspace", "workspace_id"),
    )


class IdempotencyKey(Base):
    """Which task a caller's key led to, and what was sent with it."""

    __tablename__ = "idempotency_keys"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    payload_hash: Mapped[str] = mapped_column(String(64))
    task_id: Mapped[str] = mapped_column(String(36))
    created_at: Mapped[datetime]

    __table_args__ = (Index("ix_idempotency_keys_task", "task_id"),)


class TaskLabel(Base):
    """A task's labels once more, as rows that a list can be narrowed by."""

    __tablename__ = "task_labels"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(String(255), primary_key=True)
    task_id: Mapped[str] = mapped_column(String(36), primary_key=True)


class TaskEvent(Base):
    """What happened to a task; gapless from 1. Appended only."""

    __tablename__ = "task_events"

    task_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    sequence: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime]
    data: Mapped[dict[str, Any]] = mapped_column(JSON)


class TaskStep(Base):
    """The journal: what was done and what came of it."""

    __tablename__ = "task_steps"

    task_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    path: Mapped[str] = mapped_column(String(128), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(128))
    arguments: Mapped[dict[str, Any]] = mapped_column(JSON)
    status: Mapped[str] = mapped_column(String(16))
    result: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    attempt: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("status IN ('running','open','done')", name="known_step_status"),
        CheckConstraint("(status = 'done') = (finished_at IS NOT NULL)", name="done_has_end"),
    )


class AgentVersion(Base):
    """An immutable version of an agent, named by the hash of its text."""

    __tablename__ = "agent_versions"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    agent_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    version: Mapped[str] = mapped_column(String(64), primary_key=True)
    source: Mapped[str] = mapped_column(LONG_TEXT)
    created_at: Mapped[datetime]


class Agent(Base):
    """An agent and which of its versions new tasks get."""

    __tablename__ = "agents"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    version: Mapped[str] = mapped_column(String(64))
    most_running: Mapped[int | None] = mapped_column(Integer)
    """How many of its tasks may run at once, as that version says; None: as many as there is room for."""
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class TaskDeliverable(Base):
    """A deliverable that passed its checks: a manifest of content hashes, and the evidence."""

    __tablename__ = "task_deliverables"

    task_id: Mapped[str] = mapped_column(String(36), ForeignKey("agent_tasks.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    path: Mapped[str] = mapped_column(String(1024))
    is_folder: Mapped[bool]
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    files: Mapped[list[Any]] = mapped_column(JSON)
    evidence: Mapped[list[Any]] = mapped_column(JSON)
    stored_at: Mapped[datetime]


class TaskCharge(Base):
    """The ledger: what one model call was reserved for and what it cost. Amounts are whole nano-dollars.

    `number` counts the requests of one step: one whose worker died is `lost`, at the price that was reserved.
    """

    __tablename__ = "task_charges"

    task_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    path: Mapped[str] = mapped_column(String(128), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    root_id: Mapped[str] = mapped_column(String(36))
    tenant: Mapped[str] = mapped_column(String(64))
    agent_id: Mapped[str] = mapped_column(String(128))
    model: Mapped[str] = mapped_column(String(192))
    day: Mapped[str] = mapped_column(String(10))
    status: Mapped[str] = mapped_column(String(16))
    is_priced: Mapped[bool]
    reserved_usd_nanos: Mapped[int] = mapped_column(BigInteger)
    reserved_tokens: Mapped[int] = mapped_column(BigInteger)
    usd_nanos: Mapped[int] = mapped_column(BigInteger)
    input_tokens: Mapped[int] = mapped_column(BigInteger)
    output_tokens: Mapped[int] = mapped_column(BigInteger)
    cache_read_tokens: Mapped[int] = mapped_column(BigInteger)
    cache_write_tokens: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("status IN ('reserved','settled','lost','released')", name="known_charge_status"),
        CheckConstraint("(status = 'reserved') = (settled_at IS NULL)", name="settled_has_time"),
        Index("ix_task_charges_root", "root_id"),
        Index("ix_task_charges_day", "tenant", "day"),
    )


class TenantDay(Base):
    """What a tenant has used on one day (UTC), with what is reserved now."""

    __tablename__ = "tenant_days"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    usd_nanos: Mapped[int] = mapped_column(BigInteger)
    tokens: Mapped[int] = mapped_column(BigInteger)


class Approval(Base):
    """A call that waits for a person, bound to the hash of its arguments; or how it was decided."""

    __tablename__ = "approvals"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    task_id: Mapped[str] = mapped_column(String(36))
    root_id: Mapped[str] = mapped_column(String(36))
    path: Mapped[str] = mapped_column(String(128))
    agent_id: Mapped[str] = mapped_column(String(128))
    tool: Mapped[str] = mapped_column(String(128))
    arguments: Mapped[dict[str, Any]] = mapped_column(JSON)
    arguments_hash: Mapped[str] = mapped_column(String(64))
    why: Mapped[str] = mapped_column(LONG_TEXT)
    status: Mapped[str] = mapped_column(String(16))
    default_action: Mapped[str] = mapped_column(String(8))
    edited_arguments: Mapped[dict[str, Any] | None]
    comment: Mapped[str | None] = mapped_column(LONG_TEXT)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str | None] = mapped_column(String(64))

    __table_args__ = (
        CheckConstraint(
            "status IN ('open','approved','edited','denied','expired','withdrawn')",
            name="known_approval_status",
        ),
        CheckConstraint("(status = 'open') = (decided_at IS NULL)", name="decided_has_time"),
        CheckConstraint("default_action IN ('approve','deny')", name="known_default_action"),
        UniqueConstraint("task_id", "path", name="one_approval_a_step"),
        Index("ix_approvals_listed", "tenant", "status", "id"),
        Index("ix_approvals_expiry", "status", "expires_at"),
        Index("ix_approvals_root", "root_id"),
    )


class TaskMessage(Base):
    """What a person told a task while it was open; the model sees it in the turn that takes it."""

    __tablename__ = "task_messages"

    task_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    text: Mapped[str] = mapped_column(LONG_TEXT)
    sent_by: Mapped[str] = mapped_column(String(64))
    sent_at: Mapped[datetime]
    taken_by_path: Mapped[str | None] = mapped_column(String(128))


class McpTool(Base):
    """A tool of an MCP server as it was when somebody approved it; another hash disables it."""

    __tablename__ = "mcp_tools"

    server: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    approved_hash: Mapped[str | None] = mapped_column(String(64))
    seen_hash: Mapped[str] = mapped_column(String(64))
    definition: Mapped[dict[str, Any]] = mapped_column(JSON)
    seen_at: Mapped[datetime]
    approved_at: Mapped[datetime | None]
    approved_by: Mapped[str | None] = mapped_column(String(64))


class ApiKey(Base):
    """A bearer key: only its keyed hash is kept."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(128))
    key_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    last_four: Mapped[str] = mapped_column(String(4))
    scopes: Mapped[list[Any]] = mapped_column(JSON)
    roles: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))
    """Where scopes came from; NULL: from no role."""
    agents: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))
    """What it is narrowed to; NULL: nothing."""
    replaces: Mapped[str | None] = mapped_column(String(16))
    created_by: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]

    __table_args__ = (UniqueConstraint("tenant", "name", name="one_name_a_tenant"),)


class Lane(Base):
    """That there was a task of this agent with this priority for this tenant. Lanes are what claims go round.

    In a lane the task that is due longest is first. A row stays once it is there.
    """

    __tablename__ = "lanes"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    agent_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    priority: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)


class Duty(Base):
    """Something that one process at a time sees to for all of them, while its lease lasts."""

    __tablename__ = "duties"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    holder: Mapped[str] = mapped_column(String(128))
    lease_until: Mapped[datetime]


class Schedule(Base):
    """Tasks that come by themselves, at the times of a cron expression in a time zone."""

    __tablename__ = "schedules"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(128))
    agent_id: Mapped[str] = mapped_column(String(128))
    task_data: Mapped[dict[str, Any]] = mapped_column(JSON)
    cron: Mapped[str] = mapped_column(String(128))
    time_zone: Mapped[str] = mapped_column(String(64))
    missed: Mapped[str] = mapped_column(String(8))
    priority: Mapped[int] = mapped_column(Integer)
    labels: Mapped[dict[str, Any]] = mapped_column(JSON)
    budget: Mapped[dict[str, Any] | None]
    timeout_seconds: Mapped[int | None] = mapped_column(Integer)
    is_paused: Mapped[bool]
    next_at: Mapped[datetime]
    """FOREVER when it is paused or no time is left."""
    last_at: Mapped[datetime | None]
    last_task_id: Mapped[str | None] = mapped_column(String(36))
    last_error: Mapped[dict[str, Any] | None]
    created_by: Mapped[str] = mapped_column(String(64))
    rights: Mapped[dict[str, Any] | None]
    """As of a task."""
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("missed IN ('skip','once','all')", name="known_missed_policy"),
        UniqueConstraint("tenant", "name", name="one_schedule_a_name"),
        Index("ix_schedules_next", "next_at"),
    )


class WorkspaceHead(Base):
    """The newest snapshot of a workspace: the manifest that lists its files by their hashes."""

    __tablename__ = "workspace_heads"

    workspace_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    manifest: Mapped[str] = mapped_column(String(64))
    version: Mapped[int] = mapped_column(Integer)
    task_id: Mapped[str] = mapped_column(String(36))
    attempt: Mapped[int] = mapped_column(Integer)
    taken_at: Mapped[datetime]
