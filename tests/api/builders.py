"""Request bodies with defaults; a test passes only the members it is about."""

from typing import Any
from uuid import uuid4

MERCHANT, TOKEN = "demo", "token-of-demo"
OTHER_MERCHANT, OTHER_TOKEN = "other", "token-of-other"
SETTINGS = {"Key": "k_1", "Secret": "s_1"}
IBAN = "DE89370400440532013000"
RETURN_URLS = {
    "successReturnUrl": "https://shop.example/ok",
    "errorReturnUrl": "https://shop.example/error",
    "abortReturnUrl": "https://shop.example/abort",
}
UNKNOWN = "20260101-aaaaaaaaaaaaaaaaaaaaaaaa"

Body = dict[str, Any]


def new_id() -> str:
    return f"20260115-{uuid4().hex[:24]}"


def auth(token: str = TOKEN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def card(**members: Any) -> Body:
    return {"role": "CreditCard", **RETURN_URLS} | members


def debit(**members: Any) -> Body:
    return {"role": "Debit", "initialBearer": {"Holder": "Mia Kern", "IBAN": IBAN}} | members


def preauth(**members: Any) -> Body:
    return _request(agreementId="agr-1", isInitial=True, paymentMeansReference=card()) | members


def payment(**members: Any) -> Body:
    return _request(agreementId="agr-1", paymentMeansReference={"role": "CreditCard"}) | members


def refund(payment_id: str, **members: Any) -> Body:
    body = _request(paymentTransactionId=payment_id) | members
    del body["transactionReferenceText"]
    return body


def _request(**members: Any) -> Body:
    return {
        "transactionId": new_id(),
        "requestedAmount": 119.0,
        "currency": "EUR",
        "webhookTarget": "https://transform.example/hooks",
        "transactionReferenceText": "Basic plan",
        "payerData": {"lastName": "Kern", "emailAddress": "mia.kern@example.org"},
        **members,
    }
