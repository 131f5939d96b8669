"""Stored payment methods and mandates: what to keep of them and what Billwerk+ may see."""

from contract.enums import PaymentErrorCode as Code
from contract.enums import PublicPaymentProviderRole as Role
from psp.sandbox.wire import BankAccount, Card, Mandate, PaymentMethod
from psp.types import Approved, Declined, Instrument, Outcome, Pending

METHOD = "payment_method"
CUSTOMER = "customer"

_ACTIVE = "active"
_TYPES = {Role.CreditCard: "card", Role.Debit: "sepa_debit"}


def of_method(method: PaymentMethod | None) -> Instrument | None:
    """A stored card, or a mandate shown as a payment method."""
    if method is None:
        return None
    bearer = _card(method.card) if method.card else {}
    if method.sepa_debit is not None:
        bearer = _account(method.sepa_debit, method.id)
    return Instrument(token=_token(method), bearer=bearer)


def of_mandate(mandate: Mandate) -> Instrument:
    """A mandate."""
    account = BankAccount(holder=mandate.holder, iban=mandate.iban, bic=mandate.bic)
    return Instrument(token=_token(mandate), bearer=_account(account, mandate.id))


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
        return Declined(
            code=Code.BearerInvalid, message="The payment method is no longer active at the PSP."
        )
    # A card's id is a token and stays inside; a mandate's is its public reference.
    mandate = method.id if method.sepa_debit else None
    return Approved(psp_id=mandate, instrument=of_method(method))


def signed(mandate: Mandate) -> Outcome:
    """A mandate just made, or looked up by its sign-up."""
    if mandate.status != _ACTIVE:
        return Pending(psp_id=mandate.id)
    return Approved(psp_id=mandate.id, instrument=of_mandate(mandate))


def _token(source: PaymentMethod | Mandate) -> dict[str, str]:
    return _filled({METHOD: source.id, CUSTOMER: source.customer})


def _account(account: BankAccount, mandate_id: str) -> dict[str, str]:
    return _filled(
        {
            "Holder": account.holder,
            "IBAN": account.iban,
            "BIC": account.bic,
            "MandateId": mandate_id,
        }
    )


def _card(card: Card) -> dict[str, str]:
    return _filled(
        {
            "CardType": card.brand,
            "Country": card.country,
            "ExpiryMonth": _month(card.exp_month),
            "ExpiryYear": _year(card.exp_year),
            "Holder": card.holder,
            "Last4": card.last4,
            "MaskedCardPan": card.masked,
        }
    )


def _month(month: str | int | None) -> str | None:
    """`"1"` to `"12"`: the contract wants no leading zero."""
    return None if month is None else str(month).lstrip("0")


def _year(year: str | int | None) -> str | None:
    """Four digits, also of a two-digit year."""
    text = "" if year is None else str(year)
    return f"20{text}" if len(text) == 2 else text


def _filled(values: dict[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in values.items() if value}
