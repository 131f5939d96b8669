"""Filters, lists and counts for operators."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from integrator.store.models.deliveries import DeliveryState
from integrator.store.models.notifications import NotificationSource, NotificationState
from integrator.store.models.transactions import PageCursor, TransactionKind


@dataclass(frozen=True)
class TransactionFilter:
    """Conditions on transactions; None or empty means no restriction.

    `since` and `until` (exclusive) apply to the creation; `webhook` to the delivery state of the
    last announced version; `attempted_since` and `attempted_until` (exclusive) to the last attempt
    to deliver any version.
    """

    merchant_id: str | None = None
    kind: TransactionKind | None = None
    statuses: tuple[str, ...] = ()
    agreement_id: str | None = None
    psp_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    attention: bool = False
    webhook: DeliveryState | None = None
    attempted_since: datetime | None = None
    attempted_until: datetime | None = None


@dataclass(frozen=True)
class TransactionSummary:
    """Transaction in a list, without encrypted columns; `webhook` is None if never announced."""

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
    webhook: DeliveryState | None

    @property
    def cursor(self) -> PageCursor:
        """Return the cursor of the page after this transaction."""
        return PageCursor(self.created_at, self.transaction_id, self.merchant_id)


@dataclass(frozen=True)
class NotificationSummary:
    """Notification without its content."""

    event_id: str
    source: NotificationSource
    state: NotificationState
    outcome: str | None
    attempts: int
    received_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Backlog:
    """Numbers of open items, each with the time of the oldest.

    Transactions without a final status or that need attention, unmatched movements (`strays`), and
    change notifications that are being delivered or were given up.
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
