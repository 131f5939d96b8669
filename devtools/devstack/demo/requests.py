"""The request bodies of the story."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

CURRENCY = "EUR"
SHOP = "https://shop.example"
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


def preauth(id: str, agreement: str, role: str, amount: str, hook: str) -> Body:
    """A sign-up; a direct debit brings its IBAN along."""
    means: Body = {"role": role, **_return_urls(id)}
    if role == "Debit":
        means["initialBearer"] = {"Holder": HOLDER, "IBAN": IBAN}
    return _common(id, amount, hook) | {
        "paymentMeansReference": means,
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


def capture(id: str, preauth_id: str, agreement: str, amount: str, hook: str) -> Body:
    """The first payment, out of what the sign-up reserved."""
    return _common(id, amount, hook) | {
        "preauthTransactionId": preauth_id,
        "paymentMeansReference": {"role": "CreditCard"},
        "transactionReferenceText": f"{id} Basic plan",
        "payerData": _PAYER,
        "agreementId": agreement,
    }


def payment(id: str, agreement: str, role: str, amount: str, hook: str, text: str) -> Body:
    """A recurring payment; a direct debit names its day."""
    body = _common(id, amount, hook) | {
        "paymentMeansReference": {"role": role, **_return_urls(id)},
        "transactionReferenceText": f"{id} {text}",
        "payerData": _PAYER,
        "agreementId": agreement,
    }
    if role == "Debit":
        body["plannedExecutionDate"] = f"{datetime.now(UTC) + timedelta(days=4):%Y-%m-%d}"
    return body


def refund(id: str, payment_id: str, amount: str, hook: str) -> Body:
    """Money back out of a payment."""
    return _common(id, amount, hook) | {"paymentTransactionId": payment_id}


def finalize(id: str, data: dict[str, str]) -> Body:
    """What came along when the customer returned."""
    return {"transactionId": id, "finalizationData": data}


def return_url(id: str) -> str:
    """Where the customer returns after success."""
    return f"{SHOP}/ok?trx={id}"


def _common(id: str, amount: str, hook: str) -> Body:
    return {
        "transactionId": id,
        "requestedAmount": Decimal(amount),
        "currency": CURRENCY,
        "webhookTarget": hook,
    }


def _return_urls(id: str) -> Body:
    return {
        "successReturnUrl": return_url(id),
        "errorReturnUrl": f"{SHOP}/error?trx={id}",
        "abortReturnUrl": f"{SHOP}/abort?trx={id}",
    }
