"""Stored payment methods and mandates as instruments and outcomes."""

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.sandbox.wire import BankAccount, Mandate, PaymentMethod
from integrator.psp.toolkit.instruments import CUSTOMER, METHOD, build_card_bearer, build_instrument
from integrator.psp.types import Approved, Declined, Instrument, Outcome, Pending

_ACTIVE = "active"
_TYPES = {Role.CreditCard: "card", Role.Debit: "sepa_debit"}


def instrument_from_method(method: PaymentMethod | None) -> Instrument | None:
    """Build the instrument of a stored card, or of a mandate shown as a payment method."""
    if method is None:
        return None
    card = method.card
    bearer: dict[str, str | None] = {}
    if card is not None:
        bearer = build_card_bearer(
            brand=card.brand,
            country=card.country,
            month=card.exp_month,
            year=card.exp_year,
            holder=card.holder,
            last4=card.last4,
            masked=card.masked,
        )
    if method.sepa_debit is not None:
        bearer = _bank_account_bearer(method.sepa_debit, method.id)
    return build_instrument({METHOD: method.id, CUSTOMER: method.customer}, bearer)


def instrument_from_mandate(mandate: Mandate) -> Instrument:
    """Build the instrument of a mandate."""
    return build_instrument(
        {METHOD: mandate.id, CUSTOMER: mandate.customer}, _bank_account_bearer(mandate, mandate.id)
    )


def migration_outcome(method: PaymentMethod | None, *, role: Role, currency: str) -> Outcome:
    """Return whether an existing payment method, named by the merchant, fits a new agreement."""
    if method is None or method.type != _TYPES.get(role):
        return Declined(code=Code.InvalidData, message="The PSP has no such payment method.")
    if method.currency not in (None, currency):
        return Declined(
            code=Code.InvalidCurrency,
            message=f"The payment method supports {method.currency} only.",
        )
    return stored_method_outcome(method)


def stored_method_outcome(method: PaymentMethod | None) -> Outcome:
    """Return whether a stored payment method can be charged; nothing is reserved."""
    if method is None or method.status != _ACTIVE:
        message = "The payment method is no longer active at the PSP."
        return Declined(code=Code.BearerInvalid, message=message)
    # A card's id is a token and not disclosed; a mandate's id is its public reference.
    mandate = method.id if method.sepa_debit else None
    return Approved(psp_id=mandate, instrument=instrument_from_method(method))


def mandate_outcome(mandate: Mandate) -> Outcome:
    """Return the outcome of a mandate that was created or looked up."""
    if mandate.status != _ACTIVE:
        return Pending(psp_id=mandate.id)
    return Approved(psp_id=mandate.id, instrument=instrument_from_mandate(mandate))


def _bank_account_bearer(account: BankAccount | Mandate, mandate_id: str) -> dict[str, str | None]:
    return {
        "Holder": account.holder,
        "IBAN": account.iban,
        "BIC": account.bic,
        "MandateId": mandate_id,
    }
