"""The first schema.

Migrations go forward only: undoing one would throw payment records away.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_AMOUNT = sa.Numeric().with_variant(sa.String(64), "sqlite")
_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _merchants()
    _agreements()
    _transactions()
    _notifications()


def _merchants() -> None:
    op.create_table(
        "merchants",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("psp", sa.String(64), nullable=False),
        sa.Column("psp_settings_id", sa.String(24), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_merchants"),
        sa.UniqueConstraint("psp_settings_id", name="uq_merchants_psp_settings_id"),
    )
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.String(24), nullable=False),
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("token_sha256", sa.String(64), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("revoked_at", _TIME),
        sa.PrimaryKeyConstraint("id", name="pk_api_tokens"),
        sa.UniqueConstraint("token_sha256", name="uq_api_tokens_token_sha256"),
        _belongs_to_merchant("api_tokens"),
    )
    op.create_index("ix_api_tokens_merchant_id", "api_tokens", ["merchant_id"])
    op.create_table(
        "psp_settings",
        sa.Column("psp_settings_id", sa.String(24), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("account", sa.Text()),
        sa.Column("sealed_values", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("psp_settings_id", "version", name="pk_psp_settings"),
        sa.ForeignKeyConstraint(
            ["psp_settings_id"],
            ["merchants.psp_settings_id"],
            name="fk_psp_settings_psp_settings_id_merchants",
        ),
        _belongs_to_merchant("psp_settings"),
    )
    op.create_index("ix_psp_settings_merchant_id", "psp_settings", ["merchant_id"])


def _agreements() -> None:
    op.create_table(
        "agreements",
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("agreement_id", sa.Text(), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("instrument", sa.LargeBinary()),
        sa.Column("usable", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "agreement_id", name="pk_agreements"),
        _belongs_to_merchant("agreements"),
    )


def _transactions() -> None:
    op.create_table(
        "transactions",
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text()),
        sa.Column("agreement_id", sa.Text()),
        sa.Column("related_id", sa.Text()),
        sa.Column("psp", sa.String(64), nullable=False),
        sa.Column("psp_settings_id", sa.String(24), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("requested_amount", _AMOUNT, nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("private", sa.LargeBinary()),
        sa.Column("psp_transaction_id", sa.Text()),
        sa.Column("psp_session_id", sa.Text()),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("snapshot", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("told_at", _TIME),
        sa.PrimaryKeyConstraint("merchant_id", "transaction_id", name="pk_transactions"),
        sa.CheckConstraint(
            "kind IN ('preauth', 'payment', 'refund')", name=op.f("ck_transactions_kind")
        ),
        sa.CheckConstraint(
            "status NOT IN ('Succeeded', 'Failed', 'Cancelled', 'Expired') OR evidence IS NOT NULL",
            name=op.f("ck_transactions_final_needs_evidence"),
        ),
        _belongs_to_merchant("transactions"),
    )
    for column in ("related_id", "psp_transaction_id", "psp_session_id"):
        op.create_index(
            f"ix_transactions_merchant_id_{column}", "transactions", ["merchant_id", column]
        )
    op.create_index("ix_transactions_created_at", "transactions", ["created_at"])
    op.create_index(
        "ix_transactions_untold",
        "transactions",
        ["created_at"],
        sqlite_where=sa.text("told_at IS NULL"),
        postgresql_where=sa.text("told_at IS NULL"),
    )
    op.create_index("ix_transactions_version_created_at", "transactions", ["version", "created_at"])


def _notifications() -> None:
    op.create_table(
        "notifications",
        sa.Column("id", _ROW_ID, nullable=False),
        sa.Column("psp_settings_id", sa.String(24), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("transaction_id", sa.Text()),
        sa.Column("psp_ids", sa.Text(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("headers", sa.LargeBinary()),
        sa.Column("received_at", _TIME, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("outcome", sa.Text()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_notifications"),
        sa.UniqueConstraint(
            "psp_settings_id", "event_id", name="uq_notifications_psp_settings_id_event_id"
        ),
        sa.CheckConstraint(
            "state IN ('stored', 'signalled', 'applied', 'known', 'parked', 'ignored')",
            name=op.f("ck_notifications_state"),
        ),
        _belongs_to_merchant("notifications"),
    )
    op.create_index("ix_notifications_state_updated_at", "notifications", ["state", "updated_at"])


def _belongs_to_merchant(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["merchant_id"], ["merchants.id"], name=f"fk_{table}_merchant_id_merchants"
    )
