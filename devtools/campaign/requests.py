"""The platform's requests, written out."""

from decimal import Decimal
from typing import Any

from devtools.campaign.scenario import Payment, Preauth, Refund

_RETURN_URLS = {
    "successReturnUrl": "https://shop.example/ok",
    "errorReturnUrl": "https://shop.example/error",
    "abortReturnUrl": "https://shop.example/abort",
}
_PAYER = {
    "firstName": "Mia",
    "lastName": "Kern",
    "emailAddress": "mia.kern@example.org",
    "address": {"postalCode": "60311", "city": "Frankfurt am Main", "country": "DE"},
}


def preauth(wanted: Preauth, target: str) -> dict[str, Any]:
    """A sign-up or an upgrade."""
    means: dict[str, Any] = {"role": wanted.role}
    if wanted.iban is not None:
        means["initialBearer"] = {"Holder": "Mia Kern", "IBAN": wanted.iban}
    elif wanted.initial:
        means |= _RETURN_URLS
    return {
        **_common(wanted.id, wanted.amount, target),
        "paymentMeansReference": means,
        "agreementId": wanted.agreement,
        "isInitial": wanted.initial,
        "payerData": _PAYER,
        "transactionReferenceText": f"{wanted.id} Basic plan",
    }


def payment(wanted: Payment, target: str, day: str) -> dict[str, Any]:
    """A capture or a charge; `day` is when a debit is due."""
    more: dict[str, Any] = {}
    if wanted.preauth is not None:
        more["preauthTransactionId"] = wanted.preauth
    elif wanted.role == "Debit":
        more["plannedExecutionDate"] = day
    return {
        **_common(wanted.id, wanted.amount, target),
        "paymentMeansReference": {"role": wanted.role},
        "agreementId": wanted.agreement,
        "payerData": _PAYER,
        "transactionReferenceText": f"{wanted.id} Basic plan",
        **more,
    }


def refund(wanted: Refund, target: str) -> dict[str, Any]:
    """Money back."""
    common = _common(wanted.id, wanted.amount, target)
    return {**common, "paymentTransactionId": wanted.payment}


def _common(id: str, amount: Decimal, target: str) -> dict[str, Any]:
    return {
        "transactionId": id,
        "requestedAmount": str(amount),
        "currency": "EUR",
        "webhookTarget": target,
    }
