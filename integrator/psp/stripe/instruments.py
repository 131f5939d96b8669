"""Stored payment methods: what to keep of them and what Billwerk+ may see."""

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.stripe.wire import Mandate, PaymentMethod, SetupIntent
from integrator.psp.toolkit.instruments import CUSTOMER, METHOD, card, instrument
from integrator.psp.types import Approved, Declined, Instrument, Outcome

TYPES = {Role.CreditCard: "card", Role.Debit: "sepa_debit"}
SEPA_CURRENCY = "EUR"


def of_method(method: PaymentMethod | str | None, customer: str | None) -> Instrument | None:
    """A card, if the answer shows it."""
    if not isinstance(method, PaymentMethod):
        return None
    last4 = method.card_last4
    bearer = card(
        brand=method.brand,
        country=method.card_country,
        month=method.exp_month,
        year=method.exp_year,
        holder=method.holder,
        last4=last4,
        masked=last4 and f"XXXXXXXXXXXX{last4}",
    )
    return instrument(_token(method, customer), bearer)


def of_setup(setup: SetupIntent, iban: str | None = None) -> Instrument | None:
    """What a SetupIntent has stored; `iban` is known only while the customer's words are there."""
    method = setup.payment_method
    if not isinstance(method, PaymentMethod) or method.type != TYPES[Role.Debit]:
        return of_method(method, setup.customer)
    mandate = setup.mandate
    signed = mandate.reference or mandate.id if isinstance(mandate, Mandate) else mandate
    known = iban or f"{method.bank_country or ''}****{method.iban_last4 or ''}"
    bearer = {"Holder": method.holder, "IBAN": known, "MandateId": signed}
    return instrument(_token(method, setup.customer), bearer)


def taken_over(method: PaymentMethod | None, *, role: Role, currency: str) -> Outcome:
    """Whether an existing payment method, named by the merchant, can serve a new agreement."""
    if method is None or method.type != TYPES.get(role):
        return Declined(code=Code.InvalidData, message="Stripe has no such payment method.")
    if role is Role.Debit and currency != SEPA_CURRENCY:
        return Declined(code=Code.InvalidCurrency, message=f"It takes {SEPA_CURRENCY} only.")
    return still_usable(method)


def still_usable(method: PaymentMethod | None) -> Outcome:
    """Whether a stored payment method can be charged; nothing is reserved."""
    if method is None or method.customer is None:
        message = "The payment method belongs to no customer at Stripe any more."
        return Declined(code=Code.BearerInvalid, message=message)
    return Approved(psp_id=None, instrument=of_method(method, method.customer))


def _token(method: PaymentMethod, customer: str | None) -> dict[str, str | None]:
    return {METHOD: method.id, CUSTOMER: customer or method.customer}
