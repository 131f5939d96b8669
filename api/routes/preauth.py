"""Preauths: reservations, stored payment data and mandates."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.deps import AdapterDep, CallerDep, ContextDep, RequestedTransactionDep, TransactionIdPath
from api.openapi import answers, any_body, body
from api.request_body import read_model, read_raw
from api.transactions import preauth_actions
from api.transactions.create import create_transaction
from api.transactions.create_request import CreateRequest
from api.transactions.get import get_transaction
from integrator.contract import (
    FinalizePreauthRequest,
    PaymentCancellationRequest,
    PaymentCancellationResponse,
    PreauthRequest,
    PreauthResponse,
)
from workflows.state import TransactionKind

router = APIRouter(tags=["Preauth"])


@router.post(
    "/Preauth",
    operation_id="createPreauth",
    summary="Reserve an amount or store payment data",
    responses=answers(PreauthResponse, 400, 401, 413, 415, 422, 429, 500, 503),
    openapi_extra=body(PreauthRequest),
)
async def post_preauth(
    request: Request, context: ContextDep, caller: CallerDep, adapter: AdapterDep
) -> Response:
    """Reserve an amount, or store payment data if it is 0.

    With `isInitial` the agreement is set up, by typed payment data or by a redirect: then the
    status is Initiated and `redirectUrl` is where the customer must go. Without it, the stored
    payment data of the agreement is used. Repeating a request returns its current state.
    """
    body = await read_model(request, PreauthRequest)
    create_request = await CreateRequest.load(
        context, caller.merchant, adapter, body, request.is_disconnected
    )
    return await context.background_tasks.run_shielded(create_transaction(create_request))


@router.post(
    "/Preauth/Finalize",
    operation_id="finalizePreauth",
    summary="Complete a preauth after the customer has returned",
    responses=answers(PreauthResponse, 400, 401, 413, 415, 422, 429, 500, 503),
    openapi_extra=body(FinalizePreauthRequest),
)
async def finalize_preauth(
    request: Request, context: ContextDep, caller: CallerDep, adapter: AdapterDep
) -> Response:
    """The customer has returned from the PSP's page: ask the PSP how it ended.

    The parameters of the return address are not relied upon. A preauth that is decided already
    is returned as it is.
    """
    finalize_request = await read_model(request, FinalizePreauthRequest)
    finalization = preauth_actions.finalize(
        context, caller.merchant, adapter, finalize_request.transaction_id
    )
    return await context.background_tasks.run_shielded(finalization)


@router.get(
    "/Preauth/{transactionId}",
    operation_id="getPreauth",
    summary="Return a preauth",
    responses=answers(PreauthResponse, 401, 404, 422, 429, 500, 503),
)
async def get_preauth(context: ContextDep, requested: RequestedTransactionDep) -> Response:
    """The current state of a preauth; an error if it failed."""
    return await get_transaction(context, requested, TransactionKind.PREAUTH)


@router.post(
    "/Preauth/{transactionId}/Cancel",
    operation_id="cancelPreauth",
    summary="Cancel a preauth and release its amount",
    responses=answers(PaymentCancellationResponse, 401, 404, 413, 422, 429, 500, 503),
    openapi_extra=any_body(PaymentCancellationRequest),
)
async def cancel_preauth(
    transaction_id: TransactionIdPath,
    request: Request,
    context: ContextDep,
    caller: CallerDep,
    adapter: AdapterDep,
) -> Response:
    """Give a reservation back. The body is ignored and may be absent.

    With cancellation status Pending the preauth keeps its status until the PSP has confirmed.
    """
    await read_raw(request)
    cancellation = preauth_actions.cancel(context, caller.merchant, adapter, transaction_id)
    return await context.background_tasks.run_shielded(cancellation)
