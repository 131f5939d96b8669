"""Operations on an existing preauth: cancel, and finalize after a redirect."""

import asyncio
from typing import cast

from starlette.responses import Response
from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError

from api.context import Context
from api.contract_response import contract_response
from api.errors import (
    NotFound,
    ServiceUnavailable,
    invalid_data,
    invalid_precondition,
    map_temporal_errors,
    raise_if_refused,
)
from api.transactions.responses import build_response
from api.transactions.state_reader import Reading
from integrator.contract import (
    PaymentCancellationResponse,
    PaymentCancellationStatus,
    PaymentTransactionStatus,
)
from integrator.psp.port import Adapter
from integrator.psp.types import MethodCapability
from integrator.store import Merchant
from integrator.transactions.workflow_inputs import read_state, resume_input
from workflows.messages import PreauthInput
from workflows.state import AnyState, PreauthState, TransactionKind

Cancellation = PaymentCancellationStatus


async def cancel(
    context: Context, merchant: Merchant, adapter: Adapter, transaction_id: str
) -> Response:
    """Cancel the reservation."""
    reading = await context.state_reader.find(merchant.id, TransactionKind.PREAUTH, transaction_id)
    if reading is None or not isinstance(reading.state, PreauthState):
        raise NotFound("No preauth with this id.")
    if not _method_capability(adapter, reading).cancel:
        raise invalid_precondition("The PSP cannot cancel this preauth.")
    status = await _cancel(context, reading, reading.state)
    return contract_response(
        PaymentCancellationResponse(cancellation_status=status, transaction_id=transaction_id)
    )


async def finalize(
    context: Context, merchant: Merchant, adapter: Adapter, transaction_id: str
) -> Response:
    """Ask the PSP for the outcome of the redirect, unless it is known already."""
    reading = await context.state_reader.find(merchant.id, TransactionKind.PREAUTH, transaction_id)
    if reading is None or not isinstance(reading.state, PreauthState):
        raise invalid_data("transactionId does not name a preauth.")
    if reading.state.undecided:
        if not _method_capability(adapter, reading).redirect:
            raise invalid_precondition("The preauth was not made with a redirect.")
        reading = await _finalize(context, reading)
    return build_response(reading, await context.state_reader.read_instrument(reading))


def _method_capability(adapter: Adapter, reading: Reading) -> MethodCapability:
    return adapter.capabilities.methods.get(reading.state.role, MethodCapability())


def _resume_input(reading: Reading) -> PreauthInput:
    return cast(PreauthInput, resume_input(reading.row, reading.state))


def _is_never_started(reading: Reading) -> bool:
    """Whether no workflow was started; resuming would then make the PSP call."""
    return reading.workflow_missing and reading.row.version == 0


async def _cancel(context: Context, reading: Reading, state: PreauthState) -> Cancellation:
    if state.is_final or _is_never_started(reading):
        if state.status is PaymentTransactionStatus.Cancelled:
            return Cancellation.Succeeded
        raise_if_refused(state.check_cancel())
    try:
        with map_temporal_errors():
            async with asyncio.timeout(context.settings.sync_budget_seconds):
                reply = await context.transaction_client.cancel(_resume_input(reading))
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        return await _resolve_cancel_timeout(context, reading)
    raise_if_refused(reply.refusal)
    return reply.status


async def _resolve_cancel_timeout(context: Context, earlier: Reading) -> Cancellation:
    """Return Pending only if the workflow has accepted the cancellation and recorded it.

    Temporal keeps an update in memory until a worker accepts it, and a restored backup of Temporal
    lacks what was accepted after it: before the record the cancellation may be lost, and the caller
    must repeat the request.
    """
    reading = await context.state_reader.read(earlier.row)
    if reading.state.status is PaymentTransactionStatus.Cancelled:
        return Cancellation.Succeeded
    if _is_cancelling(reading.state) and reading.authoritative:
        row = await context.state_reader.reload(earlier.row)
        if _is_cancelling(read_state(row.kind, row.snapshot)):
            return Cancellation.Pending
    raise ServiceUnavailable


def _is_cancelling(state: AnyState) -> bool:
    return isinstance(state, PreauthState) and state.cancelling


async def _finalize(context: Context, reading: Reading) -> Reading:
    if _is_never_started(reading):
        return reading
    row = reading.row
    try:
        with map_temporal_errors():
            async with asyncio.timeout(context.settings.sync_budget_seconds):
                state = await context.transaction_client.finalize(_resume_input(reading))
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        return await context.state_reader.read(row)
    return Reading(await context.state_reader.reload(row), state)
