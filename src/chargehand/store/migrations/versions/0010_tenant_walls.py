"""PostgreSQL: row-level security as a second wall between tenants (store/tenant_wall.py)."""

from alembic import op

revision = "0010"
down_revision = "0006"
branch_labels = None
depends_on = None

OF_TENANTS = (
    "agent_tasks", "agent_versions", "agents", "api_keys", "approvals",
    "idempotency_keys", "lanes", "schedules", "task_charges", "task_labels", "tenant_days",
)  # fmt: skip
OF_TASKS = ("task_deliverables", "task_events", "task_messages", "task_steps")
"""Rows of a task, without a tenant of their own."""

# As a query of its own it is evaluated once a statement, not once a row.
_TENANT = "(SELECT coalesce(current_setting('chargehand.tenant', true), ''))"
_OWN = _TENANT + " IN ('', tenant)"
_IS_OWN_TASK = "EXISTS (SELECT 1 FROM agent_tasks WHERE agent_tasks.id = task_id)"
_OF_OWN_TASK = f"{_TENANT} = '' OR {_IS_OWN_TASK}"


def upgrade() -> None:
    """Apply. FORCE: the owner of the tables, as which the service connects, would else be above the policies."""
    if op.get_bind().dialect.name != "postgresql":
        return
    rules = dict.fromkeys(OF_TENANTS, _OWN) | dict.fromkeys(OF_TASKS, _OF_OWN_TASK)
    for table, rule in rules.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY tenant_wall ON {table} USING ({rule})")
