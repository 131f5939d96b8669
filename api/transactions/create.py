"""Handle POST of a preauth, payment or refund.

A unique row per transaction decides which request is the first: only that one is validated.
Repeats are recognised before validation, because a repeated capture or refund would be refused
for the money that its first attempt took. A request that finds the row at version 0 starts the
workflow again (the first may have crashed before the start); starts of one workflow id join, so the
transaction is executed once.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from starlette.background import BackgroundTask
from starlette.responses import Response
from temporalio.client import WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from api.context import Context
from api.errors import RequestRejected, ServiceUnavailable, map_temporal_errors
from api.transactions.responses import build_response_from
from api.transactions.state_reader import Reading, read_current
from api.transactions.validation import AnyRequest, validate_new
from integrator.contract import (
    PaymentErrorCode,
    PaymentRequest,
    PreauthRequest,
    RefundRequest,
    json_codec,
)
from integrator.observability import log_setup
from integrator.psp.port import Adapter
from integrator.store import Merchant, TransactionRow
from integrator.transactions.workflow_inputs import build_record, initial_input
from workflows.state import AnyState, Change, TransactionKind

log = logging.getLogger(__name__)

IsDisconnected = Callable[[], Awaitable[bool]]


async def create_transaction(
    context: Context,
    merchant: Merchant,
    adapter: Adapter,
    request: AnyRequest,
    is_disconnected: IsDisconnected,
) -> Response:
    """Create the transaction, or return its state for a repeat, within the time budget."""
    log_setup.bind(transaction_id=request.transaction_id)
    lookup = await context.store.request_lookup(
        merchant.id, request.transaction_id, _agreement_id(request)
    )
    row, created = lookup.transaction, False
    if row is None:
        new = await validate_new(context, merchant, adapter, request, lookup)
        row, created = await context.store.open_transaction(new)
    if not created:
        _require_same_request(row, request)
        if row.version > 0:
            return _track_response(
                context, row, await build_response_from(context, row, read_current(context, row))
            )
    outcome = _start_and_wait(context, row, is_disconnected)
    return _track_response(
        context, row, await build_response_from(context, row, outcome, lookup.agreement)
    )


def _track_response(context: Context, row: TransactionRow, response: Response) -> Response:
    """Record when the response is sent; otherwise the worker sends a change notification."""
    if row.told_at is None:
        response.background = BackgroundTask(
            context.response_log.record, row.merchant_id, row.transaction_id
        )
    return response


def _transaction_kind(request: AnyRequest) -> TransactionKind:
    if isinstance(request, PreauthRequest):
        return TransactionKind.PREAUTH
    return (
        TransactionKind.PAYMENT if isinstance(request, PaymentRequest) else TransactionKind.REFUND
    )


def _agreement_id(request: AnyRequest) -> str | None:
    return None if isinstance(request, RefundRequest) else request.agreement_id


def _require_same_request(row: TransactionRow, request: AnyRequest) -> None:
    is_same = row.kind == _transaction_kind(
        request
    ).value and row.fingerprint == json_codec.fingerprint(request)
    if not is_same:
        raise RequestRejected(
            PaymentErrorCode.AlreadyExecuted,
            "transactionId was used before, for another request.",
        )


async def _start_and_wait(
    context: Context, row: TransactionRow, is_disconnected: IsDisconnected
) -> Reading:
    """Start the workflow; return the outcome of the PSP call, or the state when time is up."""
    try:
        with map_temporal_errors():
            async with asyncio.timeout(context.settings.sync_budget_seconds):
                state = await context.transaction_client.create(initial_input(row))
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        return await _respond_pending(context, row)
    except (WorkflowAlreadyStartedError, WorkflowUpdateFailedError) as error:
        log.info("%s %s was started before: %s", row.kind, row.transaction_id, type(error).__name__)
        return await read_current(context, await _reload(context, row))
    if await is_disconnected():
        await _detach_caller(context, row)
    # Only a preauth's row has data for the response that the PSP call may have added.
    current_row = await _reload(context, row) if row.kind == TransactionKind.PREAUTH.value else row
    return Reading(current_row, state)


async def _respond_pending(context: Context, row: TransactionRow) -> Reading:
    """Return Pending after a timeout, and have later changes sent as notifications."""
    detached = await _detach_caller(context, row)
    reading = await read_current(context, await _reload(context, row))
    if not detached and reading.row.version == 0:
        # Not closed (a closed workflow has recorded something) but never started.
        raise ServiceUnavailable
    await _record_pending(context, reading.row, reading.state)
    return reading


async def _detach_caller(context: Context, row: TransactionRow) -> bool:
    """Signal that the caller is gone; return False if the workflow is missing or closed."""
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
    await context.store.record(build_record(row.merchant_id, state, state.model_dump_json()))


async def _reload(context: Context, row: TransactionRow) -> TransactionRow:
    """Return the current row."""
    return await context.store.transaction(row.merchant_id, row.transaction_id) or row
