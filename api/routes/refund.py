"""Refunds of payments."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.deps import AdapterDep, CallerDep, ContextDep, RequestedTransactionDep
from api.openapi import answers, body
from api.request_body import read_model
from api.transactions.create import create_transaction
from api.transactions.create_request import CreateRequest
from api.transactions.get import get_transaction
from integrator.contract import RefundRequest, RefundResponse
from workflows.state import TransactionKind

router = APIRouter(tags=["Refund"])


@router.post(
    "/Refund",
    operation_id="createRefund",
    summary="Refund a payment in whole or in part",
    responses=answers(RefundResponse, 400, 401, 413, 415, 422, 429, 500, 503),
    openapi_extra=body(RefundRequest),
)
async def post_refund(
    request: Request, context: ContextDep, caller: CallerDep, adapter: AdapterDep
) -> Response:
    """Pay a payment back, in whole or in part.

    Several refunds of one payment never exceed what it brought in. Repeating a request returns
    its current state and moves no money.
    """
    body = await read_model(request, RefundRequest)
    create_request = await CreateRequest.load(
        context, caller.merchant, adapter, body, request.is_disconnected
    )
    return await context.background_tasks.run_shielded(create_transaction(create_request))


@router.get(
    "/Refund/{transactionId}",
    operation_id="getRefund",
    summary="Return a refund",
    responses=answers(RefundResponse, 401, 404, 422, 429, 500, 503),
)
async def get_refund(context: ContextDep, requested: RequestedTransactionDep) -> Response:
    """The current state of a refund; an error if it failed."""
    return await get_transaction(context, requested, TransactionKind.REFUND)
