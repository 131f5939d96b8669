"""What reconciliation remembers: how far it came, what it found, what it has checked."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_AMOUNT = sa.Numeric().with_variant(sa.String(64), "sqlite")


def upgrade() -> None:
    _reconciliation()
    _strays()
    op.add_column(
        "notifications",
        sa.Column("source", sa.String(16), nullable=False, server_default="notification"),
    )
    # Nullable, because SQLite can add no other without rebuilding the table.
    op.add_column("transactions", sa.Column("checked_at", _TIME))
    op.execute("UPDATE transactions SET checked_at = created_at")
    op.create_index(
        "ix_transactions_merchant_id_checked_at", "transactions", ["merchant_id", "checked_at"]
    )


def _reconciliation() -> None:
    op.create_table(
        "reconciliation",
        sa.Column("psp_settings_id", sa.String(24), nullable=False),
        sa.Column("cursor", sa.Text()),
        sa.Column("checked_until", _TIME),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("psp_settings_id", name="pk_reconciliation"),
        _belongs_to_settings("reconciliation"),
    )


def _strays() -> None:
    op.create_table(
        "strays",
        sa.Column("psp_settings_id", sa.String(24), nullable=False),
        sa.Column("psp_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("amount", _AMOUNT, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("reference", sa.Text()),
        sa.Column("parent_psp_id", sa.Text()),
        sa.Column("owner_id", sa.Text()),
        sa.Column("booked_at", _TIME, nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.Column("checked_at", _TIME, nullable=False),
        sa.Column("resolved_at", _TIME),
        sa.PrimaryKeyConstraint("psp_settings_id", "psp_id", name="pk_strays"),
        _belongs_to_settings("strays"),
    )
    op.create_index(
        "ix_strays_psp_settings_id_resolved_at_checked_at",
        "strays",
        ["psp_settings_id", "resolved_at", "checked_at"],
    )


def _belongs_to_settings(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["psp_settings_id"],
        ["merchants.psp_settings_id"],
        name=f"fk_{table}_psp_settings_id_merchants",
    )
