"""Routes of the checkout API, and the return URL of the engine's hosted page."""

from typing import Any, Literal
from urllib.parse import urlencode, urlsplit, urlunsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from devtools.sandbox_psp import repository, sessions
from devtools.sandbox_psp.auth import ContextDependency
from devtools.sandbox_psp.clock import now_ms, to_iso
from devtools.sandbox_psp.emulators.base import base_url
from devtools.sandbox_psp.emulators.billwerk_pay import models, operations, requests
from devtools.sandbox_psp.emulators.billwerk_pay.auth import (
    Authenticated,
    reject_unknown_parameters,
)
from devtools.sandbox_psp.emulators.billwerk_pay.errors import billwerk_error
from devtools.sandbox_psp.errors import PspError, not_found
from devtools.sandbox_psp.models import CheckoutSession

router = APIRouter()


@router.post("/v1/session/charge")
async def create_charge_session(
    body: requests.ChargeSession, caller: Authenticated, request: Request
) -> Response:
    """Open a page that authorizes an amount."""
    if body.settle:
        raise PspError(400, "invalid_request", "parameter_invalid", "settle: not supported here")
    order, base = body.order, base_url(request)
    key = f"session {order.handle} {order.key}" if order.key else None
    return await caller.post(
        "checkout_session", lambda: operations.create_charge_session(caller, body, base), key
    )


@router.post("/v1/session/recurring")
async def create_recurring_session(
    body: requests.RecurringSession, caller: Authenticated, request: Request
) -> Response:
    """Open a page that stores a card."""
    base, new = base_url(request), body.create_customer
    customer = new.handle if new else body.customer
    if customer is None:
        raise billwerk_error(18)
    return await caller.post(
        "checkout_session",
        lambda: operations.create_session(
            caller, body, base, customer, customer, new, 0, body.currency
        ),
    )


@router.delete("/v1/session/{id}")
async def delete_session(id: str, caller: Authenticated) -> Response:
    """Close an open page."""
    ctx, account = caller.ctx, caller.account.id

    def action() -> dict[str, Any]:
        page = repository.get_owned(ctx.db, CheckoutSession, account, id)
        if page.status == "open":
            sessions.close(ctx, page)
            page.extra["deleted"] = True
            repository.save(ctx.db, page)
        return {}

    return await caller.post("checkout_session", action)


@router.get("/v1/session_info/{id}")
async def get_session_info(id: str, caller: Authenticated, request: Request) -> Response:
    """Return a page; 404 for a deleted one."""
    reject_unknown_parameters(request)
    ctx, account = caller.ctx, caller.account.id

    def load() -> dict[str, Any]:
        page = repository.get_owned(ctx.db, CheckoutSession, account, id)
        if "deleted" in page.extra:
            raise not_found("session", id)
        return _serialize_session_info(page)

    return await caller.get(load)


@router.get("/v1/session_info/{relation}/{handle}")
async def list_session_infos(
    relation: Literal["charge", "customer"], handle: str, caller: Authenticated, request: Request
) -> Response:
    """List the pages opened for a charge or for a customer."""
    reject_unknown_parameters(request)
    ctx, account = caller.ctx, caller.account.id

    def load() -> list[dict[str, Any]]:
        pages = repository.list_by_reference(ctx.db, CheckoutSession, handle, account)
        mode = "authorize" if relation == "charge" else "setup"
        return [
            _serialize_session_info(page)
            for page in pages
            if page.mode == mode and "deleted" not in page.extra
        ]

    return await caller.get(load)


def _serialize_session_info(page: CheckoutSession) -> dict[str, Any]:
    """Return the page; one that has ended expires now at the latest."""
    return {
        "id": page.id,
        "url": page.url,
        "created": page.created_at,
        "expires": page.expires_at if page.status == "open" else to_iso(now_ms()),
        "customer": page.extra["customer"],
        "currency": page.currency,
    }


@router.get("/return")
async def return_to_merchant(session: str, ctx: ContextDependency) -> Response:
    """Redirect from the engine's page to the merchant's, as the PSP's own page would."""
    page = repository.get(ctx.db, CheckoutSession, session)
    completed = page.status == "completed"
    query = {"id": page.id, "customer": page.extra["customer"]}
    if page.mode == "authorize":
        query["invoice"] = page.reference or ""
    if completed and page.payment_method:
        query["payment_method"] = models.to_card_id(page.payment_method)
    if page.failure is not None:
        query["error"] = page.failure.code
    parts = urlsplit(page.extra["accept_url" if completed else "cancel_url"])
    full_query = "&".join(part for part in (parts.query, urlencode(query)) if part)
    return RedirectResponse(urlunsplit(parts._replace(query=full_query)), 303)
