"""The API: account, charges, refunds and what can be read of them."""

import json
from typing import Any

from fastapi import APIRouter, Request, Response

from devtools.sandbox_psp import authorizations, charges, magic_amounts, refunds, repository
from devtools.sandbox_psp.emulators.billwerk_pay import invoices, requests, serializers
from devtools.sandbox_psp.emulators.billwerk_pay.auth import Authenticated, Caller, only
from devtools.sandbox_psp.emulators.billwerk_pay.errors import refusal, transaction_error
from devtools.sandbox_psp.errors import not_found
from devtools.sandbox_psp.idempotency import Answer
from devtools.sandbox_psp.models import Authorization, Charge, Refund

router = APIRouter()

TIMEZONE = "Europe/Copenhagen"
"""Not UTC, so that a client that ignores it is found out."""


@router.get("/v1/account")
async def account(caller: Authenticated, request: Request) -> Response:
    """The account behind the key."""
    only(request)
    shown = {
        "id": caller.account.id,
        "handle": "sandbox",
        "name": "Sandbox",
        "currency": "EUR",
        "timezone": TIMEZONE,
        "state": "test",
    }
    return await caller.get(lambda: shown)


@router.get("/v1/account/webhook_settings")
async def webhook_settings(caller: Authenticated, request: Request) -> Response:
    """Where webhooks go and what they are signed with."""
    only(request)
    url = caller.account.webhook_url
    shown = {
        "urls": [url] if url else [],
        "disabled": url is None,
        "secret": caller.account.webhook_secret,
        "event_types": None,
    }
    return await caller.get(lambda: shown)


@router.post("/v1/charge")
async def create_charge(body: requests.Charge, caller: Authenticated) -> Response:
    """Charge a stored card, or reserve on it."""
    minor = invoices.to_minor(body.amount, body.currency)
    steered = magic_amounts.read(minor, body.currency) if body.settle else None
    key = f"charge {body.handle} {body.key}" if body.key else None
    return await caller.post(
        "charge" if body.settle else "authorize",
        lambda: _charge(caller, body, minor),
        key,
        steered,
    )


@router.get("/v1/charge/{handle}")
async def get_charge(handle: str, caller: Authenticated, request: Request) -> Response:
    """A charge as it stands."""
    only(request)
    ctx, account = caller.ctx, caller.account.id
    return await caller.get(lambda: serializers.charge(ctx, invoices.invoice(ctx, account, handle)))


@router.post("/v1/charge/{handle}/settle")
async def settle_charge(handle: str, body: requests.Settle, caller: Authenticated) -> Response:
    """Take what is reserved, or a part of it."""
    held = invoices.held(caller.ctx, invoices.invoice(caller.ctx, caller.account.id, handle))
    minor = invoices.to_minor(body.amount, held.currency) if held and body.amount else 0
    steered = magic_amounts.read(minor, held.currency) if held else None
    key = f"settle {handle} {body.key}" if body.key else None
    return await caller.post("capture", lambda: _settle(caller, handle, body), key, steered)


@router.post("/v1/charge/{handle}/cancel")
async def cancel_charge(handle: str, caller: Authenticated) -> Response:
    """Give a reservation back."""
    return await caller.post("void", lambda: _cancel(caller, handle))


@router.post("/v1/refund")
async def create_refund(body: requests.Refund, caller: Authenticated) -> Response:
    """Give money back."""
    of = invoices.invoice(caller.ctx, caller.account.id, body.invoice)
    minor = invoices.to_minor(body.amount, of.currency) if body.amount else 0
    key = f"refund {body.invoice} {body.key}" if body.key else None
    return await caller.post(
        "refund",
        lambda: _refund(caller, of, body),
        key,
        magic_amounts.read(minor, of.currency),
    )


@router.get("/v1/refund/{id}")
async def get_refund(id: str, caller: Authenticated, request: Request) -> Response:
    """A refund."""
    only(request)
    ctx, account = caller.ctx, caller.account.id
    return await caller.get(
        lambda: serializers.refund(ctx, repository.owned(ctx.db, Refund, account, id))
    )


@router.get("/v1/invoice/{handle}")
async def get_invoice(handle: str, caller: Authenticated, request: Request) -> Response:
    """Everything under a handle."""
    only(request)
    ctx, account = caller.ctx, caller.account.id
    return await caller.get(
        lambda: serializers.invoice(ctx, invoices.invoice(ctx, account, handle))
    )


@router.get("/v1/invoice/{handle}/transaction/{id}")
async def get_transaction(
    handle: str, id: str, caller: Authenticated, request: Request
) -> Response:
    """One transaction under a handle."""
    only(request)
    ctx, account = caller.ctx, caller.account.id

    def look() -> dict[str, Any]:
        shown = serializers.invoice(ctx, invoices.invoice(ctx, account, handle))
        found = [moved for moved in shown["transactions"] if moved["id"] == id]
        if not found:
            raise not_found("transaction", id)
        transaction: dict[str, Any] = found[0]
        return transaction

    return await caller.get(look)


