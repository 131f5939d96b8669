"""When a debit that waits for its day is sent, and since when a transaction may have been sent.

Rows from before do not wait; their creation counts as the time since when they may have been sent.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("transactions", sa.Column("send_at", sa.DateTime(timezone=True)))
    op.add_column("transactions", sa.Column("sending_since", sa.DateTime(timezone=True)))
    waiting = sa.text("send_at IS NOT NULL")
    op.create_index(
        "ix_transactions_waiting",
        "transactions",
        ["send_at"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
