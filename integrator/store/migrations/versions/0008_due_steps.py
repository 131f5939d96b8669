"""What cannot be rewound: what was sent to the PSP, and what is due in a transaction.

Rows from before have no mark: then their age decides whether something may have been sent.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("transactions", sa.Column("send_mark", sa.String(64)))
    op.add_column("transactions", sa.Column("announce_version", sa.Integer()))
    op.add_column("transactions", sa.Column("due_steps", sa.String(32)))
    due = sa.text("announce_version IS NOT NULL OR due_steps IS NOT NULL")
    op.create_index(
        "ix_transactions_work_due",
        "transactions",
        ["created_at"],
        sqlite_where=due,
        postgresql_where=due,
    )