@router.get("/v1/payment_method/{id}")
async def get_payment_method(id: str, caller: Authenticated, request: Request) -> Response:
    """A stored card."""
    only(request)
    ctx, account = caller.ctx, caller.account.id
    return await caller.get(lambda: serializers.method(ctx, invoices.card(ctx, account, id)))


@router.get("/v1/customer/{handle}/payment_method")
async def get_customers_methods(handle: str, caller: Authenticated, request: Request) -> Response:
    """What a customer has stored at hosted pages."""
    only(request)
    ctx, account = caller.ctx, caller.account.id

    def look() -> dict[str, Any]:
        pages = invoices.sessions_of(ctx, account, handle)
        if not pages:
            raise not_found("customer", handle)
        return {"cards": [serializers.customers_card(ctx, page) for page in pages]}

    return await caller.get(look)


def _charge(caller: Caller, body: requests.Charge, minor: int) -> dict[str, Any]:
    ctx, account = caller.ctx, caller.account.id
    method = invoices.card(ctx, account, body.source)
    owner = invoices.owner(ctx, method)
    if body.customer_handle not in (None, owner):
        raise refusal(99)
    known = invoices.find(ctx, account, body.handle)
    if known is not None:
        refuse_second(serializers.charge(ctx, known)["state"])
    of = invoices.opened(
        ctx,
        account,
        body.handle,
        customer=known.customer if known else owner,
        minor=minor,
        currency=body.currency,
        text=body.ordertext,
    )
    if body.settle:
        made = charges.new_charge(
            account=account,
            reference=body.handle,
            amount=minor,
            currency=body.currency,
            payment_method=method.id,
        )
        charges.charge(ctx, method, made, body.key or "")
    else:
        authorizations.authorize(
            ctx,
            method,
            reference=body.handle,
            amount=minor,
            currency=body.currency,
            key=body.key or "",
        )
    return serializers.charge(ctx, of)


def refuse_second(state: str) -> None:
    """PspError unless a handle in this state may be tried again."""
    taken = {"settled": 79, "authorized": 105, "pending": 80, "cancelled": 29}
    if state in taken:
        raise refusal(taken[state])


def _settle(caller: Caller, handle: str, body: requests.Settle) -> dict[str, Any]:
    ctx = caller.ctx
    of = invoices.invoice(ctx, caller.account.id, handle)
    held = invoices.held(ctx, of)
    state = serializers.charge(ctx, of)["state"]
    if state in ("settled", "pending", "cancelled"):
        refuse_second(state)
    if held is None or held.status != "authorized":
        raise refusal(106)
    minor = invoices.to_minor(body.amount, held.currency) if body.amount else held.amount
    if minor > held.amount:
        raise refusal(102)
    given = charges.capture(
        ctx,
        held,
        reference=invoices.mark(body.ordertext, handle),
        amount=minor,
        key=body.key or "",
    )
    made = _made(caller, given)
    if made.failure is not None:
        # The reservation stays, and the answer alone tells of the failure.
        return {**serializers.charge(ctx, of), **transaction_error(made.failure)}
    of.order_lines = [invoices.line(body.ordertext, minor, held.currency)]
    repository.save(ctx.db, of)
    return serializers.charge(ctx, of)


def _made(caller: Caller, given: Answer) -> Charge:
    shown = json.loads(given.body)
    id = shown.get("object", shown)["id"]
    return repository.owned(caller.ctx.db, Charge, caller.account.id, id)


def _cancel(caller: Caller, handle: str) -> dict[str, Any]:
    ctx = caller.ctx
    of = invoices.invoice(ctx, caller.account.id, handle)
    state = serializers.charge(ctx, of)["state"]
    held: Authorization | None = invoices.held(ctx, of)
    if state in ("settled", "pending", "cancelled"):
        refuse_second(state)
    if held is None or held.status != "authorized":
        raise refusal(106)
    authorizations.void(ctx, held, reference=handle, key="")
    return serializers.charge(ctx, of)


def _refund(caller: Caller, of: invoices.Invoice, body: requests.Refund) -> dict[str, Any]:
    ctx = caller.ctx
    taken = [made for made in invoices.settles(ctx, of) if made.status == "succeeded"]
    if not taken:
        raise refusal(64)
    made = max(taken, key=lambda one: charges.refundable(ctx, one))
    left = charges.refundable(ctx, made)
    minor = invoices.to_minor(body.amount, of.currency) if body.amount else left
    if not 0 < minor <= left:
        raise refusal(65)
    given = refunds.refund(
        ctx,
        made,
        reference=invoices.mark(body.text, of.handle),
        amount=minor,
        key=body.key or "",
        description=body.text,
    )
    shown = json.loads(given.body)
    id = shown.get("object", shown)["id"]
    return serializers.refund(ctx, repository.owned(ctx.db, Refund, caller.account.id, id))
