"""Reservations: before the PSP call, a capture reserves its preauth, a refund part of its payment.

The parent transaction's workflow decides. If it has closed, it is reopened from the store. Both
calls are idempotent by the id of the reserving transaction.
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


class Reservations:
    """Opens reservations at parent transactions and closes them with their result."""

    def __init__(self, store: Store, transaction_client: TransactionClient) -> None:
        self._store = store
        self._transaction_client = transaction_client

    async def reserve(self, kind: TransactionKind, row: TransactionRow) -> ReserveReply:
        """Reserve the amount of the transaction `row` at its related, the parent, transaction."""
        if row.related_id is None:
            raise ApplicationError("The transaction has no parent transaction.", non_retryable=True)
        parent = await self._load_parent(row.merchant_id, kind, row.related_id)
        request = ReserveRequest(
            by=row.transaction_id,
            amount=row.requested_amount,
            currency=row.currency,
            at=attempt_time(),
            stored_version=parent.resume.version if parent.resume else None,
        )
        reply = await self._transaction_client.reserve(parent, request)
        if reply.undecided or reply.superseded:
            raise ApplicationError(
                f"The {kind.value} is still undecided, or has seen a later attempt.",
                type=PspFailure.UNAVAILABLE,
                category=ApplicationErrorCategory.BENIGN,
            )
        return reply

    async def close_if_final(
        self, kind: TransactionKind, row: TransactionRow, reply: PspReply
    ) -> PspReply:
        """Close the reservation if the PSP's response is final; else the workflow will, later."""
        result = reservation_result(kind, row, reply)
        if result is None or row.related_id is None:
            return reply
        await self._close(row.merchant_id, kind, row.related_id, result)
        return reply.model_copy(update={"settled": True})

    @activity.defn(name=activity_plans.CLOSE_RESERVATION.name)
    async def close_reservation(self, call: CloseReservationCall) -> bool:
        """Close the reservation at the parent transaction."""
        # Later than every attempt made before this activity was scheduled.
        result = call.settlement.model_copy(update={"at": attempt_time()})
        await self._close(call.merchant_id, call.owner_kind, call.owner_id, result)
        await self._store.transactions.remove_due_parent(call.merchant_id, call.settlement.by)
        return True

    async def _close(
        self, merchant_id: str, kind: TransactionKind, owner_id: str, result: ReservationResult
    ) -> None:
        await self._transaction_client.close_reservation(
            await self._load_parent(merchant_id, kind, owner_id), result
        )

    async def _load_parent(
        self, merchant_id: str, kind: TransactionKind, owner_id: str
    ) -> PreauthInput | PaymentInput:
        row = await self._store.transactions.get(merchant_id, owner_id)
        if row is None or row.kind != kind.value:
            raise ApplicationError("The parent transaction is not in the store.", type="NotFound")
        start = resume_input(row)
        if not isinstance(start, PreauthInput | PaymentInput):
            raise ApplicationError("A refund cannot be a parent transaction.", non_retryable=True)
        return start


def attempt_time() -> datetime | None:
    """Return when this attempt was scheduled: it orders the transaction's attempts."""
    return activity.info().current_attempt_scheduled_time if activity.in_activity() else None


def reservation_result(
    kind: TransactionKind, row: TransactionRow, reply: PspReply
) -> ReservationResult | None:
    """Return the reservation's result by the PSP's response; None while undecided."""
    match reply.outcome:
        case Declined(facts=()):  # with facts, money may have moved: the state adds them up
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
