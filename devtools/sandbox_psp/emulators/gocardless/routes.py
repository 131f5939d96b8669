"""GoCardless' API over the engine."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response

from devtools.sandbox_psp import repository
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.base import origin
from devtools.sandbox_psp.emulators.gocardless import events, mandates, pagination, payments
from devtools.sandbox_psp.emulators.gocardless.auth import Authenticated, Caller
from devtools.sandbox_psp.emulators.gocardless.models import (
    SCHEMES,
    BankAccount,
    BillingRequest,
    Customer,
)
from devtools.sandbox_psp.emulators.gocardless.serializers import creditor_id, show
from devtools.sandbox_psp.faults import Operation
from devtools.sandbox_psp.magic_amounts import Ending
from devtools.sandbox_psp.models import Charge, Mandate, Record, Refund

router = APIRouter()

_KINDS: dict[str, tuple[type[Record], dict[str, str]]] = {
    "billing_requests": (BillingRequest, {"status": "status", "customer": "customer"}),
    "customer_bank_accounts": (BankAccount, {"customer": "customer"}),
    "customers": (Customer, {}),
    "mandates": (Mandate, {"customer": "customer", "reference": "extra.statement"}),
    "payments": (Charge, {"mandate": "payment_method", "currency": "currency"}),
    "refunds": (Refund, {"payment": "charge"}),
}


@router.post("/billing_requests")
async def create_billing_request(caller: Authenticated) -> Response:
    """Begin to set a mandate up."""
    body = await caller.body("billing_requests")
    return await _made(
        caller, "mandate", "billing_requests", lambda: mandates.request(*_at(caller), body)
    )


@router.post("/billing_request_flows")
async def create_flow(caller: Authenticated, request: Request) -> Response:
    """A hosted page for a billing request."""
    body, base = await caller.body("billing_request_flows"), origin(request)
    return await _made(
        caller,
        "checkout_session",
        "billing_request_flows",
        lambda: mandates.open_flow(*_at(caller), body, base),
    )


@router.post("/billing_requests/{id}/actions/{action}")
async def act(id: str, action: str, caller: Authenticated) -> Response:
    """A step of a billing request, its fulfilment or its end."""
    data, ctx = await caller.body("data"), caller.ctx
    return await caller.act(
        "void" if action == "cancel" else "mandate",
        "billing_requests",
        lambda: show(ctx.db, mandates.act(ctx, caller.account.id, id, action, data)),
    )


@router.post("/customers")
async def create_customer(caller: Authenticated) -> Response:
    """A customer."""
    body = await caller.body("customers")
    return await _made(
        caller, "mandate", "customers", lambda: mandates.customer(*_at(caller), body)
    )


@router.post("/customer_bank_accounts")
async def create_bank_account(caller: Authenticated) -> Response:
    """A bank account of a customer."""
    body = await caller.body("customer_bank_accounts")
    owner = (body.get("links") or {}).get("customer", "")
    return await _made(
        caller,
        "mandate",
        "customer_bank_accounts",
        lambda: mandates.bank_account(*_at(caller), owner, body),
    )


@router.post("/mandates")
async def create_mandate(caller: Authenticated) -> Response:
    """A mandate for a bank account."""
    body, (ctx, account) = await caller.body("mandates"), _at(caller)

    def sign() -> Mandate:
        named = (body.get("links") or {}).get("customer_bank_account", "")
        owned = repository.owned(ctx.db, BankAccount, account, named)
        scheme, metadata = str(body.get("scheme", "sepa_core")), mandates.metadata_of(body)
        return mandates.mandate_for(ctx, owned, scheme, metadata)

    return await _made(caller, "mandate", "mandates", sign)


@router.post("/mandates/{id}/actions/cancel")
async def cancel_mandate(id: str, caller: Authenticated) -> Response:
    """End a mandate."""
    db = caller.ctx.db
    return await caller.act(
        "void", "mandates", lambda: show(db, mandates.cancel_mandate(*_at(caller), id))
    )


@router.post("/payments")
async def create_payment(caller: Authenticated) -> Response:
    """Collect money with a mandate."""
    body = await caller.body("payments")
    return await _made(
        caller,
        "charge",
        "payments",
        lambda: payments.pay(*_at(caller), body, caller.key),
        payments.steered(body),
    )


@router.post("/payments/{id}/actions/cancel")
async def cancel_payment(id: str, caller: Authenticated) -> Response:
    """Call a payment off."""
    db = caller.ctx.db
    return await caller.act("void", "payments", lambda: show(db, payments.cancel(*_at(caller), id)))


@router.post("/refunds")
async def create_refund(caller: Authenticated) -> Response:
    """Give money of a payment back."""
    body = await caller.body("refunds")
    return await _made(
        caller,
        "refund",
        "refunds",
        lambda: payments.give_back(*_at(caller), body, caller.key),
        payments.steered(body),
    )


@router.post("/scenario_simulators/{name}/actions/run")
async def simulate(name: str, caller: Authenticated) -> Response:
    """Move an object along."""
    data = await caller.body("data")
    resource = str((data.get("links") or {}).get("resource", ""))

    def run() -> dict[str, Any]:
        payments.simulate(*_at(caller), name, resource)
        return {"id": name}

    return await caller.act("fetch", "scenario_simulators", run)


@router.get("/creditors")
async def list_creditors(caller: Authenticated) -> Response:
    """The one creditor of the account."""
    return await caller.read(
        lambda: {"creditors": [_creditor(caller)], "meta": pagination.listed([], 50, None)["meta"]}
    )


@router.get("/events")
async def list_events(caller: Authenticated, request: Request) -> Response:
    """What happened."""
    return await caller.read(lambda: _named("events", events.page(*_at(caller), request)))


@router.get("/events/{id}")
async def show_event(id: str, caller: Authenticated) -> Response:
    """One thing that happened."""
    return await caller.read(lambda: {"events": events.find(*_at(caller), id)})


def _serve(kind: str, cls: type[Record], filters: dict[str, str]) -> None:
    async def many(caller: Authenticated, request: Request) -> Response:
        where = (caller.ctx.db, cls, caller.account.id, request, filters)
        return await caller.read(lambda: _named(kind, pagination.page(*where)))

    async def one(id: str, caller: Authenticated) -> Response:
        ctx, account = _at(caller)
        return await caller.read(lambda: {kind: pagination.one(ctx.db, cls, account, id)})

    router.add_api_route(f"/{kind}", many, methods=["GET"])
    router.add_api_route(f"/{kind}/{{id}}", one, methods=["GET"])


for _kind, (_cls, _filters) in _KINDS.items():
    _serve(_kind, _cls, _filters)


async def _made(
    caller: Caller,
    operation: Operation,
    kind: str,
    work: Callable[[], Record],
    steered: Ending | None = None,
) -> Response:
    db = caller.ctx.db
    return await caller.create(operation, kind, lambda: show(db, work()), steered)


def _at(caller: Caller) -> tuple[Context, str]:
    return caller.ctx, caller.account.id


def _named(kind: str, found: dict[str, Any]) -> dict[str, Any]:
    return {kind: found["items"], "meta": found["meta"]}


def _creditor(caller: Caller) -> dict[str, Any]:
    id = creditor_id(caller.account.id)
    identifiers = [
        {
            "id": f"SU{id[2:]}{scheme[:1].upper()}",
            "scheme": "sepa" if scheme == "sepa_core" else scheme,
            "currency": currency,
            "status": "active",
            "name": "Sandbox",
            "reference": "SANDBOX",
        }
        for scheme, currency in SCHEMES.items()
    ]
    return {
        "id": id,
        "created_at": "2026-01-01T00:00:00.000Z",
        "name": "Sandbox",
        "country_code": "DE",
        "can_create_refunds": True,
        "scheme_identifiers": identifiers,
        "verification_status": "successful",
        "links": {},
    }
