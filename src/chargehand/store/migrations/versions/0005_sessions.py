"""Sessions of browsers."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "sessions",
        sa.Column("id_hash", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("principal_id", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=16), nullable=True),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id_hash"),
    )
    op.create_index("ix_sessions_expiry", "sessions", ["expires_at"], unique=False)
    op.create_index(
        "ix_sessions_principal", "sessions", ["tenant", "principal_id", "created_at"], unique=False
    )
    if op.get_bind().dialect.name == "postgresql":
        # The wall of store/tenant_wall.py, as migration 0010 builds it around the other tables.
        own = "(SELECT coalesce(current_setting('chargehand.tenant', true), '')) IN ('', tenant)"
        op.execute("ALTER TABLE sessions ENABLE ROW LEVEL SECURITY")
        op.execute("ALTER TABLE sessions FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY tenant_wall ON sessions USING ({own})")


def downgrade() -> None:
    """Take back."""
    op.drop_table("sessions")
