"""Calls of the port as the workflows make them, and the amounts the kit takes."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import TypedDict
from uuid import uuid4

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.contract.money import exponent
from integrator.psp.types import Authorize, Capture, Charge, Instrument, Lookup, Payer, Refund, Void

# As the platform's: the key of a real call is that long and has slashes in it.
_MERCHANT = "0f8fad5b-d9cb-469f-a165-70867728950e"
PAYER = Payer(name="Mia Kern", email="mia.kern@example.org", language="de", country="DE")
_TYPICAL = {0: "4990", 2: "49.90", 3: "49.905"}


class _Common(TypedDict):
    reference: str
    idempotency_key: str
    amount: Decimal
    currency: str
    role: Role
    text: str


def new_reference() -> str:
    """A transaction id of the platform's form."""
    return f"{datetime.now(UTC):%Y%m%d}-{uuid4().hex[:24]}"


def typical(currency: str) -> Decimal:
    """An amount with all the decimals of its currency."""
    return Decimal(_TYPICAL.get(exponent(currency), "49"))


def part_of(amount: Decimal, currency: str) -> Decimal:
    """About a third of an amount, with all the decimals of its currency."""
    return (amount / 3).quantize(Decimal(1).scaleb(-exponent(currency)))


def _common(
    step: str, role: Role, amount: Decimal, currency: str, reference: str | None
) -> _Common:
    named = reference or new_reference()
    return _Common(
        reference=named,
        idempotency_key=f"{_MERCHANT}/{step}/{named}/{step}",
        amount=amount,
        currency=currency,
        role=role,
        text=f"Invoice {named[-6:]}",
    )


def sign_up(
    role: Role,
    amount: Decimal,
    currency: str,
    *,
    bearer: dict[str, str] | None = None,
    migration_token: str | None = None,
) -> Authorize:
    """An initial preauth: by redirect, by typed payment data, or by taking a customer over."""
    return Authorize(
        **_common("preauth", role, amount, currency, None),
        initial=True,
        payer=PAYER,
        initial_bearer=bearer,
        migration_token=migration_token,
        success_url="https://shop.example/ok?order=a%20b",
        error_url="https://shop.example/error",
        abort_url="https://shop.example/abort",
    )


def reserve(role: Role, amount: Decimal, currency: str, instrument: Instrument) -> Authorize:
    """A later preauth with the agreement's payment method."""
    return Authorize(
        **_common("preauth", role, amount, currency, None),
        initial=False,
        payer=PAYER,
        instrument=instrument,
    )


def capture(role: Role, amount: Decimal, currency: str, authorization_id: str) -> Capture:
    """A payment of what is reserved."""
    common = _common("capture", role, amount, currency, None)
    return Capture(**common, authorization_id=authorization_id)


def charge(role: Role, amount: Decimal, currency: str, instrument: Instrument) -> Charge:
    """A payment with the agreement's payment method."""
    return Charge(**_common("charge", role, amount, currency, None), instrument=instrument)


def refund(role: Role, amount: Decimal, currency: str, payment_psp_id: str) -> Refund:
    """A refund of a payment."""
    common = _common("refund", role, amount, currency, None)
    return Refund(**common, payment_psp_id=payment_psp_id)


def void(reserved: Authorize, authorization_id: str) -> Void:
    """The reservation's own transaction gives it back."""
    common = _common("void", reserved.role, reserved.amount, reserved.currency, reserved.reference)
    return Void(**common, authorization_id=authorization_id)


def lookup(call: Authorize | Capture | Charge | Refund | Void, psp_id: str | None = None) -> Lookup:
    """Ask for what became of a call."""
    return Lookup(reference=call.reference, psp_id=psp_id, currency=call.currency, role=call.role)
