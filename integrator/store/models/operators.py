"""What operators ask for, and the lists and counts that they get."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from integrator.store.models.deliveries import DeliveryStanding
from integrator.store.models.notifications import NotificationSource, NotificationState
from integrator.store.models.transactions import PageCursor, TransactionKind


@dataclass(frozen=True)
class Filter:
    """Which transactions to list; what is None or empty does not restrict.

    `since` and `until` (exclusive) are about their creation; `webhook` is the standing of the last
    version that was announced; `attempted_since` and `attempted_until` (exclusive) are about the
    last attempt to announce any.
    """

    merchant_id: str | None = None
    kind: TransactionKind | None = None
    statuses: tuple[str, ...] = ()
    agreement_id: str | None = None
    psp_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    attention: bool = False
    webhook: DeliveryStanding | None = None
    attempted_since: datetime | None = None
    attempted_until: datetime | None = None


@dataclass(frozen=True)
class TransactionSummary:
    """A transaction in a list: nothing sealed. `webhook` as in `Filter`; None: never announced."""

    merchant_id: str
    transaction_id: str
    kind: TransactionKind
    status: str
    currency: str
    requested_amount: Decimal
    psp: str
    external_id: str | None
    agreement_id: str | None
    related_id: str | None
    psp_transaction_id: str | None
    needs_attention: bool
    version: int
    created_at: datetime
    updated_at: datetime
    webhook: DeliveryStanding | None

    @property
    def place(self) -> PageCursor:
        """Where the next page begins."""
        return PageCursor(self.created_at, self.transaction_id, self.merchant_id)


@dataclass(frozen=True)
class NotificationSummary:
    """A notification without its content."""

    event_id: str
    source: NotificationSource
    state: NotificationState
    outcome: str | None
    attempts: int
    received_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Backlog:
    """What waits: transactions without a decision of the PSP or that ask for a person, movements
    nobody asked for, and change notifications on their way or given up; with the oldest of each.
    """

    undecided: int
    undecided_since: datetime | None
    attention: int
    attention_since: datetime | None
    strays: int
    strays_since: datetime | None
    delivering: int
    delivering_since: datetime | None
    undelivered: int
    undelivered_since: datetime | None
