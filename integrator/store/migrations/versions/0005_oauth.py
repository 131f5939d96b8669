"""OAuth 2.0 clients of the merchants."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "oauth_clients",
        sa.Column("id", sa.String(24), nullable=False),
        sa.Column("merchant_id", sa.String(64), nullable=False),
        sa.Column("secret_sha256", sa.String(64), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("revoked_at", _TIME),
        sa.Column("last_used_at", _TIME),
        sa.PrimaryKeyConstraint("id", name="pk_oauth_clients"),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name="fk_oauth_clients_merchant_id_merchants"
        ),
    )
    op.create_index("ix_oauth_clients_merchant_id", "oauth_clients", ["merchant_id"])
