"""Routes of GoCardless' API."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response

from devtools.sandbox_psp import repository
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.base import base_url
from devtools.sandbox_psp.emulators.gocardless import events, pagination, requests
from devtools.sandbox_psp.emulators.gocardless.auth import Authenticated, Caller
from devtools.sandbox_psp.emulators.gocardless.models import (
    SCHEMES,
    BankAccount,
    BillingRequest,
    Customer,
)
from devtools.sandbox_psp.emulators.gocardless.operations import mandates, payments
from devtools.sandbox_psp.emulators.gocardless.serializers import creditor_id, serialize
from devtools.sandbox_psp.faults import Operation
from devtools.sandbox_psp.magic_amounts import MagicEnding
from devtools.sandbox_psp.models import Charge, Mandate, Record, Refund

router = APIRouter()

_RESOURCES: dict[str, tuple[type[Record], dict[str, str]]] = {
    "billing_requests": (BillingRequest, {"status": "status", "customer": "customer"}),
    "customer_bank_accounts": (BankAccount, {"customer": "customer"}),
    "customers": (Customer, {}),
    "mandates": (Mandate, {"customer": "customer", "reference": "extra.statement"}),
    "payments": (Charge, {"mandate": "payment_method", "currency": "currency"}),
    "refunds": (Refund, {"payment": "charge"}),
}


@router.post("/billing_requests")
async def create_billing_request(caller: Authenticated) -> Response:
    """Create a billing request."""
    body = await caller.body("billing_requests")
    return await _create(
        caller,
        "mandate",
        "billing_requests",
        lambda: mandates.create_billing_request(*_scope(caller), body),
    )


@router.post("/billing_request_flows")
async def create_flow(caller: Authenticated, request: Request) -> Response:
    """Create a hosted page for a billing request."""
    body, base = await caller.body("billing_request_flows"), base_url(request)
    return await _create(
        caller,
        "checkout_session",
        "billing_request_flows",
        lambda: mandates.create_flow(*_scope(caller), body, base),
    )


@router.post("/billing_requests/{id}/actions/{action}")
async def run_billing_request_action(id: str, action: str, caller: Authenticated) -> Response:
    """Complete a step of a billing request, fulfil it or cancel it."""
    data, ctx = await caller.body("data"), caller.ctx
    return await caller.run_action(
        "void" if action == "cancel" else "mandate",
        "billing_requests",
        lambda: serialize(ctx.db, mandates.run_action(ctx, caller.account.id, id, action, data)),
    )


@router.post("/customers")
async def create_customer(caller: Authenticated) -> Response:
    """Create a customer."""
    body = await caller.body("customers")
    return await _create(
        caller, "mandate", "customers", lambda: mandates.create_customer(*_scope(caller), body)
    )


@router.post("/customer_bank_accounts")
async def create_bank_account(caller: Authenticated) -> Response:
    """Create a customer's bank account."""
    body = await caller.body("customer_bank_accounts")
    customer_id = (body.get("links") or {}).get("customer", "")
    return await _create(
        caller,
        "mandate",
        "customer_bank_accounts",
        lambda: mandates.create_bank_account(*_scope(caller), customer_id, body),
    )


@router.post("/mandates")
async def create_mandate(caller: Authenticated) -> Response:
    """Create a mandate for a bank account."""
    body, (ctx, account) = await caller.body("mandates"), _scope(caller)

    def create() -> Mandate:
        bank_account_id = (body.get("links") or {}).get("customer_bank_account", "")
        bank_account = repository.get_owned(ctx.db, BankAccount, account, bank_account_id)
        scheme, metadata = str(body.get("scheme", "sepa_core")), requests.parse_metadata(body)
        return mandates.create_mandate(ctx, bank_account, scheme, metadata)

    return await _create(caller, "mandate", "mandates", create)


@router.post("/mandates/{id}/actions/cancel")
async def cancel_mandate(id: str, caller: Authenticated) -> Response:
    """Cancel a mandate."""
    db = caller.ctx.db
    return await caller.run_action(
        "void", "mandates", lambda: serialize(db, mandates.cancel_mandate(*_scope(caller), id))
    )


@router.post("/payments")
async def create_payment(caller: Authenticated) -> Response:
    """Create a payment with a mandate."""
    body = await caller.body("payments")
    return await _create(
        caller,
        "charge",
        "payments",
        lambda: payments.create_payment(*_scope(caller), body, caller.key),
        requests.parse_ending(body),
    )


@router.post("/payments/{id}/actions/cancel")
async def cancel_payment(id: str, caller: Authenticated) -> Response:
    """Cancel a payment."""
    db = caller.ctx.db
    return await caller.run_action(
        "void", "payments", lambda: serialize(db, payments.cancel_payment(*_scope(caller), id))
    )


@router.post("/refunds")
async def create_refund(caller: Authenticated) -> Response:
    """Create a refund of a payment."""
    body = await caller.body("refunds")
    return await _create(
        caller,
        "refund",
        "refunds",
        lambda: payments.create_refund(*_scope(caller), body, caller.key),
        requests.parse_ending(body),
    )


@router.post("/scenario_simulators/{name}/actions/run")
async def run_simulator(name: str, caller: Authenticated) -> Response:
    """Run a scenario simulator on an object."""
    data = await caller.body("data")
    resource = str((data.get("links") or {}).get("resource", ""))

    def run() -> dict[str, Any]:
        payments.run_simulator(*_scope(caller), name, resource)
        return {"id": name}

    return await caller.run_action("fetch", "scenario_simulators", run)


@router.get("/creditors")
async def list_creditors(caller: Authenticated) -> Response:
    """List the account's only creditor."""
    return await caller.get(
        lambda: {
            "creditors": [_serialize_creditor(caller)],
            "meta": pagination.build_page([], 50, None)["meta"],
        }
    )


@router.get("/events")
async def list_events(caller: Authenticated, request: Request) -> Response:
    """List events."""
    return await caller.get(lambda: _envelope("events", events.list_page(*_scope(caller), request)))


@router.get("/events/{id}")
async def get_event(id: str, caller: Authenticated) -> Response:
    """Return an event."""
    return await caller.get(lambda: {"events": events.get_event(*_scope(caller), id)})


def _add_read_routes(kind: str, cls: type[Record], filters: dict[str, str]) -> None:
    async def get_many(caller: Authenticated, request: Request) -> Response:
        scope = (caller.ctx.db, cls, caller.account.id, request, filters)
        return await caller.get(lambda: _envelope(kind, pagination.list_page(*scope)))

    async def get_one(id: str, caller: Authenticated) -> Response:
        ctx, account = _scope(caller)
        return await caller.get(lambda: {kind: pagination.get_one(ctx.db, cls, account, id)})

    router.add_api_route(f"/{kind}", get_many, methods=["GET"])
    router.add_api_route(f"/{kind}/{{id}}", get_one, methods=["GET"])


for _kind, (_cls, _filters) in _RESOURCES.items():
    _add_read_routes(_kind, _cls, _filters)


async def _create(
    caller: Caller,
    operation: Operation,
    kind: str,
    action: Callable[[], Record],
    ending: MagicEnding | None = None,
) -> Response:
    db = caller.ctx.db
    return await caller.create(operation, kind, lambda: serialize(db, action()), ending)


def _scope(caller: Caller) -> tuple[Context, str]:
    return caller.ctx, caller.account.id


def _envelope(kind: str, page: dict[str, Any]) -> dict[str, Any]:
    return {kind: page["items"], "meta": page["meta"]}


def _serialize_creditor(caller: Caller) -> dict[str, Any]:
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
