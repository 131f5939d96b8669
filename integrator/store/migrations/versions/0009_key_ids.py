"""Ids of all keys that a process ever had in its key ring, with the time since when each is known.

The first process that starts afterwards enters the keys in use as known for ever.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "key_ids",
        sa.Column("key_id", sa.String(32), nullable=False),
        sa.Column("fingerprint", sa.String(64)),
        sa.Column("known_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("unused_since", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("key_id", name="pk_key_ids"),
    )
