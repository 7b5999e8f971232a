"""A tenant's tasks are listed by indexes, whatever they are narrowed to."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_agent_tasks_newest", "agent_tasks", ["tenant", "id"], unique=False)
    op.create_index("ix_agent_tasks_standing", "agent_tasks", ["tenant", "status", "id"], unique=False)
    op.create_index("ix_agent_tasks_context", "agent_tasks", ["context_id"], unique=False)
