"""PostgreSQL: row-level security as a second wall between tenants, around the tables that there were before it."""

from chargehand.store.migrations.walls import OF_OWN_TASK, wall_off

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

OF_TENANTS = (
    "agent_tasks", "agent_versions", "agents", "api_keys", "approvals", "idempotency_keys", "lanes", "schedules",
    "task_charges", "task_labels", "tenant_days",
)  # fmt: skip
OF_TASKS = ("task_deliverables", "task_events", "task_messages", "task_steps")


def upgrade() -> None:
    """Apply."""
    wall_off(*OF_TENANTS)
    wall_off(*OF_TASKS, rule=OF_OWN_TASK)
