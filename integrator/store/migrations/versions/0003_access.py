"""Who may call until when, and to which hosts a merchant's webhooks may go."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("api_tokens", sa.Column("expires_at", _TIME))
    op.add_column("api_tokens", sa.Column("last_used_at", _TIME))
    op.add_column("merchants", sa.Column("webhook_hosts", sa.Text()))
