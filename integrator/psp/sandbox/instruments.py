"""Stored payment methods and mandates: what to keep of them and what Billwerk+ may see."""

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.sandbox.wire import BankAccount, Mandate, PaymentMethod
from integrator.psp.toolkit.instruments import CUSTOMER, METHOD, card, instrument
from integrator.psp.types import Approved, Declined, Instrument, Outcome, Pending

_ACTIVE = "active"
_TYPES = {Role.CreditCard: "card", Role.Debit: "sepa_debit"}


def of_method(method: PaymentMethod | None) -> Instrument | None:
    """A stored card, or a mandate shown as a payment method."""
    if method is None:
        return None
    stored = method.card
    bearer: dict[str, str | None] = {}
    if stored is not None:
        bearer = card(
            brand=stored.brand,
            country=stored.country,
            month=stored.exp_month,
            year=stored.exp_year,
            holder=stored.holder,
            last4=stored.last4,
            masked=stored.masked,
        )
    if method.sepa_debit is not None:
        bearer = _account(method.sepa_debit, method.id)
    return instrument({METHOD: method.id, CUSTOMER: method.customer}, bearer)


def of_mandate(mandate: Mandate) -> Instrument:
    """A mandate."""
    return instrument(
        {METHOD: mandate.id, CUSTOMER: mandate.customer}, _account(mandate, mandate.id)
    )


def taken_over(method: PaymentMethod | None, *, role: Role, currency: str) -> Outcome:
    """Whether an existing payment method, named by the merchant, can serve a new agreement."""
    if method is None or method.type != _TYPES.get(role):
        return Declined(code=Code.InvalidData, message="The PSP has no such payment method.")
    if method.currency not in (None, currency):
        return Declined(code=Code.InvalidCurrency, message=f"It takes {method.currency} only.")
    return still_usable(method)


def still_usable(method: PaymentMethod | None) -> Outcome:
    """Whether a stored payment method can be charged; nothing is reserved."""
    if method is None or method.status != _ACTIVE:
        message = "The payment method is no longer active at the PSP."
        return Declined(code=Code.BearerInvalid, message=message)
    # A card's id is a token and stays inside; a mandate's is its public reference.
    mandate = method.id if method.sepa_debit else None
    return Approved(psp_id=mandate, instrument=of_method(method))


def signed(mandate: Mandate) -> Outcome:
    """A mandate just made, or looked up by its sign-up."""
    if mandate.status != _ACTIVE:
        return Pending(psp_id=mandate.id)
    return Approved(psp_id=mandate.id, instrument=of_mandate(mandate))


def _account(account: BankAccount | Mandate, mandate_id: str) -> dict[str, str | None]:
    return {
        "Holder": account.holder,
        "IBAN": account.iban,
        "BIC": account.bic,
        "MandateId": mandate_id,
    }
