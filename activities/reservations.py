"""Reservations: before the PSP is asked, a capture holds its preauth, a refund its share.

The owner's workflow decides. It may have closed long ago; then it is reopened from the store.
Both calls are idempotent by the id of the transaction that asks.
"""

from datetime import datetime

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from integrator.psp.types import Approved, Declined, FactKind
from integrator.store.database import Store
from integrator.store.models import TransactionRow
from integrator.transactions.transaction_client import TransactionClient
from integrator.transactions.workflow_inputs import resume_input
from workflows import activity_plans
from workflows.messages import (
    CloseReservationCall,
    PaymentInput,
    PreauthInput,
    PspFailure,
    PspReply,
    ReservationResult,
    ReserveReply,
    ReserveRequest,
)
from workflows.state import BookedRefund, TransactionKind


class Owners:
    """Asks the owners of money to hold it and tells them how it ended."""

    def __init__(self, store: Store, gateway: TransactionClient) -> None:
        self._store = store
        self._gateway = gateway

    async def reserve(self, kind: TransactionKind, row: TransactionRow) -> ReserveReply:
        """Hold what the transaction `row` wants to take; its owner is its related transaction."""
        if row.related_id is None:
            raise ApplicationError("The transaction has no owner.", non_retryable=True)
        request = ReserveRequest(
            by=row.transaction_id,
            amount=row.requested_amount,
            currency=row.currency,
            at=attempt_time(),
        )
        owner = await self._owner(row.merchant_id, kind, row.related_id)
        grant = await self._gateway.reserve(owner, request)
        if grant.undecided or grant.superseded:
            raise ApplicationError(
                f"The {kind.value} is undecided yet, or knows of a later attempt.",
                type=PspFailure.UNAVAILABLE,
                category=ApplicationErrorCategory.BENIGN,
            )
        return grant

    async def settle_if_certain(
        self, kind: TransactionKind, row: TransactionRow, reply: PspReply
    ) -> PspReply:
        """Settle right away when the PSP's answer is certain; else the workflow will, later."""
        settlement = settlement_of(kind, row, reply)
        if settlement is None or row.related_id is None:
            return reply
        await self._settle(row.merchant_id, kind, row.related_id, settlement)
        return reply.model_copy(update={"settled": True})

    @activity.defn(name=activity_plans.CLOSE_RESERVATION.name)
    async def settle_owner(self, call: CloseReservationCall) -> bool:
        """Tell the owner how the reservation ended."""
        # Later than every attempt that was made before this was scheduled.
        settlement = call.settlement.model_copy(update={"at": attempt_time()})
        await self._settle(call.merchant_id, call.owner_kind, call.owner_id, settlement)
        return True

    async def _settle(
        self, merchant_id: str, kind: TransactionKind, owner_id: str, settlement: ReservationResult
    ) -> None:
        await self._gateway.close_reservation(
            await self._owner(merchant_id, kind, owner_id), settlement
        )

    async def _owner(
        self, merchant_id: str, kind: TransactionKind, owner_id: str
    ) -> PreauthInput | PaymentInput:
        row = await self._store.transaction(merchant_id, owner_id)
        if row is None or row.kind != kind.value:
            raise ApplicationError("The store does not know the owner.", type="NotFound")
        start = resume_input(row)
        if not isinstance(start, PreauthInput | PaymentInput):
            raise ApplicationError("A refund owns nothing.", non_retryable=True)
        return start


def attempt_time() -> datetime | None:
    """When this attempt was scheduled, which orders it among those of its transaction."""
    return activity.info().current_attempt_scheduled_time if activity.in_activity() else None


def settlement_of(
    kind: TransactionKind, row: TransactionRow, reply: PspReply
) -> ReservationResult | None:
    """How the reservation ended by the PSP's answer; None while that is open."""
    match reply.outcome:
        case Declined(facts=()):  # one with facts may have moved money: the state adds them up
            return ReservationResult(by=row.transaction_id, booked=False, at=attempt_time())
        case Approved() as approved if kind is TransactionKind.PREAUTH and approved.facts:
            return ReservationResult(by=row.transaction_id, booked=True, at=attempt_time())
        case Approved() as approved:
            booked = [fact for fact in approved.facts if fact.kind is FactKind.REFUNDED]
            if sum(fact.amount for fact in booked) < row.requested_amount:
                return None
            refund = BookedRefund(
                amount=row.requested_amount,
                psp_id=approved.psp_id,
                booked_on=booked[-1].booked_on,
            )
            return ReservationResult(
                by=row.transaction_id, booked=True, refund=refund, at=attempt_time()
            )
        case _:
            return None
