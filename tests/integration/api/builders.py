"""Request bodies, states and rows with defaults; a test passes only the members it is about."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from integrator.contract import PublicPaymentProviderRole
from integrator.store import TransactionRow
from workflows.state import AnyState

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
NOW = datetime(2026, 1, 15, 9, tzinfo=UTC)
STATE_MEMBERS: dict[str, Any] = {
    "transaction_id": UNKNOWN,
    "external_id": "e" * 24,
    "role": PublicPaymentProviderRole.Debit,
    "currency": "EUR",
    "requested_amount": Decimal("10"),
    "last_updated": NOW,
}

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


def transaction_row(state: AnyState, **values: Any) -> TransactionRow:
    """Return the row of a transaction in that state."""
    defaults: dict[str, Any] = {
        "merchant_id": MERCHANT,
        "transaction_id": state.transaction_id,
        "kind": state.kind.value,
        "fingerprint": "f" * 64,
        "external_id": state.external_id,
        "agreement_id": "agr-1",
        "related_id": None,
        "psp": "fake",
        "psp_settings_id": "s" * 24,
        "role": state.role.name,
        "currency": state.currency,
        "requested_amount": state.requested_amount,
        "private": None,
        "psp_transaction_id": state.psp_transaction_id,
        "psp_session_id": state.psp_session_id,
        "status": state.status.name,
        "version": state.version,
        "snapshot": state.model_dump_json(),
        "evidence": None,
        "created_at": NOW,
        "updated_at": NOW,
        "told_at": None,
    }
    return TransactionRow(**defaults | values)
