"""The wall between tenants around a table (store/tenant_wall.py), for migrations that make one."""

from alembic import op

# As a query of its own it is evaluated once a statement, not once a row.
_TENANT = "(SELECT coalesce(current_setting('chargehand.tenant', true), ''))"
OWN = _TENANT + " IN ('', tenant)"
"""Rows with a tenant."""
# Not EXISTS: whose planner may read all tasks into a hash instead of the one, when it misjudges the rows around it.
_IS_OWN_TASK = "(SELECT true FROM agent_tasks WHERE agent_tasks.id = task_id)"
OF_OWN_TASK = f"{_TENANT} = '' OR {_IS_OWN_TASK}"
"""Rows of a task, without a tenant of their own."""


def wall_off(*tables: str, rule: str = OWN) -> None:
    """On PostgreSQL. FORCE: the tables' owner, as which the service connects, would else be above the policies."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in tables:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY tenant_wall ON {table} USING ({rule})")
