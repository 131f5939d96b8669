"""The merchant's API under /v1."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from devtools.sandbox_psp import (
    authorizations,
    charges,
    events,
    magic_amounts,
    payment_methods,
    refunds,
    repository,
    sessions,
)
from devtools.sandbox_psp.auth import Authenticated, Listed
from devtools.sandbox_psp.models import Authorization, Charge, CheckoutSession, Mandate, Refund
from devtools.sandbox_psp.requests import (
    AuthorizationRequest,
    CaptureRequest,
    ChargeRequest,
    MandateRequest,
    RefundRequest,
    SessionRequest,
    VoidRequest,
)

router = APIRouter(prefix="/v1")
Reference = Annotated[str, Query(min_length=1)]


@router.get("/account")
async def show_account(caller: Authenticated) -> Response:
    """The account behind the API key."""
    return await caller.get(caller.account.shown)


@router.post("/checkout_sessions", status_code=201)
async def open_checkout(body: SessionRequest, caller: Authenticated, request: Request) -> Response:
    """Open a hosted checkout page."""
    ctx, account, base = caller.ctx, caller.account.id, str(request.base_url)
    return await caller.post("checkout_session", lambda: sessions.create(ctx, account, body, base))


@router.get("/checkout_sessions/{id}")
async def show_session(id: str, caller: Authenticated) -> Response:
    """A checkout session."""
    return await caller.one(CheckoutSession, id)


@router.get("/checkout_sessions")
async def find_sessions(reference: Reference, caller: Authenticated) -> Response:
    """The checkout sessions of a reference."""
    return await caller.many(CheckoutSession, reference)


@router.post("/checkout_sessions/{id}/cancel")
async def close_checkout(id: str, _body: VoidRequest, caller: Authenticated) -> Response:
    """Close an open session, so that nobody can pay on it any more."""
    ctx, account = caller.ctx, caller.account.id
    return await caller.post(
        "checkout_session",
        lambda: sessions.close(ctx, repository.owned(ctx.db, CheckoutSession, account, id)),
    )


@router.post("/authorizations", status_code=201)
async def authorize(body: AuthorizationRequest, caller: Authenticated) -> Response:
    """Hold money on a stored card."""
    return await caller.post(
        "authorize",
        lambda: authorizations.authorize(
            caller.ctx,
            repository.method(caller.ctx.db, caller.account.id, body.payment_method),
            reference=body.reference,
            amount=body.amount,
            currency=body.currency,
            key=caller.key,
        ),
    )


@router.get("/authorizations/{id}")
async def show_authorization(id: str, caller: Authenticated) -> Response:
    """An authorization."""
    return await caller.one(Authorization, id)


@router.get("/authorizations")
async def find_authorizations(wanted: Listed, caller: Authenticated) -> Response:
    """The authorizations of a reference, or of a span of time."""
    return await caller.listed(Authorization, wanted)


@router.post("/authorizations/{id}/void")
async def void(id: str, body: VoidRequest, caller: Authenticated) -> Response:
    """Release an authorization."""
    ctx, account = caller.ctx, caller.account.id
    return await caller.post(
        "void",
        lambda: authorizations.void(
            ctx,
            repository.owned(ctx.db, Authorization, account, id),
            reference=body.reference,
            key=caller.key,
        ),
    )


@router.post("/authorizations/{id}/capture", status_code=201)
async def capture(id: str, body: CaptureRequest, caller: Authenticated) -> Response:
    """Take authorized money, once."""
    ctx, account = caller.ctx, caller.account.id
    held = repository.owned(ctx.db, Authorization, account, id)
    return await caller.post(
        "capture",
        lambda: charges.capture(
            ctx,
            repository.owned(ctx.db, Authorization, account, id),
            reference=body.reference,
            amount=body.amount,
            key=caller.key,
        ),
        magic_amounts.read(body.amount, held.currency),
    )


@router.post("/mandates", status_code=201)
async def sign_mandate(body: MandateRequest, caller: Authenticated) -> Response:
    """Sign a direct debit mandate."""
    return await caller.post(
        "mandate",
        lambda: payment_methods.sign_mandate(
            caller.ctx,
            caller.account.id,
            reference=body.reference,
            holder=body.holder,
            iban=body.iban,
        ),
    )


@router.get("/mandates/{id}")
async def show_mandate(id: str, caller: Authenticated) -> Response:
    """A mandate."""
    return await caller.one(Mandate, id)


@router.get("/mandates")
async def find_mandates(reference: Reference, caller: Authenticated) -> Response:
    """The mandates of a reference."""
    return await caller.many(Mandate, reference)


@router.get("/payment_methods/{id}")
async def show_method(id: str, caller: Authenticated) -> Response:
    """A stored card, or a mandate in the shape of a payment method."""
    return await caller.get(lambda: repository.method(caller.ctx.db, caller.account.id, id).plain())


@router.post("/charges", status_code=201)
async def charge(body: ChargeRequest, caller: Authenticated) -> Response:
    """Take money from a stored card or a mandate."""
    ctx, account = caller.ctx, caller.account.id
    made = charges.new_charge(
        account=account,
        reference=body.reference,
        amount=body.amount,
        currency=body.currency,
        payment_method=body.payment_method,
    )
    made.execute_on = body.execute_on.isoformat() if body.execute_on else None
    made.description = body.description
    return await caller.post(
        "charge",
        lambda: charges.charge(
            ctx, repository.method(ctx.db, account, body.payment_method), made, caller.key
        ),
        magic_amounts.read(body.amount, body.currency),
    )


@router.get("/charges/{id}")
async def show_charge(id: str, caller: Authenticated) -> Response:
    """A charge or a capture."""
    return await caller.one(Charge, id)


@router.get("/charges")
async def find_charges(wanted: Listed, caller: Authenticated) -> Response:
    """The charges and captures of a reference, or of a span of time."""
    return await caller.listed(Charge, wanted)


@router.post("/refunds", status_code=201)
async def refund(body: RefundRequest, caller: Authenticated) -> Response:
    """Give money of a charge back."""
    ctx, account = caller.ctx, caller.account.id
    charged = repository.owned(ctx.db, Charge, account, body.charge)
    return await caller.post(
        "refund",
        lambda: refunds.refund(
            ctx,
            repository.owned(ctx.db, Charge, account, body.charge),
            reference=body.reference,
            amount=body.amount,
            key=caller.key,
            description=body.description,
        ),
        magic_amounts.read(body.amount, charged.currency),
    )


@router.get("/refunds/{id}")
async def show_refund(id: str, caller: Authenticated) -> Response:
    """A refund."""
    return await caller.one(Refund, id)


@router.get("/refunds")
async def find_refunds(wanted: Listed, caller: Authenticated) -> Response:
    """The refunds of a reference, or of a span of time."""
    return await caller.listed(Refund, wanted)


@router.get("/events")
async def list_events(
    caller: Authenticated,
    after: Annotated[str, Query(pattern=r"^[0-9]{0,18}$")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """Everything that happened behind a cursor, oldest first."""
    return await caller.get(
        lambda: events.page(caller.ctx, caller.account.id, int(after or 0), limit)
    )
