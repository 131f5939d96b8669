"""The API: account, charges, refunds and what can be read of them."""

import json
from typing import Any

from fastapi import APIRouter, Request, Response

from sandbox_psp import authorizations, charges, objects, refunds, steering
from sandbox_psp.dialects.billwerk_pay import bodies, books, shapes
from sandbox_psp.dialects.billwerk_pay.caller import Authenticated, Caller, only
from sandbox_psp.dialects.billwerk_pay.errors import refusal, transaction_error
from sandbox_psp.errors import not_found
from sandbox_psp.idempotency import Answer
from sandbox_psp.records import Authorization, Charge, Refund

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
async def create_charge(body: bodies.Charge, caller: Authenticated) -> Response:
    """Charge a stored card, or reserve on it."""
    minor = books.to_minor(body.amount, body.currency)
    steered = steering.read(minor, body.currency) if body.settle else None
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
    return await caller.get(lambda: shapes.charge(ctx, books.invoice(ctx, account, handle)))


@router.post("/v1/charge/{handle}/settle")
async def settle_charge(handle: str, body: bodies.Settle, caller: Authenticated) -> Response:
    """Take what is reserved, or a part of it."""
    held = books.held(caller.ctx, books.invoice(caller.ctx, caller.account.id, handle))
    minor = books.to_minor(body.amount, held.currency) if held and body.amount else 0
    steered = steering.read(minor, held.currency) if held else None
    key = f"settle {handle} {body.key}" if body.key else None
    return await caller.post("capture", lambda: _settle(caller, handle, body), key, steered)


@router.post("/v1/charge/{handle}/cancel")
async def cancel_charge(handle: str, caller: Authenticated) -> Response:
    """Give a reservation back."""
    return await caller.post("void", lambda: _cancel(caller, handle))


@router.post("/v1/refund")
async def create_refund(body: bodies.Refund, caller: Authenticated) -> Response:
    """Give money back."""
    of = books.invoice(caller.ctx, caller.account.id, body.invoice)
    minor = books.to_minor(body.amount, of.currency) if body.amount else 0
    key = f"refund {body.invoice} {body.key}" if body.key else None
    return await caller.post(
        "refund",
        lambda: _refund(caller, of, body),
        key,
        steering.read(minor, of.currency),
    )


@router.get("/v1/refund/{id}")
async def get_refund(id: str, caller: Authenticated, request: Request) -> Response:
    """A refund."""
    only(request)
    ctx, account = caller.ctx, caller.account.id
    return await caller.get(lambda: shapes.refund(ctx, objects.owned(ctx.db, Refund, account, id)))


@router.get("/v1/invoice/{handle}")
async def get_invoice(handle: str, caller: Authenticated, request: Request) -> Response:
    """Everything under a handle."""
    only(request)
    ctx, account = caller.ctx, caller.account.id
    return await caller.get(lambda: shapes.invoice(ctx, books.invoice(ctx, account, handle)))


@router.get("/v1/invoice/{handle}/transaction/{id}")
async def get_transaction(
    handle: str, id: str, caller: Authenticated, request: Request
) -> Response:
    """One transaction under a handle."""
    only(request)
    ctx, account = caller.ctx, caller.account.id

    def look() -> dict[str, Any]:
        shown = shapes.invoice(ctx, books.invoice(ctx, account, handle))
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
    return await caller.get(lambda: shapes.method(ctx, books.card(ctx, account, id)))


@router.get("/v1/customer/{handle}/payment_method")
async def get_customers_methods(handle: str, caller: Authenticated, request: Request) -> Response:
    """What a customer has stored at hosted pages."""
    only(request)
    ctx, account = caller.ctx, caller.account.id

    def look() -> dict[str, Any]:
        pages = books.sessions_of(ctx, account, handle)
        if not pages:
            raise not_found("customer", handle)
        return {"cards": [shapes.customers_card(ctx, page) for page in pages]}

    return await caller.get(look)


def _charge(caller: Caller, body: bodies.Charge, minor: int) -> dict[str, Any]:
    ctx, account = caller.ctx, caller.account.id
    method = books.card(ctx, account, body.source)
    owner = books.owner(ctx, method)
    if body.customer_handle not in (None, owner):
        raise refusal(99)
    known = books.find(ctx, account, body.handle)
    if known is not None:
        refuse_second(shapes.charge(ctx, known)["state"])
    of = books.opened(
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
    return shapes.charge(ctx, of)


def refuse_second(state: str) -> None:
    """PspError unless a handle in this state may be tried again."""
    taken = {"settled": 79, "authorized": 105, "pending": 80, "cancelled": 29}
    if state in taken:
        raise refusal(taken[state])


def _settle(caller: Caller, handle: str, body: bodies.Settle) -> dict[str, Any]:
    ctx = caller.ctx
    of = books.invoice(ctx, caller.account.id, handle)
    held = books.held(ctx, of)
    state = shapes.charge(ctx, of)["state"]
    if state in ("settled", "pending", "cancelled"):
        refuse_second(state)
    if held is None or held.status != "authorized":
        raise refusal(106)
    minor = books.to_minor(body.amount, held.currency) if body.amount else held.amount
    if minor > held.amount:
        raise refusal(102)
    given = charges.capture(
        ctx,
        held,
        reference=books.mark(body.ordertext, handle),
        amount=minor,
        key=body.key or "",
    )
    made = _made(caller, given)
    if made.failure is not None:
        # The reservation stays, and the answer alone tells of the failure.
        return {**shapes.charge(ctx, of), **transaction_error(made.failure)}
    of.order_lines = [books.line(body.ordertext, minor, held.currency)]
    objects.save(ctx.db, of)
    return shapes.charge(ctx, of)


def _made(caller: Caller, given: Answer) -> Charge:
    shown = json.loads(given.body)
    id = shown.get("object", shown)["id"]
    return objects.owned(caller.ctx.db, Charge, caller.account.id, id)


def _cancel(caller: Caller, handle: str) -> dict[str, Any]:
    ctx = caller.ctx
    of = books.invoice(ctx, caller.account.id, handle)
    state = shapes.charge(ctx, of)["state"]
    held: Authorization | None = books.held(ctx, of)
    if state in ("settled", "pending", "cancelled"):
        refuse_second(state)
    if held is None or held.status != "authorized":
        raise refusal(106)
    authorizations.void(ctx, held, reference=handle, key="")
    return shapes.charge(ctx, of)


def _refund(caller: Caller, of: books.Invoice, body: bodies.Refund) -> dict[str, Any]:
    ctx = caller.ctx
    taken = [made for made in books.settles(ctx, of) if made.status == "succeeded"]
    if not taken:
        raise refusal(64)
    made = max(taken, key=lambda one: charges.refundable(ctx, one))
    left = charges.refundable(ctx, made)
    minor = books.to_minor(body.amount, of.currency) if body.amount else left
    if not 0 < minor <= left:
        raise refusal(65)
    given = refunds.refund(
        ctx,
        made,
        reference=books.mark(body.text, of.handle),
        amount=minor,
        key=body.key or "",
        description=body.text,
    )
    shown = json.loads(given.body)
    id = shown.get("object", shown)["id"]
    return shapes.refund(ctx, objects.owned(ctx.db, Refund, caller.account.id, id))
