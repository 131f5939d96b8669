"""Deadlines of transactions: when they act without a message, and what they do then."""

from datetime import datetime, timedelta
from typing import ClassVar

from temporalio import workflow

from integrator.contract import times
from integrator.contract.enums import PaymentErrorCode, PaymentTransactionStatus
from integrator.psp.types import Declined, Pending
from workflows import timeouts
from workflows.lookup import Lookup
from workflows.preauth_void import PreauthVoid
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

    def __init__(
        self,
        context: TransactionContext,
        state: PreauthState,
        lookup: Lookup,
        void: PreauthVoid,
    ) -> None:
        self._context = context
        self._state = state
        self._lookup = lookup
        self._void = void
        self._next_check: datetime | None = None

    @property
    def at(self) -> datetime | None:
        ends = self._state.ends_at
        return max(ends, self._next_check or ends) if ends else None

    async def handle(self) -> None:
        """Ask the PSP whether the preauth expired; after a grace period release it there.

        A void that the look-up has repeated, and that was refused, is repeated later. Without the
        patches: histories from before, which expired it without a release, or sent a void again at
        once.
        """
        voids = self._state.voids
        reply = await self._lookup.run()
        if not self._has_ended():
            return
        self._next_check = workflow.now() + timeouts.EXPIRY_RETRY
        in_grace = not self._has_ended(timeouts.EXPIRY_GRACE)
        if reply is None or isinstance(reply.outcome, Pending) or in_grace:
            return
        is_gone = reply.absence_proven or self._state.void_target is None
        if is_gone or not workflow.patched("release-expired"):
            self._expire()
            return
        refused = self._state.voids > voids
        if not refused or not workflow.patched("one-void-per-expiry-check"):
            await self._void.release_expired()
        if self._has_ended():
            self._next_check = workflow.now() + timeouts.RELEASE_RETRY

    def _has_ended(self, grace: timedelta = timedelta()) -> bool:
        """Return whether the declared end of what is still open has passed, by `grace`."""
        ends = self._state.ends_at
        return ends is not None and workflow.now() >= times.add(ends, grace)

    def _expire(self) -> None:
        expired = Declined(
            code=PaymentErrorCode.Canceled, message="Expired.", status=Status.Expired
        )
        self._context.apply(expired, EvidenceKind.READ, "expiry")
