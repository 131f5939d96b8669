"""Stored payment methods as instruments and outcomes."""

from collections.abc import Mapping

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.stripe.wire import Mandate, PaymentMethod, SetupIntent
from integrator.psp.toolkit.instruments import CUSTOMER, METHOD, build_card_bearer, build_instrument
from integrator.psp.types import Approved, Declined, Instrument, Outcome

TYPES = {Role.CreditCard: "card", Role.Debit: "sepa_debit"}
"""Type of the payment methods of a role, unless a stored one names its own."""

SEPA_CURRENCY = "EUR"

_TYPE = "type"
_MIGRATED_TYPES = {Role.CreditCard: ("card", "link"), Role.Debit: ("sepa_debit",)}


def method_type(token: Mapping[str, str], role: Role) -> str:
    """Return the type of a stored payment method, which a charge has to name."""
    return token.get(_TYPE) or TYPES[role]


def with_type(token: Mapping[str, str], method_type: str) -> dict[str, str]:
    """Return a token that names the type of its payment method."""
    return {**token, _TYPE: method_type}


def instrument_from_method(
    method: PaymentMethod | str | None, customer: str | None
) -> Instrument | None:
    """Build the instrument of a card; None if the response has only its id.

    At the hosted page the customer may choose another method than a card, such as Link; it is
    shown by its type.
    """
    if not isinstance(method, PaymentMethod):
        return None
    last4 = method.card_last4
    bearer = build_card_bearer(
        brand=method.brand or (None if method.type == TYPES[Role.CreditCard] else method.type),
        country=method.card_country,
        month=method.exp_month,
        year=method.exp_year,
        holder=method.holder,
        last4=last4,
        masked=last4 and f"XXXXXXXXXXXX{last4}",
    )
    return build_instrument(_token(method, customer), bearer)


def instrument_from_setup(setup: SetupIntent, iban: str | None = None) -> Instrument | None:
    """Build the instrument stored by a SetupIntent; `iban` is known only during the sign-up."""
    method = setup.payment_method
    if not isinstance(method, PaymentMethod) or method.type != TYPES[Role.Debit]:
        return instrument_from_method(method, setup.customer)
    mandate = setup.mandate
    mandate_reference = mandate.reference or mandate.id if isinstance(mandate, Mandate) else mandate
    shown_iban = iban or f"{method.bank_country or ''}****{method.iban_last4 or ''}"
    bearer = {"Holder": method.holder, "IBAN": shown_iban, "MandateId": mandate_reference}
    return build_instrument(_token(method, setup.customer), bearer)


def migration_outcome(method: PaymentMethod | None, *, role: Role, currency: str) -> Outcome:
    """Return whether an existing payment method, named by the merchant, fits a new agreement."""
    if method is None or method.type not in _MIGRATED_TYPES.get(role, ()):
        return Declined(code=Code.InvalidData, message="Stripe has no such payment method.")
    if role is Role.Debit and currency != SEPA_CURRENCY:
        return Declined(
            code=Code.InvalidCurrency, message=f"The payment method supports {SEPA_CURRENCY} only."
        )
    return stored_method_outcome(method)


def stored_method_outcome(method: PaymentMethod | None) -> Outcome:
    """Return whether a stored payment method can be charged; nothing is reserved."""
    if method is None or method.customer is None:
        message = "The payment method no longer belongs to a customer at Stripe."
        return Declined(code=Code.BearerInvalid, message=message)
    return Approved(psp_id=None, instrument=instrument_from_method(method, method.customer))


def _token(method: PaymentMethod, customer: str | None) -> dict[str, str | None]:
    own_type = None if method.type in TYPES.values() else method.type
    return {METHOD: method.id, CUSTOMER: customer or method.customer, _TYPE: own_type}
