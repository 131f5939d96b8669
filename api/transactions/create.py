"""How a POST of a preauth, payment or refund enters.

One unique row per transaction decides who was first: only its inserter has checked the request,
and repeats are recognised before any check, because a repeated capture or refund would be refused
for the money its own first try has taken. Whoever finds the row still at version 0 asks for the
start again (the first may have crashed in between): starts join, so it happens once.
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
from api.errors import RequestRejected, ServiceUnavailable, temporal_errors
from api.transactions.responses import build_response_from
from api.transactions.state_reader import Reading, current
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
from integrator.transactions.workflow_inputs import first_start, record_of
from workflows.state import AnyState, Change, TransactionKind

log = logging.getLogger(__name__)

CallerGone = Callable[[], Awaitable[bool]]


async def create_transaction(
    context: Context,
    merchant: Merchant,
    adapter: Adapter,
    request: AnyRequest,
    caller_gone: CallerGone,
) -> Response:
    """Let a request in and answer within the budget; `caller_gone` says if nobody reads it."""
    log_setup.bind(transaction_id=request.transaction_id)
    known = await context.store.known(merchant.id, request.transaction_id, _agreement_id(request))
    row, created = known.transaction, False
    if row is None:
        new = await validate_new(context, merchant, adapter, request, known)
        row, created = await context.store.open_transaction(new)
    if not created:
        _require_same(row, request)
        if row.version > 0:
            return _track_response(
                context, row, await build_response_from(context, row, current(context, row))
            )
    outcome = _first_outcome(context, row, caller_gone)
    return _track_response(
        context, row, await build_response_from(context, row, outcome, known.agreement)
    )


def _track_response(context: Context, row: TransactionRow, response: Response) -> Response:
    """Note once the answer is out; an answer that never gets out is announced by the worker."""
    if row.told_at is None:
        response.background = BackgroundTask(
            context.response_log.record, row.merchant_id, row.transaction_id
        )
    return response


def _kind(request: AnyRequest) -> TransactionKind:
    if isinstance(request, PreauthRequest):
        return TransactionKind.PREAUTH
    return (
        TransactionKind.PAYMENT if isinstance(request, PaymentRequest) else TransactionKind.REFUND
    )


def _agreement_id(request: AnyRequest) -> str | None:
    return None if isinstance(request, RefundRequest) else request.agreement_id


def _require_same(row: TransactionRow, request: AnyRequest) -> None:
    same = row.kind == _kind(request).value and row.fingerprint == json_codec.fingerprint(request)
    if not same:
        raise RequestRejected(
            PaymentErrorCode.AlreadyExecuted,
            "transactionId was used before, for another request.",
        )


async def _first_outcome(context: Context, row: TransactionRow, caller_gone: CallerGone) -> Reading:
    """The outcome of the PSP call, or what is known when the budget is spent."""
    try:
        with temporal_errors():
            async with asyncio.timeout(context.settings.sync_budget_seconds):
                state = await context.gateway.create(first_start(row))
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        return await _respond_pending(context, row)
    except (WorkflowAlreadyStartedError, WorkflowUpdateFailedError) as error:
        log.info("%s %s was begun before: %s", row.kind, row.transaction_id, type(error).__name__)
        return await current(context, await _reload(context, row))
    if await caller_gone():
        await _tell_caller_left(context, row)
    # Only a preauth's row has parts that the answer needs and the PSP call may have added.
    fresh = await _reload(context, row) if row.kind == TransactionKind.PREAUTH.value else row
    return Reading(fresh, state)


async def _respond_pending(context: Context, row: TransactionRow) -> Reading:
    """The PSP has not answered in time: say Pending, and have everything later announced."""
    known = await _tell_caller_left(context, row)
    reading = await current(context, await _reload(context, row))
    if not known and reading.row.version == 0:
        # Not closed (a closed workflow has recorded something) but never started.
        raise ServiceUnavailable
    await _record_pending(context, reading.row, reading.state)
    return reading


async def _tell_caller_left(context: Context, row: TransactionRow) -> bool:
    """False when the workflow does not exist or has closed."""
    with temporal_errors():
        try:
            await context.gateway.caller_detached(
                row.merchant_id, TransactionKind(row.kind), row.transaction_id
            )
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return False
    return True


async def _record_pending(context: Context, row: TransactionRow, state: AnyState) -> None:
    """Turn an Initiated state into Pending, here and in the store.

    It keeps its version, so that whatever the workflow records wins over it, and moves its time
    by one tick only, so that whatever the workflow announces is newer.
    """
    version = state.version
    if state.mark_pending(state.last_updated) is Change.NONE:
        return
    state.version = version
    await context.store.record(record_of(row.merchant_id, state, state.model_dump_json()))


async def _reload(context: Context, row: TransactionRow) -> TransactionRow:
    """The row as it is now."""
    return await context.store.transaction(row.merchant_id, row.transaction_id) or row
