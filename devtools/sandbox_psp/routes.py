"""Routes of the native merchant API under /v1."""

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
from devtools.sandbox_psp.auth import Authenticated
from devtools.sandbox_psp.models import Authorization, Charge, CheckoutSession, Mandate, Refund
from devtools.sandbox_psp.pagination import ListQueryDependency
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
async def get_account(caller: Authenticated) -> Response:
    """Return the account of the API key."""
    return await caller.get(caller.account.serialize)


@router.post("/checkout_sessions", status_code=201)
async def create_session(body: SessionRequest, caller: Authenticated, request: Request) -> Response:
    """Open a hosted checkout page."""
    ctx, account, base = caller.ctx, caller.account.id, str(request.base_url)
    return await caller.post("checkout_session", lambda: sessions.create(ctx, account, body, base))


@router.get("/checkout_sessions/{id}")
async def get_session(id: str, caller: Authenticated) -> Response:
    """Return a checkout session."""
    return await caller.get_one(CheckoutSession, id)


@router.get("/checkout_sessions")
async def list_sessions(reference: Reference, caller: Authenticated) -> Response:
    """List the checkout sessions of a reference."""
    return await caller.list_by_reference(CheckoutSession, reference)


@router.post("/checkout_sessions/{id}/cancel")
async def cancel_session(id: str, _body: VoidRequest, caller: Authenticated) -> Response:
    """Cancel an open session, so that it can no longer be paid."""
    ctx, account = caller.ctx, caller.account.id
    return await caller.post(
        "checkout_session",
        lambda: sessions.close(ctx, repository.get_owned(ctx.db, CheckoutSession, account, id)),
    )


@router.post("/authorizations", status_code=201)
async def create_authorization(body: AuthorizationRequest, caller: Authenticated) -> Response:
    """Hold money on a stored card."""
    return await caller.post(
        "authorize",
        lambda: authorizations.authorize(
            caller.ctx,
            repository.get_payment_method(caller.ctx.db, caller.account.id, body.payment_method),
            reference=body.reference,
            amount=body.amount,
            currency=body.currency,
            key=caller.key,
        ),
    )


@router.get("/authorizations/{id}")
async def get_authorization(id: str, caller: Authenticated) -> Response:
    """Return an authorization."""
    return await caller.get_one(Authorization, id)


@router.get("/authorizations")
async def list_authorizations(query: ListQueryDependency, caller: Authenticated) -> Response:
    """List the authorizations of a reference or of a time range."""
    return await caller.list_page(Authorization, query)


@router.post("/authorizations/{id}/void")
async def void_authorization(id: str, body: VoidRequest, caller: Authenticated) -> Response:
    """Release an authorization."""
    ctx, account = caller.ctx, caller.account.id
    return await caller.post(
        "void",
        lambda: authorizations.void(
            ctx,
            repository.get_owned(ctx.db, Authorization, account, id),
            reference=body.reference,
            key=caller.key,
        ),
    )


@router.post("/authorizations/{id}/capture", status_code=201)
async def capture_authorization(id: str, body: CaptureRequest, caller: Authenticated) -> Response:
    """Take authorized money, once."""
    ctx, account = caller.ctx, caller.account.id
    authorization = repository.get_owned(ctx.db, Authorization, account, id)
    return await caller.post(
        "capture",
        lambda: charges.capture(
            ctx,
            repository.get_owned(ctx.db, Authorization, account, id),
            reference=body.reference,
            amount=body.amount,
            key=caller.key,
        ),
        magic_amounts.find_ending(body.amount, authorization.currency),
    )


@router.post("/mandates", status_code=201)
async def create_mandate(body: MandateRequest, caller: Authenticated) -> Response:
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
async def get_mandate(id: str, caller: Authenticated) -> Response:
    """Return a mandate."""
    return await caller.get_one(Mandate, id)


@router.get("/mandates")
async def list_mandates(reference: Reference, caller: Authenticated) -> Response:
    """List the mandates of a reference."""
    return await caller.list_by_reference(Mandate, reference)


@router.get("/payment_methods/{id}")
async def get_payment_method(id: str, caller: Authenticated) -> Response:
    """Return a stored card, or a mandate in the shape of a payment method."""
    return await caller.get(
        lambda: repository.get_payment_method(caller.ctx.db, caller.account.id, id).public_fields()
    )


@router.post("/charges", status_code=201)
async def create_charge(body: ChargeRequest, caller: Authenticated) -> Response:
    """Take money from a stored card or a mandate."""
    ctx, account = caller.ctx, caller.account.id
    new_charge = charges.build_charge(
        account=account,
        reference=body.reference,
        amount=body.amount,
        currency=body.currency,
        payment_method=body.payment_method,
    )
    new_charge.execute_on = body.execute_on.isoformat() if body.execute_on else None
    new_charge.description = body.description
    return await caller.post(
        "charge",
        lambda: charges.create(
            ctx,
            repository.get_payment_method(ctx.db, account, body.payment_method),
            new_charge,
            caller.key,
        ),
        magic_amounts.find_ending(body.amount, body.currency),
    )


@router.get("/charges/{id}")
async def get_charge(id: str, caller: Authenticated) -> Response:
    """Return a charge or a capture."""
    return await caller.get_one(Charge, id)


@router.get("/charges")
async def list_charges(query: ListQueryDependency, caller: Authenticated) -> Response:
    """List the charges and captures of a reference or of a time range."""
    return await caller.list_page(Charge, query)


@router.post("/refunds", status_code=201)
async def create_refund(body: RefundRequest, caller: Authenticated) -> Response:
    """Refund money of a charge."""
    ctx, account = caller.ctx, caller.account.id
    charge = repository.get_owned(ctx.db, Charge, account, body.charge)
    return await caller.post(
        "refund",
        lambda: refunds.create(
            ctx,
            repository.get_owned(ctx.db, Charge, account, body.charge),
            reference=body.reference,
            amount=body.amount,
            key=caller.key,
            description=body.description,
        ),
        magic_amounts.find_ending(body.amount, charge.currency),
    )


@router.get("/refunds/{id}")
async def get_refund(id: str, caller: Authenticated) -> Response:
    """Return a refund."""
    return await caller.get_one(Refund, id)


@router.get("/refunds")
async def list_refunds(query: ListQueryDependency, caller: Authenticated) -> Response:
    """List the refunds of a reference or of a time range."""
    return await caller.list_page(Refund, query)


@router.get("/events")
async def list_events(
    caller: Authenticated,
    after: Annotated[str, Query(pattern=r"^[0-9]{0,18}$")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """List the events behind a cursor, oldest first."""
    return await caller.get(
        lambda: events.list_page(caller.ctx, caller.account.id, int(after or 0), limit)
    )
