"""Messages of notifications stored once, failed look-ups, rows set aside by sweeps.

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
    _add_notification_messages()
    _add_quarantine()


def _add_notification_messages() -> None:
    """Add what is stored of a message once, and the index of events that cannot be read."""
    op.create_table(
        "notification_messages",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("psp_settings_id", sa.String(24), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("unreadable", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("headers", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name="fk_notification_messages_merchant_id_merchants"
        ),
        sa.UniqueConstraint(
            "psp_settings_id", "digest", name="uq_notification_messages_psp_settings_id_digest"
        ),
    )
    op.add_column("notifications", sa.Column("message_id", sa.BigInteger()))
    unreadable = sa.text("outcome = 'unreadable'")
    op.create_index(
        "ix_notifications_unreadable",
        "notifications",
        ["received_at"],
        sqlite_where=unreadable,
        postgresql_where=unreadable,
    )


def _add_quarantine() -> None:
    """Add the rows at which sweeps have failed."""
    op.create_table(
        "quarantine",
        sa.Column("sweep", sa.String(32), primary_key=True),
        sa.Column("merchant_id", sa.String(64), primary_key=True),
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name="fk_quarantine_merchant_id_merchants"
        ),
    )
