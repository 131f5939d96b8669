"""Control API for tests and developers under /_control; no authentication, so loopback only."""

import json
from typing import Annotated, Any

import simplejson
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from devtools.sandbox_psp import (
    accounts,
    authorizations,
    charges,
    idempotency,
    jobs,
    ledger,
    payment_methods,
    refunds,
    repository,
    serializers,
    sessions,
    webhooks,
)
from devtools.sandbox_psp.accounts import AccountRequest, KeyRotation
from devtools.sandbox_psp.auth import ContextDependency
from devtools.sandbox_psp.cards import Card, parse_number
from devtools.sandbox_psp.clock import today
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators import EMULATORS
from devtools.sandbox_psp.emulators.native import NativeEmulator
from devtools.sandbox_psp.errors import invalid_request, not_found
from devtools.sandbox_psp.faults import FaultRequest
from devtools.sandbox_psp.idempotency import ApiResponse
from devtools.sandbox_psp.ids import new_id
from devtools.sandbox_psp.magic_amounts import Outcome
from devtools.sandbox_psp.models import Authorization, Charge
from devtools.sandbox_psp.repository import R
from devtools.sandbox_psp.requests import Currency

router = APIRouter(prefix="/_control")


class StoreCardRequest(BaseModel):
    """A card to store as if its holder had used the checkout before."""

    api_key: str
    card: str
    currency: Currency | None = None
    holder: str = "Erika Mustermann"


class ChargeMovementRequest(BaseModel):
    """A charge, by id or by reference, and an amount of it (minor units; None: the rest)."""

    charge: str | None = None
    reference: str | None = None
    amount: int | None = Field(None, gt=0)


class CaptureMovementRequest(BaseModel):
    """An authorization, by id or by reference, and the amount to capture (None: all)."""

    authorization: str | None = None
    reference: str | None = None
    amount: int | None = Field(None, gt=0)


class SettlementRequest(BaseModel):
    """The reference of what is pending."""

    reference: str = Field(min_length=1)


class ExpirationRequest(BaseModel):
    """The id of an open session or a live authorization to expire now."""

    id: str


@router.put("/accounts")
async def put_account(body: AccountRequest, ctx: ContextDependency) -> dict[str, Any]:
    """Create an account, or change the webhook URL and secret of the one with this key."""
    if body.dialect not in EMULATORS:
        raise invalid_request(
            "unknown_dialect",
            f"Unknown dialect {body.dialect!r}; known: {', '.join(sorted(EMULATORS))}.",
        )
    return accounts.upsert(ctx.db, body).serialize()


@router.post("/accounts/rotate_key")
async def rotate_key(body: KeyRotation, ctx: ContextDependency) -> dict[str, Any]:
    """Replace the key of an account, as in the PSP's dashboard."""
    return accounts.rotate_key(ctx.db, body).serialize()


@router.post("/payment_methods", status_code=201)
async def store_card(body: StoreCardRequest, ctx: ContextDependency) -> dict[str, Any]:
    """Store a card without a checkout."""
    number = parse_number(body.card)
    if number is None:
        raise invalid_request("invalid_card_number", "This is not a card number.", status=422)
    card = Card(number, body.holder, 12, today().year + 4)
    account = accounts.get_by_key(ctx.db, body.api_key).id
    return payment_methods.store_card(ctx, account, card, body.currency).public_fields()


@router.get("/ledger")
async def list_ledger(
    ctx: ContextDependency, reference: str | None = None, kind: ledger.EntryKind | None = None
) -> Response:
    """List the ledger entries; amounts in major units."""
    body = simplejson.dumps(
        {"entries": ledger.list_entries(ctx.db, reference, kind)}, use_decimal=True
    )
    return Response(body, media_type="application/json")


@router.get("/webhooks")
async def list_webhooks(
    ctx: ContextDependency, limit: Annotated[int, Query(ge=1, le=10000)] = 100
) -> dict[str, Any]:
    """List webhook deliveries, newest first."""
    return {"data": webhooks.list_deliveries(ctx, limit)}


@router.post("/faults", status_code=201)
async def add_fault(body: FaultRequest, ctx: ContextDependency) -> dict[str, Any]:
    """Set a fault."""
    return ctx.faults.add(body).model_dump(mode="json")


@router.get("/faults")
async def list_faults(ctx: ContextDependency) -> dict[str, Any]:
    """List the faults in force."""
    return {"data": [fault.model_dump(mode="json") for fault in ctx.faults.all()]}


