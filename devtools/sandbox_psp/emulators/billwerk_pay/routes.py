"""Routes of the API: account, charges, refunds, payment methods and lists."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from devtools.sandbox_psp import magic_amounts, repository
from devtools.sandbox_psp.emulators.billwerk_pay import (
    events,
    models,
    operations,
    pagination,
    requests,
    serializers,
)
from devtools.sandbox_psp.emulators.billwerk_pay.auth import (
    Authenticated,
    reject_unknown_parameters,
)
from devtools.sandbox_psp.emulators.billwerk_pay.money import to_minor
from devtools.sandbox_psp.errors import not_found
from devtools.sandbox_psp.models import Refund

router = APIRouter()


@router.get("/v1/account")
async def get_account(caller: Authenticated, request: Request) -> Response:
    """Return the account of the API key."""
    reject_unknown_parameters(request)
    fields = {
        "id": caller.account.id,
        "handle": "sandbox",
        "name": "Sandbox",
        "currency": "EUR",
        "timezone": pagination.TIMEZONE,
        "state": "test",
    }
    return await caller.get(lambda: fields)


@router.get("/v1/account/webhook_settings")
async def get_webhook_settings(caller: Authenticated, request: Request) -> Response:
    """Return the webhook URLs and their secret."""
    reject_unknown_parameters(request)
    url = caller.account.webhook_url
    settings = {
        "urls": [url] if url else [],
        "disabled": url is None,
        "secret": caller.account.webhook_secret,
        "event_types": None,
    }
    return await caller.get(lambda: settings)


@router.post("/v1/charge")
async def create_charge(body: requests.Charge, caller: Authenticated) -> Response:
    """Charge a stored card, or authorize on it."""
    minor = to_minor(body.amount, body.currency)
    ending = magic_amounts.find_ending(minor, body.currency) if body.settle else None
    key = f"charge {body.handle} {body.key}" if body.key else None
    return await caller.post(
        "charge" if body.settle else "authorize",
        lambda: operations.create_charge(caller, body, minor),
        key,
        ending,
    )


@router.get("/v1/charge/{handle}")
async def get_charge(handle: str, caller: Authenticated, request: Request) -> Response:
    """Return the current state of a charge."""
    reject_unknown_parameters(request)
    ctx, account = caller.ctx, caller.account.id
    return await caller.get(
        lambda: serializers.serialize_charge(ctx, models.get_invoice(ctx, account, handle))
    )


@router.post("/v1/charge/{handle}/settle")
async def settle_charge(handle: str, body: requests.Settle, caller: Authenticated) -> Response:
    """Capture an authorized charge, or a part of it."""
    authorization = models.find_authorization(
        caller.ctx, models.get_invoice(caller.ctx, caller.account.id, handle)
    )
    minor = to_minor(body.amount, authorization.currency) if authorization and body.amount else 0
    ending = magic_amounts.find_ending(minor, authorization.currency) if authorization else None
    key = f"settle {handle} {body.key}" if body.key else None
    return await caller.post(
        "capture", lambda: operations.settle_charge(caller, handle, body), key, ending
    )


@router.post("/v1/charge/{handle}/cancel")
async def cancel_charge(handle: str, caller: Authenticated) -> Response:
    """Void an authorized charge."""
    return await caller.post("void", lambda: operations.cancel_charge(caller, handle))


@router.post("/v1/refund")
async def create_refund(body: requests.Refund, caller: Authenticated) -> Response:
    """Refund a settled charge."""
    invoice = models.get_invoice(caller.ctx, caller.account.id, body.invoice)
    minor = to_minor(body.amount, invoice.currency) if body.amount else 0
    key = f"refund {body.invoice} {body.key}" if body.key else None
    return await caller.post(
        "refund",
        lambda: operations.create_refund(caller, invoice, body),
        key,
        magic_amounts.find_ending(minor, invoice.currency),
    )


@router.get("/v1/refund/{id}")
async def get_refund(id: str, caller: Authenticated, request: Request) -> Response:
    """Return a refund."""
    reject_unknown_parameters(request)
    ctx, account = caller.ctx, caller.account.id
    return await caller.get(
        lambda: serializers.serialize_refund(ctx, repository.get_owned(ctx.db, Refund, account, id))
    )


@router.get("/v1/invoice/{handle}")
async def get_invoice(handle: str, caller: Authenticated, request: Request) -> Response:
    """Return an invoice with its transactions and credit notes."""
    reject_unknown_parameters(request)
    ctx, account = caller.ctx, caller.account.id
    return await caller.get(
        lambda: serializers.serialize_invoice(ctx, models.get_invoice(ctx, account, handle))
    )


@router.get("/v1/invoice/{handle}/transaction/{id}")
async def get_transaction(
    handle: str, id: str, caller: Authenticated, request: Request
) -> Response:
    """Return one transaction of an invoice."""
    reject_unknown_parameters(request)
    ctx, account = caller.ctx, caller.account.id

    def load() -> dict[str, Any]:
        invoice = serializers.serialize_invoice(ctx, models.get_invoice(ctx, account, handle))
        transactions = [entry for entry in invoice["transactions"] if entry["id"] == id]
        if not transactions:
            raise not_found("transaction", id)
        transaction: dict[str, Any] = transactions[0]
        return transaction

    return await caller.get(load)


@router.get("/v1/payment_method/{id}")
async def get_payment_method(id: str, caller: Authenticated, request: Request) -> Response:
    """Return a stored card."""
    reject_unknown_parameters(request)
    ctx, account = caller.ctx, caller.account.id
    return await caller.get(
        lambda: serializers.serialize_payment_method(ctx, models.get_card(ctx, account, id))
    )


@router.get("/v1/customer/{handle}/payment_method")
async def list_payment_methods(handle: str, caller: Authenticated, request: Request) -> Response:
    """List the cards a customer has stored at hosted pages."""
    reject_unknown_parameters(request)
    ctx, account = caller.ctx, caller.account.id

    def load() -> dict[str, Any]:
        pages = models.list_card_sessions(ctx, account, handle)
        if not pages:
            raise not_found("customer", handle)
        return {"cards": [serializers.serialize_customer_card(ctx, page) for page in pages]}

    return await caller.get(load)


@router.get("/v1/list/transaction")
async def list_transactions(caller: Authenticated, request: Request) -> Response:
    """List authorizations, settles and refunds by creation."""
    return await pagination.list_page(
        caller,
        request,
        pagination.find_transactions,
        ("created",),
        ("type", "state", "invoice", "currency"),
    )


@router.get("/v1/list/charge")
async def list_charges(caller: Authenticated, request: Request) -> Response:
    """List charges by creation or by settlement."""
    filters = ("handle", "state", "customer", "currency")
    return await pagination.list_page(
        caller, request, pagination.find_charges, ("created", "settled"), filters
    )


@router.get("/v1/list/credit_note")
async def list_credit_notes(caller: Authenticated, request: Request) -> Response:
    """List the credit notes of successful refunds."""
    return await pagination.list_page(
        caller, request, pagination.find_credit_notes, ("created",), ("invoice", "currency")
    )


@router.get("/v1/list/dispute")
async def list_disputes(caller: Authenticated, request: Request) -> Response:
    """List disputes by creation or by resolution."""
    filters = ("id", "invoice", "state", "outcome", "reason")
    return await pagination.list_page(
        caller, request, pagination.find_disputes, ("created", "resolved"), filters
    )


@router.get("/v1/event")
async def list_events(
    caller: Authenticated,
    request: Request,
    page: Annotated[int, Query(ge=1)] = 1,
    size: Annotated[int, Query(ge=10, le=100)] = 20,
) -> Response:
    """List events, newest first, by page number."""
    reject_unknown_parameters(request, "page", "size", "invoice", "customer")
    ctx, account = caller.ctx, caller.account.id
    return await caller.get(
        lambda: events.list_page(ctx, account, page, size, request.query_params.get("invoice"))
    )
