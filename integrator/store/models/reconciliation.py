"""How far the comparison with a PSP has come, and what it found that is nobody's."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True)
class Progress:
    """How far the reconciliation of one account has come.

    `cursor` is the place in the PSP's event list, `checked_until` the end of the last time window
    in which movements were compared; both None before the first time.
    """

    cursor: str | None = None
    checked_until: datetime | None = None


@dataclass(frozen=True)
class NewUnmatchedMovement:
    """A movement at the PSP that none of our transactions asked for.

    `owner_id` is our transaction that it was made on, if there is one.
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
    """A stray as kept; `resolved_at` is when it was found to belong somewhere after all, or when
    a person had dealt with it.
    """

    seen_at: datetime
    checked_at: datetime
    resolved_at: datetime | None