@router.delete("/faults", status_code=204)
async def clear_faults(ctx: ContextDependency) -> None:
    """Clear every fault."""
    ctx.faults.remove(None)


@router.delete("/faults/{id}", status_code=204)
async def clear_fault(id: str, ctx: ContextDependency) -> None:
    """Clear one fault."""
    ctx.faults.remove(id)


@router.delete("/idempotency_keys")
async def forget_keys(
    ctx: ContextDependency, prefix: Annotated[str, Query(min_length=1)]
) -> dict[str, Any]:
    """Forget the responses to keys that begin with `prefix`, as after the idempotency window."""
    return {"forgotten": idempotency.forget_responses(ctx, prefix)}


@router.post("/settlements")
async def settle(body: SettlementRequest, ctx: ContextDependency) -> dict[str, Any]:
    """Settle the pending charges, captures and refunds of a reference now."""
    return {"settled": jobs.run_settlements_now(ctx, body.reference)}


@router.post("/chargebacks", status_code=201)
async def charge_back(body: ChargeMovementRequest, ctx: ContextDependency) -> dict[str, Any]:
    """Charge back money as the payer's bank would; responds with the charge."""
    charge = _find_record(ctx, Charge, body.charge, body.reference)
    refundable = charges.refundable_amount(ctx, charge)
    if charge.status != "succeeded" or refundable == 0:
        raise invalid_request("invalid_state", "Nothing is left of this charge.")
    if body.amount is not None and body.amount > refundable:
        raise invalid_request("amount_too_large", "More than is left cannot be charged back.")
    with ctx.db.transaction():
        charges.charge_back(ctx, {"id": charge.id, "amount": body.amount})
    return serializers.serialize(ctx.db, repository.get(ctx.db, Charge, charge.id))


@router.post("/chargeback_reversals", status_code=201)
async def reverse_chargeback(body: ChargeMovementRequest, ctx: ContextDependency) -> dict[str, Any]:
    """Return money of the newest open chargeback, as after a dispute won; native API only."""
    charge = _find_record(ctx, Charge, body.charge, body.reference)
    emulator = accounts.get_by_id(ctx.db, charge.account).emulator
    if emulator != NativeEmulator.name:
        raise invalid_request("unknown_dialect", f"The emulator {emulator!r} has its own disputes.")
    with ctx.db.transaction():
        charges.reverse_chargeback(ctx, charge, body.amount)
    return serializers.serialize(ctx.db, repository.get(ctx.db, Charge, charge.id))


@router.post("/refunds", status_code=201)
async def refund(body: ChargeMovementRequest, ctx: ContextDependency) -> dict[str, Any]:
    """Refund as in the PSP's dashboard, under a reference unknown to the merchant."""
    charge = _find_record(ctx, Charge, body.charge, body.reference)
    with ctx.db.transaction():
        response = refunds.create(
            ctx,
            charge,
            reference=new_id("dashboard"),
            amount=body.amount or max(charges.refundable_amount(ctx, charge), 1),
            key=None,
            outcome=Outcome(),
        )
    return _response_object(response)


@router.post("/captures", status_code=201)
async def capture(body: CaptureMovementRequest, ctx: ContextDependency) -> dict[str, Any]:
    """Capture as in the PSP's dashboard, under a reference unknown to the merchant."""
    authorization = _find_record(ctx, Authorization, body.authorization, body.reference)
    with ctx.db.transaction():
        response = charges.capture(
            ctx,
            authorization,
            reference=new_id("dashboard"),
            amount=body.amount or authorization.amount,
            key=None,
            outcome=Outcome(),
        )
    return _response_object(response)


@router.post("/expirations", status_code=204)
async def expire(body: ExpirationRequest, ctx: ContextDependency) -> None:
    """Expire an open session (`cs_`) or a live authorization (`auth_`)."""
    handler = sessions.expire if body.id.startswith("cs_") else authorizations.expire
    with ctx.db.transaction():
        handler(ctx, {"id": body.id})


def _find_record(ctx: Context, cls: type[R], id: str | None, reference: str | None) -> R:
    if id is not None:
        return repository.get(ctx.db, cls, id)
    records = repository.list_by_reference(ctx.db, cls, reference or "")
    if not records:
        raise not_found(cls.kind, reference or "")
    return records[-1]


def _response_object(response: ApiResponse) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(response.body)
    return body
