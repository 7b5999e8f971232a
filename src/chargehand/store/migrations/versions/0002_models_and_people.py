"""What models cost, what people decide, what a task was told: the tables of agents that a model runs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "approvals",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("root_id", sa.String(length=36), nullable=False),
        sa.Column("path", sa.String(length=128), nullable=False),
        sa.Column("agent_id", sa.String(length=128), nullable=False),
        sa.Column("tool", sa.String(length=128), nullable=False),
        sa.Column("arguments", sa.JSON(), nullable=False),
        sa.Column("arguments_hash", sa.String(length=64), nullable=False),
        sa.Column("why", LONG_TEXT, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("default_action", sa.String(length=8), nullable=False),
        sa.Column("edited_arguments", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("comment", LONG_TEXT, nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("decided_by", sa.String(length=64), nullable=True),
        sa.CheckConstraint("(status = 'open') = (decided_at IS NULL)", name="decided_has_time"),
        sa.CheckConstraint("default_action IN ('approve','deny')", name="known_default_action"),
        sa.CheckConstraint(
            "status IN ('open','approved','edited','denied','expired','withdrawn')",
            name="known_approval_status",
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("task_id", "path", name="one_approval_a_step"),
    )
    op.create_index("ix_approvals_expiry", "approvals", ["status", "expires_at"], unique=False)
    op.create_index("ix_approvals_listed", "approvals", ["tenant", "status", "id"], unique=False)
    op.create_index("ix_approvals_root", "approvals", ["root_id"], unique=False)
    op.create_table(
        "mcp_tools",
        sa.Column("server", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("approved_hash", sa.String(length=64), nullable=True),
        sa.Column("seen_hash", sa.String(length=64), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("approved_at", sa.BigInteger(), nullable=True),
        sa.Column("approved_by", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("server", "name"),
    )
    op.create_table(
        "task_charges",
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("path", sa.String(length=128), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("root_id", sa.String(length=36), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("agent_id", sa.String(length=128), nullable=False),
        sa.Column("model", sa.String(length=192), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("is_priced", sa.Boolean(), nullable=False),
        sa.Column("reserved_usd_nanos", sa.BigInteger(), nullable=False),
        sa.Column("reserved_tokens", sa.BigInteger(), nullable=False),
        sa.Column("usd_nanos", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_read_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_write_tokens", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("(status = 'reserved') = (settled_at IS NULL)", name="settled_has_time"),
        sa.CheckConstraint("status IN ('reserved','settled','lost','released')", name="known_charge_status"),
        sa.PrimaryKeyConstraint("task_id", "path", "number"),
    )
    op.create_index("ix_task_charges_day", "task_charges", ["tenant", "day"], unique=False)
    op.create_index("ix_task_charges_root", "task_charges", ["root_id"], unique=False)
    op.create_table(
        "task_messages",
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("text", LONG_TEXT, nullable=False),
        sa.Column("sent_by", sa.String(length=64), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=False),
        sa.Column("taken_by_path", sa.String(length=128), nullable=True),
        sa.PrimaryKeyConstraint("task_id", "number"),
    )
    op.create_table(
        "tenant_days",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("usd_nanos", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "day"),
    )
    op.add_column("agent_tasks", sa.Column("follows_id", sa.String(length=36), nullable=True))
    op.add_column("agent_tasks", sa.Column("workspace_id", sa.String(length=36), nullable=True))
    op.add_column("agent_tasks", sa.Column("traceparent", sa.String(length=64), nullable=True))
    op.add_column("agent_tasks", sa.Column("output_schema", sa.JSON(none_as_null=True), nullable=True))
    op.add_column(
        "agent_tasks", sa.Column("usd_nanos_spent", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column(
        "agent_tasks", sa.Column("tokens_spent", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column(
        "agent_tasks", sa.Column("tool_calls_spent", sa.Integer(), server_default="0", nullable=False)
    )


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("agent_tasks") as batch_op:
        for column in (
            "follows_id",
            "workspace_id",
            "traceparent",
            "output_schema",
            "usd_nanos_spent",
            "tokens_spent",
            "tool_calls_spent",
        ):
            batch_op.drop_column(column)
    for table in ("tenant_days", "task_messages", "task_charges", "mcp_tools", "approvals"):
        op.drop_table(table)
