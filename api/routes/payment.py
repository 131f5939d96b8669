"""Payments: captures of preauths and charges of agreements."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.deps import AdapterDep, CallerDep, ContextDep, RequestedTransactionDep
from api.openapi import answers, body
from api.request_body import read_model
from api.transactions.create import create_transaction
from api.transactions.create_request import CreateRequest
from api.transactions.get import get_transaction
from integrator.contract import PaymentRequest, PaymentResponse
from workflows.state import TransactionKind

router = APIRouter(tags=["Payment"])


@router.post(
    "/Payment",
    operation_id="createPayment",
    summary="Capture a preauth or charge an agreement",
    responses=answers(PaymentResponse, 400, 401, 413, 415, 422, 429, 500, 503),
    openapi_extra=body(PaymentRequest),
)
async def post_payment(
    request: Request, context: ContextDep, caller: CallerDep, adapter: AdapterDep
) -> Response:
    """Capture a preauth (with `preauthTransactionId`) or charge an agreement (without).

    A direct debit is executed on `plannedExecutionDate` and stays Pending until it settles.
    Repeating a request returns its current state and moves no money.
    """
    body = await read_model(request, PaymentRequest)
    create_request = await CreateRequest.load(
        context, caller.merchant, adapter, body, request.is_disconnected
    )
    return await context.background_tasks.run_shielded(create_transaction(create_request))


@router.get(
    "/Payment/{transactionId}",
    operation_id="getPayment",
    summary="Return a payment with its refunds and chargebacks",
    responses=answers(PaymentResponse, 401, 404, 422, 429, 500, 503),
)
async def get_payment(context: ContextDep, requested: RequestedTransactionDep) -> Response:
    """The current state of a payment with its refunds and chargebacks; an error if it failed."""
    return await get_transaction(context, requested, TransactionKind.PAYMENT)
