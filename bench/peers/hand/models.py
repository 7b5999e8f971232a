"""The table, and what a client sends and sees."""

import uuid
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import JSON, DateTime, Index, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The metadata of the one table."""


class AgentTask(Base):
    """A task and how it stands."""

    __tablename__ = "agent_tasks"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    agent_id: Mapped[str] = mapped_column(String(64))
    task_data: Mapped[dict[str, Any]] = mapped_column(JSON)
    status: Mapped[str] = mapped_column(String(16), default="pending")
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=lambda: datetime.now(UTC))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    __table_args__ = (Index("ix_agent_tasks_listed", "agent_id", "status", "created_at"),)


class TaskIn(BaseModel):
    """The body of a submission."""

    task_data: dict[str, Any]


class TaskOut(BaseModel):
    """A task as a client sees it."""

    model_config = ConfigDict(from_attributes=True)

    id: uuid.UUID
    agent_id: str
    task_data: dict[str, Any]
    status: str
    result: dict[str, Any] | None
    created_at: datetime
    finished_at: datetime | None


class TaskPage(BaseModel):
    """A page of a list."""

    items: list[TaskOut]
