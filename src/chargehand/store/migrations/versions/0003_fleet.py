"""Several processes and hosts: the lanes of claims, duties, schedules, snapshots of workspaces."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("agents", sa.Column("most_running", sa.Integer(), nullable=True))
    op.drop_index("ix_agent_tasks_claimed", "agent_tasks")
    op.create_index(
        "ix_agent_tasks_lane", "agent_tasks", ["status", "tenant", "agent_id", "priority", "run_after", "id"]
    )
    op.create_table(
        "lanes",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("agent_id", sa.String(length=128), nullable=False),
        sa.Column("priority", sa.Integer(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "agent_id", "priority"),
    )
    op.execute(
        "INSERT INTO lanes (tenant, agent_id, priority) SELECT DISTINCT tenant, agent_id, priority FROM agent_tasks"
    )
    op.create_table(
        "duties",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.String(length=128), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "schedules",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("agent_id", sa.String(length=128), nullable=False),
        sa.Column("task_data", sa.JSON(), nullable=False),
        sa.Column("cron", sa.String(length=128), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("missed", sa.String(length=8), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("budget", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("timeout_seconds", sa.Integer(), nullable=True),
        sa.Column("is_paused", sa.Boolean(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=True),
        sa.Column("last_task_id", sa.String(length=36), nullable=True),
        sa.Column("last_error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("missed IN ('skip','once','all')", name="known_missed_policy"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant", "name", name="one_schedule_a_name"),
    )
    op.create_index("ix_schedules_next", "schedules", ["next_at"], unique=False)
    op.create_table(
        "workspace_heads",
        sa.Column("workspace_id", sa.String(length=36), nullable=False),
        sa.Column("manifest", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("taken_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id"),
    )
    # What retention looks up.
    op.create_index("ix_idempotency_keys_task", "idempotency_keys", ["task_id"], unique=False)
    for name, column in (
        ("ix_agent_tasks_follows", "follows_id"),
        ("ix_agent_tasks_workspace", "workspace_id"),
    ):
        some = sa.text(f"{column} IS NOT NULL")
        op.create_index(name, "agent_tasks", [column], unique=False, sqlite_where=some, postgresql_where=some)
