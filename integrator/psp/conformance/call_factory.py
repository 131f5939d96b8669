"""Factories of port calls as the workflows make them, and of the amounts the kit uses."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import TypedDict
from uuid import uuid4

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.contract.money import exponent
from integrator.psp.types import (
    Address,
    Authorize,
    Capture,
    Charge,
    Instrument,
    Lookup,
    Payer,
    Refund,
    Void,
)

# A merchant id as in production: the key of a real call is that long and contains slashes.
_MERCHANT = "0f8fad5b-d9cb-469f-a165-70867728950e"
PAYER = Payer(
    name="Mia Kern",
    email="mia.kern@example.org",
    language="de",
    country="DE",
    address=Address(line1="Lindenweg 4a", postal_code="60311", city="Frankfurt am Main"),
)
_TYPICAL = {0: "4990", 2: "49.90", 3: "49.905"}


class _CommonFields(TypedDict):
    reference: str
    idempotency_key: str
    amount: Decimal
    currency: str
    role: Role
    text: str


def new_reference() -> str:
    """Return a transaction id in the format of Billwerk+: the day, then an id with its seconds."""
    now = datetime.now(UTC)
    return f"{now:%Y%m%d}-{int(now.timestamp()):08x}{uuid4().hex[:16]}"


def typical_amount(currency: str) -> Decimal:
    """Return an amount that uses all the decimals of its currency."""
    return Decimal(_TYPICAL.get(exponent(currency), "49"))


def partial_amount(amount: Decimal, currency: str) -> Decimal:
    """Return about a third of an amount, with all the decimals of its currency."""
    return (amount / 3).quantize(Decimal(1).scaleb(-exponent(currency)))


def _common_fields(
    step: str, role: Role, amount: Decimal, currency: str, reference: str | None
) -> _CommonFields:
    call_reference = reference or new_reference()
    return _CommonFields(
        reference=call_reference,
        idempotency_key=f"{_MERCHANT}/{step}/{call_reference}/{step}",
        amount=amount,
        currency=currency,
        role=role,
        text=f"Invoice {call_reference[-6:]}",
    )


def sign_up(
    role: Role,
    amount: Decimal,
    currency: str,
    *,
    payment_data: dict[str, str] | None = None,
    migration_token: str | None = None,
) -> Authorize:
    """Return an initial preauth: by redirect, typed payment data, or a migration token."""
    return Authorize(
        **_common_fields("preauth", role, amount, currency, None),
        initial=True,
        payer=PAYER,
        initial_bearer=payment_data,
        migration_token=migration_token,
        success_url="https://shop.example/ok?order=a%20b",
        error_url="https://shop.example/error",
        abort_url="https://shop.example/abort",
    )


def reserve(role: Role, amount: Decimal, currency: str, instrument: Instrument) -> Authorize:
    """Return a later preauth with the agreement's payment method."""
    return Authorize(
        **_common_fields("preauth", role, amount, currency, None),
        initial=False,
        payer=PAYER,
        instrument=instrument,
    )


def capture(role: Role, amount: Decimal, currency: str, authorization_id: str) -> Capture:
    """Return a payment that captures a reservation."""
    fields = _common_fields("capture", role, amount, currency, None)
    return Capture(**fields, authorization_id=authorization_id)


def charge(role: Role, amount: Decimal, currency: str, instrument: Instrument) -> Charge:
    """Return a payment with the agreement's payment method."""
    return Charge(**_common_fields("charge", role, amount, currency, None), instrument=instrument)


def refund(role: Role, amount: Decimal, currency: str, payment_psp_id: str) -> Refund:
    """Return a refund of a payment."""
    fields = _common_fields("refund", role, amount, currency, None)
    return Refund(**fields, payment_psp_id=payment_psp_id)


def void(reservation: Authorize, authorization_id: str) -> Void:
    """Return a void of a reservation, under the reservation's own reference."""
    fields = _common_fields(
        "void", reservation.role, reservation.amount, reservation.currency, reservation.reference
    )
    return Void(**fields, authorization_id=authorization_id)


def lookup(call: Authorize | Capture | Charge | Refund | Void, psp_id: str | None = None) -> Lookup:
    """Return a look-up of a call's result, as the workflows make it."""
    return Lookup(
        reference=call.reference,
        psp_id=psp_id,
        currency=call.currency,
        role=call.role,
        parent_psp_id=_parent_psp_id(call),
        created_at=_created_at(call.reference),
    )


def _parent_psp_id(call: Authorize | Capture | Charge | Refund | Void) -> str | None:
    match call:
        case Capture():
            return call.authorization_id
        case Refund():
            return call.payment_psp_id
        case _:
            return None


def _created_at(reference: str) -> datetime:
    """Return the time in a reference of `new_reference`."""
    return datetime.fromtimestamp(int(reference.partition("-")[2][:8], 16), UTC)
