"""Limits of single tenants."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "tenant_limits",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("requests_per_second", sa.Double[float](), nullable=True),
        sa.Column("submits_per_second", sa.Double[float](), nullable=True),
        sa.Column("concurrency", sa.Integer(), nullable=True),
        sa.Column("backlog", sa.BigInteger(), nullable=True),
        sa.Column("streams", sa.Integer(), nullable=True),
        sa.Column("usd_nanos_per_day", sa.BigInteger(), nullable=True),
        sa.Column("tokens_per_day", sa.BigInteger(), nullable=True),
        sa.Column("storage_bytes", sa.BigInteger(), nullable=True),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("tenant"),
    )
