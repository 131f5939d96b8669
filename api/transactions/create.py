"""Handle POST of a preauth, payment or refund.

A unique row per transaction decides which request is the first: only that one is validated.
Repeats are recognised before validation, because a repeated capture or refund would be refused
for the money that its first attempt took. A request that finds the row at version 0 starts the
workflow again (the first may have crashed before the start); starts of one workflow id join, so the
transaction is executed once.
"""

import asyncio
import logging

from starlette.background import BackgroundTask
from starlette.responses import Response
from temporalio.client import WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from api.context import Context
from api.errors import RequestRejected, ServiceUnavailable, map_temporal_errors
from api.transactions.create_request import CreateRequest
from api.transactions.responses import build_response
from api.transactions.state_reader import Reading
from api.transactions.validation import validate_new
from integrator.contract import PaymentErrorCode, json_codec
from integrator.store import TransactionRow
from integrator.transactions.workflow_inputs import build_record, initial_input
from workflows.state import AnyState, Change, TransactionKind

log = logging.getLogger(__name__)


async def create_transaction(request: CreateRequest) -> Response:
    """Create the transaction, or return its state for a repeat, within the time budget."""
    context, agreement = request.context, request.lookup.agreement
    row, created = request.lookup.transaction, False
    if row is None:
        row, created = await context.store.transactions.add(await validate_new(request))
    if not created:
        _require_same_request(row, request)
    if row.version > 0:
        reading = await context.state_reader.read(row)
    else:
        reading = await _start_and_wait(request, row)
    if request.kind is TransactionKind.PAYMENT and agreement is not None and agreement.usable:
        instrument = agreement.instrument  # a payment's outcome does not change it
    else:
        instrument = await context.state_reader.read_instrument(reading)
    response = build_response(reading, instrument)
    if row.told_at is None:
        # Recorded once it is sent; otherwise the worker sends a change notification.
        response.background = BackgroundTask(
            context.response_log.record, row.merchant_id, row.transaction_id
        )
    return response


def _require_same_request(row: TransactionRow, request: CreateRequest) -> None:
    same_kind = row.kind == request.kind.value
    if not same_kind or row.fingerprint != json_codec.fingerprint(request.body):
        raise RequestRejected(
            PaymentErrorCode.AlreadyExecuted,
            "transactionId was used before, for another request.",
        )


async def _start_and_wait(request: CreateRequest, row: TransactionRow) -> Reading:
    """Start the workflow; return the outcome of the PSP call, or the state when time is up."""
    context = request.context
    try:
        with map_temporal_errors():
            async with asyncio.timeout(context.settings.sync_budget_seconds):
                state = await context.transaction_client.create(initial_input(row))
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        return await _respond_pending(context, row)
    except (WorkflowAlreadyStartedError, WorkflowUpdateFailedError) as error:
        log.info("%s %s was started before: %s", row.kind, row.transaction_id, type(error).__name__)
        return await _respond_closed(context, row)
    if await request.is_disconnected():
        await _detach_caller(context, row)
    # Only a preauth's row has data for the response that the PSP call may have added.
    is_preauth = request.kind is TransactionKind.PREAUTH
    return Reading(await context.state_reader.reload(row) if is_preauth else row, state)


async def _respond_closed(context: Context, row: TransactionRow) -> Reading:
    """Return the outcome of a closed workflow, or Pending if an operator ended it before it.

    Then the transaction goes on from its row, in another run, and what follows is announced.
    """
    reading = await _read_current(context, row)
    if not reading.state.answered:
        await context.store.transactions.require_announcement(row.merchant_id, row.transaction_id)
        reading = await _read_current(context, row)
        await _record_pending(context, reading.row, reading.state)
    return reading


async def _respond_pending(context: Context, row: TransactionRow) -> Reading:
    """Return Pending after a timeout, and have later changes sent as notifications."""
    detached = await _detach_caller(context, row)
    reading = await _read_current(context, row)
    if not detached and reading.row.version == 0:
        # Not closed (a closed workflow has recorded something) but never started.
        raise ServiceUnavailable
    await _record_pending(context, reading.row, reading.state)
    return reading


async def _read_current(context: Context, row: TransactionRow) -> Reading:
    """Return the present state of a transaction whose row may have changed."""
    return await context.state_reader.read(await context.state_reader.reload(row))


async def _detach_caller(context: Context, row: TransactionRow) -> bool:
    """Signal that the caller is gone; return False if the workflow is missing or closed."""
    await context.store.transactions.require_announcement(row.merchant_id, row.transaction_id)
    with map_temporal_errors():
        try:
            await context.transaction_client.caller_detached(
                row.merchant_id, TransactionKind(row.kind), row.transaction_id
            )
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return False
    return True


async def _record_pending(context: Context, row: TransactionRow, state: AnyState) -> None:
    """Change an Initiated state to Pending, here and in the store.

    Its version stays, so that any state recorded by the workflow replaces it; its time moves by
    one tick only, so that any state notified by the workflow is newer.
    """
    version = state.version
    if state.mark_pending(state.last_updated) is Change.NONE:
        return
    state.version = version
    await context.store.transactions.record_pending(
        build_record(row.merchant_id, state, state.model_dump_json())
    )
