"""The checkout API, and the way back from the engine's hosted page."""

import json
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit, urlunsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from devtools.sandbox_psp import repository, sessions
from devtools.sandbox_psp.auth import InContext
from devtools.sandbox_psp.clock import iso, now_ms
from devtools.sandbox_psp.emulators.base import origin
from devtools.sandbox_psp.emulators.billwerk_pay import invoices, requests, serializers
from devtools.sandbox_psp.emulators.billwerk_pay.auth import Authenticated, Caller, only
from devtools.sandbox_psp.emulators.billwerk_pay.errors import refusal
from devtools.sandbox_psp.emulators.billwerk_pay.routes import refuse_second
from devtools.sandbox_psp.errors import PspError, not_found
from devtools.sandbox_psp.models import CheckoutSession, Customer
from devtools.sandbox_psp.requests import SessionRequest

router = APIRouter()


@router.post("/v1/session/charge")
async def charge_session(
    body: requests.ChargeSession, caller: Authenticated, request: Request
) -> Response:
    """Open a page that reserves."""
    if body.settle:
        raise PspError(400, "invalid_request", "parameter_invalid", "settle: not supported here")
    order, base = body.order, origin(request)
    key = f"session {order.handle} {order.key}" if order.key else None
    return await caller.post("checkout_session", lambda: _charge(caller, body, base), key)


@router.post("/v1/session/recurring")
async def recurring_session(
    body: requests.RecurringSession, caller: Authenticated, request: Request
) -> Response:
    """Open a page that stores a card."""
    base, new = origin(request), body.create_customer
    customer = new.handle if new else body.customer
    if customer is None:
        raise refusal(18)
    return await caller.post(
        "checkout_session",
        lambda: _open(caller, body, base, customer, customer, new, 0, body.currency),
    )


@router.delete("/v1/session/{id}")
async def delete_session(id: str, caller: Authenticated) -> Response:
    """Close an open page."""
    ctx, account = caller.ctx, caller.account.id

    def work() -> dict[str, Any]:
        page = repository.owned(ctx.db, CheckoutSession, account, id)
        if page.status == "open":
            sessions.close(ctx, page)
            page.extra["deleted"] = True
            repository.save(ctx.db, page)
        return {}

    return await caller.post("checkout_session", work)


@router.get("/v1/session_info/{id}")
async def session_info(id: str, caller: Authenticated, request: Request) -> Response:
    """What is known of a page; one that was deleted is not."""
    only(request)
    ctx, account = caller.ctx, caller.account.id

    def look() -> dict[str, Any]:
        page = repository.owned(ctx.db, CheckoutSession, account, id)
        if "deleted" in page.extra:
            raise not_found("session", id)
        return _info(page)

    return await caller.get(look)


@router.get("/v1/session_info/{relation}/{handle}")
async def session_infos(
    relation: Literal["charge", "customer"], handle: str, caller: Authenticated, request: Request
) -> Response:
    """The pages opened for a charge or for a customer."""
    only(request)
    ctx, account = caller.ctx, caller.account.id

    def look() -> list[dict[str, Any]]:
        found = repository.by_reference(ctx.db, CheckoutSession, handle, account)
        mode = "authorize" if relation == "charge" else "setup"
        return [_info(p) for p in found if p.mode == mode and "deleted" not in p.extra]

    return await caller.get(look)


def _info(page: CheckoutSession) -> dict[str, Any]:
    """A page that has ended expires now at the latest."""
    return {
        "id": page.id,
        "url": page.url,
        "created": page.created_at,
        "expires": page.expires_at if page.status == "open" else iso(now_ms()),
        "customer": page.extra["customer"],
        "currency": page.currency,
    }


@router.get("/return")
async def come_back(session: str, ctx: InContext) -> Response:
    """From the engine's page on to the merchant's, as the PSP's own page would."""
    page = repository.get(ctx.db, CheckoutSession, session)
    done = page.status == "completed"
    query = {"id": page.id, "customer": page.extra["customer"]}
    if page.mode == "authorize":
        query["invoice"] = page.reference or ""
    if done and page.payment_method:
        query["payment_method"] = invoices.card_id(page.payment_method)
    if page.failure is not None:
        query["error"] = page.failure.code
    parts = urlsplit(page.extra["accept_url" if done else "cancel_url"])
    joined = "&".join(part for part in (parts.query, urlencode(query)) if part)
    return RedirectResponse(urlunsplit(parts._replace(query=joined)), 303)


def _charge(caller: Caller, body: requests.ChargeSession, base: str) -> dict[str, Any]:
    ctx, account, order = caller.ctx, caller.account.id, body.order
    known = invoices.find(ctx, account, order.handle)
    if known is not None:
        refuse_second(serializers.charge(ctx, known)["state"])
    customer = order.customer.handle if order.customer else order.customer_handle
    minor = invoices.to_minor(order.amount, order.currency)
    invoices.opened(
        ctx,
        account,
        order.handle,
        customer=customer,
        minor=minor,
        currency=order.currency,
        text=order.ordertext,
    )
    return _open(
        caller, body, base, order.handle, customer or "", order.customer, minor, order.currency
    )


def _open(
    caller: Caller,
    body: requests.Session,
    base: str,
    reference: str,
    customer: str,
    payer: requests.Customer | None,
    minor: int,
    currency: str,
) -> dict[str, Any]:
    ctx, back = caller.ctx, f"{base}billwerk_pay/return"
    names = (payer.first_name, payer.last_name) if payer else ()
    wanted = SessionRequest(
        reference=reference,
        mode="authorize" if minor else "setup",
        amount=minor,
        currency=currency,
        success_url=back,
        error_url=back,
        cancel_url=back,
        language=(body.locale or "en_GB")[:2],
        customer=Customer(
            name=" ".join(name for name in names if name) or None,
            email=payer.email if payer else None,
        ),
    )
    given = sessions.create(ctx, caller.account.id, wanted, base)
    page = repository.get(ctx.db, CheckoutSession, json.loads(given.body)["id"])
    page.extra = {
        "customer": customer,
        "accept_url": body.accept_url,
        "cancel_url": body.cancel_url,
    }
    repository.save(ctx.db, page)
    return {"id": page.id, "url": page.url}
