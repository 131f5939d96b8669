"""Request bodies of the demo."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

CURRENCY = "EUR"
SHOP_URL = "https://shop.example"
IBAN = "DE89370400440532013000"
HOLDER = "Mia Kern"

Body = dict[str, Any]

_PAYER: Body = {
    "externalCustomerId": "C-1007",
    "firstName": "Mia",
    "lastName": "Kern",
    "emailAddress": "mia.kern@example.org",
    "language": "DE",
    "address": {
        "street": "Lindenweg",
        "houseNumber": "4a",
        "postalCode": "60311",
        "city": "Frankfurt am Main",
        "country": "DE",
    },
}


def preauth(id: str, agreement: str, role: str, amount: str, webhook_url: str) -> Body:
    """Return the body of a sign-up; one by direct debit includes the IBAN."""
    payment_means: Body = {"role": role, **_return_urls(id)}
    if role == "Debit":
        payment_means["initialBearer"] = {"Holder": HOLDER, "IBAN": IBAN}
    return _common_fields(id, amount, webhook_url) | {
        "paymentMeansReference": payment_means,
        "transactionReferenceText": f"{id} Basic plan",
        "payerData": _PAYER,
        "orderData": {
            "planName": "Basic",
            "nextPaymentDate": f"{datetime.now(UTC) + timedelta(days=30):%Y-%m-%dT00:00:00Z}",
            "feePeriod": {"unit": "Month", "quantity": 1},
            "recurringFee": Decimal(amount),
        },
        "agreementId": agreement,
        "isInitial": True,
    }


def capture(id: str, preauth_id: str, agreement: str, amount: str, webhook_url: str) -> Body:
    """Return the body of the first payment, a capture of the sign-up's preauth."""
    return _common_fields(id, amount, webhook_url) | {
        "preauthTransactionId": preauth_id,
        "paymentMeansReference": {"role": "CreditCard"},
        "transactionReferenceText": f"{id} Basic plan",
        "payerData": _PAYER,
        "agreementId": agreement,
    }


def payment(id: str, agreement: str, role: str, amount: str, webhook_url: str, text: str) -> Body:
    """Return the body of a recurring payment; one by direct debit includes its execution date."""
    body = _common_fields(id, amount, webhook_url) | {
        "paymentMeansReference": {"role": role, **_return_urls(id)},
        "transactionReferenceText": f"{id} {text}",
        "payerData": _PAYER,
        "agreementId": agreement,
    }
    if role == "Debit":
        body["plannedExecutionDate"] = f"{datetime.now(UTC) + timedelta(days=4):%Y-%m-%d}"
    return body


def refund(id: str, payment_id: str, amount: str, webhook_url: str) -> Body:
    """Return the body of a refund."""
    return _common_fields(id, amount, webhook_url) | {"paymentTransactionId": payment_id}


def finalize(id: str, data: dict[str, str]) -> Body:
    """Return the body of a finalization with the query parameters of the customer's return."""
    return {"transactionId": id, "finalizationData": data}


def return_url(id: str) -> str:
    """Return the URL the customer is sent to after success."""
    return f"{SHOP_URL}/ok?trx={id}"


def _common_fields(id: str, amount: str, webhook_url: str) -> Body:
    return {
        "transactionId": id,
        "requestedAmount": Decimal(amount),
        "currency": CURRENCY,
        "webhookTarget": webhook_url,
    }


def _return_urls(id: str) -> Body:
    return {
        "successReturnUrl": return_url(id),
        "errorReturnUrl": f"{SHOP_URL}/error?trx={id}",
        "abortReturnUrl": f"{SHOP_URL}/abort?trx={id}",
    }
