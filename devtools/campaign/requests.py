"""Request bodies of the simulated Billwerk+."""

from decimal import Decimal
from typing import Any

from devtools.campaign.scenario import PlannedPayment, PlannedPreauth, PlannedRefund

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


def preauth(planned: PlannedPreauth, webhook_url: str) -> dict[str, Any]:
    """Return the body of a sign-up or an upgrade."""
    payment_means: dict[str, Any] = {"role": planned.role}
    if planned.iban is not None:
        payment_means["initialBearer"] = {"Holder": "Mia Kern", "IBAN": planned.iban}
    elif planned.initial:
        payment_means |= _RETURN_URLS
    return {
        **_common_fields(planned.id, planned.amount, webhook_url),
        "paymentMeansReference": payment_means,
        "agreementId": planned.agreement,
        "isInitial": planned.initial,
        "payerData": _PAYER,
        "transactionReferenceText": f"{planned.id} Basic plan",
    }


def payment(planned: PlannedPayment, webhook_url: str, day: str) -> dict[str, Any]:
    """Return the body of a capture or a charge; `day` is the execution date of a debit."""
    extra: dict[str, Any] = {}
    if planned.preauth is not None:
        extra["preauthTransactionId"] = planned.preauth
    elif planned.role == "Debit":
        extra["plannedExecutionDate"] = day
    return {
        **_common_fields(planned.id, planned.amount, webhook_url),
        "paymentMeansReference": {"role": planned.role},
        "agreementId": planned.agreement,
        "payerData": _PAYER,
        "transactionReferenceText": f"{planned.id} Basic plan",
        **extra,
    }


def refund(planned: PlannedRefund, webhook_url: str) -> dict[str, Any]:
    """Return the body of a refund."""
    common = _common_fields(planned.id, planned.amount, webhook_url)
    return {**common, "paymentTransactionId": planned.payment}


def _common_fields(id: str, amount: Decimal, webhook_url: str) -> dict[str, Any]:
    return {
        "transactionId": id,
        "requestedAmount": str(amount),
        "currency": "EUR",
        "webhookTarget": webhook_url,
    }
