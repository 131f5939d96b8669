"""Operations on an existing preauth: cancel it, or finish it after a redirect."""

import asyncio
from typing import cast

from starlette.responses import Response
from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError

from api.context import Context
from api.contract_response import answer
from api.errors import (
    NotFound,
    ServiceUnavailable,
    invalid_data,
    precondition,
    raise_if,
    temporal_errors,
)
from api.transactions.responses import build_response
from api.transactions.state_reader import Reading, current, read
from integrator.contract import (
    PaymentCancellationResponse,
    PaymentCancellationStatus,
    PaymentTransactionStatus,
)
from integrator.psp.port import Adapter
from integrator.psp.types import MethodCapability
from integrator.store import Merchant
from integrator.transactions.workflow_inputs import resume_input
from workflows.messages import PreauthInput
from workflows.state import PreauthState, TransactionKind

Cancellation = PaymentCancellationStatus


async def cancel(
    context: Context, merchant: Merchant, adapter: Adapter, transaction_id: str
) -> Response:
    """Give the reservation back."""
    reading = await read(context, merchant.id, TransactionKind.PREAUTH, transaction_id)
    if reading is None or not isinstance(reading.state, PreauthState):
        raise NotFound("No preauth with this id.")
    if not _method(adapter, reading).cancel:
        raise precondition("The PSP cannot cancel this preauth.")
    status = await _cancel(context, reading, reading.state)
    return answer(
        PaymentCancellationResponse(cancellation_status=status, transaction_id=transaction_id)
    )


async def finalize(
    context: Context, merchant: Merchant, adapter: Adapter, transaction_id: str
) -> Response:
    """Have the PSP asked how the redirect ended, unless that is known already."""
    reading = await read(context, merchant.id, TransactionKind.PREAUTH, transaction_id)
    if reading is None or not isinstance(reading.state, PreauthState):
        raise invalid_data("transactionId names no preauth.")
    if not reading.state.undecided:
        return await build_response(context, reading)
    if not _method(adapter, reading).redirect:
        raise precondition("The preauth was not made with a redirect.")
    return await build_response(context, await _finalize(context, reading))


def _method(adapter: Adapter, reading: Reading) -> MethodCapability:
    return adapter.capabilities.methods.get(reading.state.role, MethodCapability())


def _start(reading: Reading) -> PreauthInput:
    return cast(PreauthInput, resume_input(reading.row, reading.state))


def _never_begun(reading: Reading) -> bool:
    """Reopening such a transaction would make its PSP call."""
    return reading.workflow_missing and reading.row.version == 0


async def _cancel(context: Context, reading: Reading, state: PreauthState) -> Cancellation:
    if state.is_final or _never_begun(reading):
        if state.status is PaymentTransactionStatus.Cancelled:
            return Cancellation.Succeeded
        raise_if(state.refuse_cancel())
    try:
        with temporal_errors():
            async with asyncio.timeout(context.settings.sync_budget_seconds):
                reply = await context.gateway.cancel(_start(reading))
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        return await _cancel_unanswered(context, reading)
    raise_if(reply.refusal)
    return reply.status


async def _cancel_unanswered(context: Context, before: Reading) -> Cancellation:
    """Pending only if the workflow has taken it on: what it never saw is lost and must be repeated.

    Temporal keeps an update in memory until a worker has accepted it.
    """
    reading = await current(context, before.row)
    if reading.state.status is PaymentTransactionStatus.Cancelled:
        return Cancellation.Succeeded
    if (
        reading.authoritative
        and isinstance(reading.state, PreauthState)
        and reading.state.cancelling
    ):
        return Cancellation.Pending
    raise ServiceUnavailable


async def _finalize(context: Context, reading: Reading) -> Reading:
    if _never_begun(reading):
        return reading
    row = reading.row
    try:
        with temporal_errors():
            async with asyncio.timeout(context.settings.sync_budget_seconds):
                state = await context.gateway.finalize(_start(reading))
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        return await current(context, row)
    fresh = await context.store.transaction(row.merchant_id, row.transaction_id)
    return Reading(fresh or row, state)
