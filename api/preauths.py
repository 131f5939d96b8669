"""Operations on an existing preauth: cancel it, or finish it after a redirect."""

import asyncio
from typing import cast

from starlette.responses import Response
from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError

from api.answers import answer
from api.context import Context
from api.errors import Away, NotFound, invalid_data, precondition, raise_if, temporal_errors
from api.reads import Reading, current, read
from api.render import respond
from contract import (
    PaymentCancellationResponse,
    PaymentCancellationStatus,
    PaymentTransactionStatus,
)
from psp.port import Adapter
from psp.types import MethodCapability
from runtime.rows import resuming
from store import Merchant
from workflows.messages import PreauthInput
from workflows.state import Kind, PreauthState

Cancellation = PaymentCancellationStatus


async def cancel(
    context: Context, merchant: Merchant, adapter: Adapter, transaction_id: str
) -> Response:
    """Give the reservation back."""
    reading = await read(context, merchant.id, Kind.PREAUTH, transaction_id)
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
    reading = await read(context, merchant.id, Kind.PREAUTH, transaction_id)
    if reading is None or not isinstance(reading.state, PreauthState):
        raise invalid_data("transactionId names no preauth.")
    if not reading.state.undecided:
        return await respond(context, reading)
    if not _method(adapter, reading).redirect:
        raise precondition("The preauth was not made with a redirect.")
    return await respond(context, await _finalize(context, reading))


def _method(adapter: Adapter, reading: Reading) -> MethodCapability:
    return adapter.capabilities.methods.get(reading.state.role, MethodCapability())


def _start(reading: Reading) -> PreauthInput:
    return cast(PreauthInput, resuming(reading.row, reading.state))


def _never_begun(reading: Reading) -> bool:
    """Reopening such a transaction would make its PSP call."""
    return reading.gone and reading.row.version == 0


async def _cancel(context: Context, reading: Reading, state: PreauthState) -> Cancellation:
    if state.settled or _never_begun(reading):
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
    if reading.sure and isinstance(reading.state, PreauthState) and reading.state.cancelling:
        return Cancellation.Pending
    raise Away


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
