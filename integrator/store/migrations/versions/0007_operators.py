"""What operators ask for: who waits for a person, what was announced, what was decided by hand.

`needs_attention` starts as false for every row: whether a state asks for a person stands inside it,
sealed, and a migration has no keys. The next record of a transaction sets it, and for those that
will never be recorded again `integrator attention --scan` reads all states once.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_AMOUNT = sa.Numeric().with_variant(sa.String(64), "sqlite")


def upgrade() -> None:
    op.add_column(
        "transactions",
        sa.Column("needs_attention", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_index("ix_transactions_external_id", "transactions", ["external_id"])
    undecided = sa.text("status IN ('Initiated', 'Pending')")
    _partial("ix_transactions_undecided", "transactions", "created_at", undecided, undecided)
    _partial(
        "ix_transactions_attention",
        "transactions",
        "created_at",
        sa.text("needs_attention = 1"),
        sa.text("needs_attention"),
    )
    op.create_index(
        "ix_notifications_merchant_id_transaction_id",
        "notifications",
        ["merchant_id", "transaction_id"],
    )
    _deliveries()
    _decisions()


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("began_at", _TIME, nullable=False),
        sa.Column("last_attempt_at", _TIME, nullable=False),
        sa.Column("delivered_at", _TIME),
        sa.Column("last_status", sa.Integer()),
        sa.Column("last_error", sa.Text()),
        sa.PrimaryKeyConstraint("merchant_id", "transaction_id", "version", name="pk_deliveries"),
        _belongs_to_merchant("deliveries"),
        sa.CheckConstraint("state IN ('delivering', 'delivered', 'undelivered')", name="state"),
    )
    still_open = sa.text("state <> 'delivered'")
    _partial("ix_deliveries_open", "deliveries", "began_at", still_open, still_open)


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", sa.String(24), nullable=False),
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("transaction_id", sa.Text()),
        sa.Column("psp_settings_id", sa.String(24)),
        sa.Column("psp_id", sa.Text()),
        sa.Column("amount", _AMOUNT),
        sa.Column("agreement_id", sa.Text()),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("decided_at", _TIME, nullable=False),
        sa.Column("reason", sa.LargeBinary(), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("refusal", sa.Text()),
        sa.Column("status_before", sa.String(16)),
        sa.Column("status_after", sa.String(16)),
        sa.PrimaryKeyConstraint("id", name="pk_decisions"),
        _belongs_to_merchant("decisions"),
        sa.CheckConstraint("kind IN ('acknowledge', 'failed', 'succeeded')", name="kind"),
        sa.CheckConstraint("outcome IN ('asked', 'done', 'refused')", name="outcome"),
        sa.CheckConstraint(
            "(transaction_id IS NULL) = (psp_settings_id IS NOT NULL)", name="on_one"
        ),
    )
    for columns in (["merchant_id", "transaction_id"], ["merchant_id", "agreement_id"]):
        op.create_index(f"ix_decisions_{'_'.join(columns)}", "decisions", columns)
    op.create_index("ix_decisions_decided_at", "decisions", ["decided_at"])


def _belongs_to_merchant(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["merchant_id"], ["merchants.id"], name=f"fk_{table}_merchant_id_merchants"
    )


def _partial(
    name: str,
    table: str,
    column: str,
    sqlite: sa.TextClause,
    postgresql: sa.TextClause,
) -> None:
    op.create_index(name, table, [column], sqlite_where=sqlite, postgresql_where=postgresql)
