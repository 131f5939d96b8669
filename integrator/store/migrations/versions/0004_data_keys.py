"""A key of its own for the data of each agreement, so that it can be destroyed."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "data_keys",
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("agreement_id", sa.Text(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("erased_at", _TIME),
        sa.PrimaryKeyConstraint("merchant_id", "agreement_id", name="pk_data_keys"),
        sa.CheckConstraint(
            "(wrapped IS NULL) = (erased_at IS NOT NULL)",
            name=op.f("ck_data_keys_erased_or_wrapped"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name="fk_data_keys_merchant_id_merchants"
        ),
    )
    op.create_index(
        "ix_data_keys_erased",
        "data_keys",
        ["erased_at"],
        sqlite_where=sa.text("erased_at IS NOT NULL"),
        postgresql_where=sa.text("erased_at IS NOT NULL"),
    )
    op.add_column("transactions", sa.Column("webhook_target", sa.LargeBinary()))
    op.add_column("notifications", sa.Column("agreement_id", sa.Text()))
    for table in ("transactions", "notifications"):
        op.create_index(
            f"ix_{table}_merchant_id_agreement_id", table, ["merchant_id", "agreement_id"]
        )
