"""Progress of reconciliation, and the unmatched movements it found."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True)
class ReconciliationProgress:
    """Progress of the reconciliation of one account.

    `cursor` is the position in the PSP's event list, `checked_until` the end of the last time
    window in which movements were compared; both are None before the first run.
    """

    cursor: str | None = None
    checked_until: datetime | None = None


@dataclass(frozen=True)
class NewUnmatchedMovement:
    """Movement at the PSP that none of our transactions requested.

    `owner_id` is our parent transaction of the movement, if there is one.
    """

    psp_settings_id: str
    psp_id: str
    kind: str
    amount: Decimal
    currency: str
    reference: str | None
    parent_psp_id: str | None
    owner_id: str | None
    booked_at: datetime


@dataclass(frozen=True)
class UnmatchedMovement(NewUnmatchedMovement):
    """Stored movement; `resolved_at` is when it was matched, or resolved by an operator."""

    seen_at: datetime
    checked_at: datetime
    resolved_at: datetime | None
