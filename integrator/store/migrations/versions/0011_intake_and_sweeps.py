"""Deliveries stored once, foreign notifications, progress per page, rows set aside by sweeps.

Only additions: the version before goes on beside it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what intake and sweeps store."""
    op.add_column("transactions", sa.Column("lookup_failed_at", sa.DateTime(timezone=True)))
    lookup_failed = sa.text("lookup_failed_at IS NOT NULL")
    op.create_index(
        "ix_transactions_lookup_failed",
        "transactions",
        ["psp_settings_id", "lookup_failed_at"],
        sqlite_where=lookup_failed,
        postgresql_where=lookup_failed,
    )
