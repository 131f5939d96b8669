"""Stored cards and mandates."""

from typing import Any

from devtools.sandbox_psp import bank_accounts, events, repository, serializers
from devtools.sandbox_psp.cards import Card
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.idempotency import ApiResponse, json_response
from devtools.sandbox_psp.ids import new_id
from devtools.sandbox_psp.models import Mandate, PaymentMethod


def store_card(ctx: Context, account: str, card: Card, currency: str | None) -> PaymentMethod:
    """Store a card, without its number; later uses are declined as its issuer would."""
    method = PaymentMethod(
        id=new_id("pm"),
        account=account,
        reference=None,
        currency=currency,
        customer=new_id("cus"),
        card=card.details(),
        decline=card.decline(),
    )
    repository.save(ctx.db, method)
    return method


def sign_mandate(
    ctx: Context,
    account: str,
    *,
    reference: str,
    holder: str,
    iban: str,
    customer: str | None = None,
    extra: dict[str, Any] | None = None,
) -> ApiResponse:
    """Create a mandate; PspError 422 for an invalid IBAN. Emulators set `customer` and `extra`."""
    mandate = Mandate(
        id=new_id("mdt"),
        account=account,
        reference=reference,
        holder=holder,
        iban=bank_accounts.normalize_iban(iban),
        customer=customer or new_id("cus"),
        extra=extra or {},
    )
    repository.save(ctx.db, mandate)
    events.emit(ctx, "mandate.active", mandate)
    return json_response(201, serializers.serialize(ctx.db, mandate))
