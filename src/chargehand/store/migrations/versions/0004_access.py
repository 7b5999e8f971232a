"""Who may do what: more of keys, tenants as rows, and the rights of tasks and schedules."""

import json
import time

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_KEYS = sa.table("api_keys", sa.column("tenant"), sa.column("name"), sa.column("scopes", sa.JSON()))


def upgrade() -> None:
    """Apply."""
    for column in (
        sa.Column("roles", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("agents", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("replaces", sa.String(length=16), nullable=True),
        sa.Column("created_by", sa.String(length=64), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
    ):
        op.add_column("api_keys", column)
    for table in ("agent_tasks", "schedules"):
        op.add_column(table, sa.Column("rights", sa.JSON(none_as_null=True), nullable=True))
    tenants = op.create_table(
        "tenants",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("display_name", sa.String(length=128), nullable=False),
        sa.Column("created_by", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("suspended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    connection = op.get_bind()
    # Every tenant that ever had a task has a lane. The operator's own is made at the first start, and has a key then.
    known: set[str] = set()
    for table in ("lanes", "agents", "api_keys", "schedules"):
        tenant = sa.table(table, sa.column("tenant", sa.String())).c.tenant
        known |= set(connection.scalars(sa.select(tenant).distinct()))
    now = time.time_ns() // 1_000
    rows = [
        {"id": one, "display_name": one, "created_by": "upgrade", "created_at": now, "suspended_at": None}
        for one in sorted(known)
    ]
    if rows:
        op.bulk_insert(tenants, rows)
    _let_the_operator_see_to_tenants(connection)


def _let_the_operator_see_to_tenants(connection: sa.Connection) -> None:
    """`admin` has never included `admin:service`; the administrator's key of the data folder is the operator's."""
    is_operators = sa.and_(_KEYS.c.tenant == "default", _KEYS.c.name == "admin")
    found = connection.execute(sa.select(_KEYS.c.scopes).where(is_operators)).first()
    if found is None:
        return
    scopes = json.loads(found.scopes) if isinstance(found.scopes, str) else found.scopes
    if "admin" in scopes:
        connection.execute(
            sa.update(_KEYS).where(is_operators).values(scopes=sorted({*scopes, "admin:service"}))
        )
