"""States of transactions are sealed like everything else; rows of before stay as they are."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("transactions", sa.Column("sealed_snapshot", sa.LargeBinary()))
