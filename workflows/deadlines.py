"""Deadlines of transactions: when they act without a message, and what they do then."""

from datetime import datetime
from typing import ClassVar

from temporalio import workflow

from integrator.contract import times
from integrator.contract.enums import PaymentErrorCode, PaymentTransactionStatus
from integrator.psp.types import Declined, Pending
from workflows import timeouts
from workflows.lookup import Lookup
from workflows.state import EvidenceKind, PaymentState, PreauthState
from workflows.transaction_context import TransactionContext

Status = PaymentTransactionStatus


class Deadline:
    """Deadline that never comes; `summary` is the text of its timer in the Temporal UI."""

    summary: ClassVar[str] = "deadline"

    @property
    def at(self) -> datetime | None:
        """Return when to call `handle`; None for never."""
        return None

    @property
    def ends_transaction(self) -> bool:
        """Return whether nothing can change any more because the deadline has passed."""
        return False

    async def handle(self) -> None:
        """Handle the passing of the deadline."""


class ChargebackWindow(Deadline):
    """The time in which a payment can be charged back."""

    summary = "end of the chargeback window"

    def __init__(self, state: PaymentState) -> None:
        self._state = state
        self._closed = False

    @property
    def at(self) -> datetime | None:
        if self._state.status is not Status.Succeeded or self._closed:
            return None
        return times.add(self._state.succeeded_at, timeouts.CHARGEBACK_WINDOW)

    @property
    def ends_transaction(self) -> bool:
        return self._closed and not self._state.reservations

    async def handle(self) -> None:
        self._closed = True


class PreauthExpiry(Deadline):
    """The end of a preauth's checkout page or of its reservation."""

    summary = "end of the checkout page or of the reservation"

    def __init__(self, context: TransactionContext, state: PreauthState, lookup: Lookup) -> None:
        self._context = context
        self._state = state
        self._lookup = lookup
        self._next_check: datetime | None = None

    @property
    def at(self) -> datetime | None:
        ends = self._state.ends_at
        return max(ends, self._next_check or ends) if ends else None

    async def handle(self) -> None:
        """Ask the PSP whether the preauth expired; after a grace period expire it here."""
        reply = await self._lookup.run()
        ends, now = self._state.ends_at, workflow.now()
        if ends is None or ends > now:
            return
        lapsed = reply is not None and not isinstance(reply.outcome, Pending)
        if lapsed and now >= times.add(ends, timeouts.EXPIRY_GRACE):
            expired = Declined(
                code=PaymentErrorCode.Canceled, message="Expired.", status=Status.Expired
            )
            self._context.apply(expired, EvidenceKind.READ, "expiry")
        else:
            self._next_check = now + timeouts.EXPIRY_RETRY
