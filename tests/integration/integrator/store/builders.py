"""Builders of input rows with defaults, so that a test only sets what it is about."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from integrator.store import Erased, Merchant, NewNotification, NewTransaction, RecordUpdate, Store

IBAN = "DE89370400440532013000"


def new_transaction(
    merchant: Merchant, transaction_id: str = "t1", **overrides: Any
) -> NewTransaction:
    defaults = NewTransaction(
        merchant_id=merchant.id,
        transaction_id=transaction_id,
        kind="payment",
        fingerprint="f" * 64,
        psp=merchant.psp,
        psp_settings_id=merchant.psp_settings_id,
        role="Debit",
        currency="EUR",
        requested_amount=Decimal("10.50"),
        request={"initialBearer": {"IBAN": IBAN}},
        agreement_id="a1",
    )
    return replace(defaults, **overrides)


def record_update(merchant: Merchant, transaction_id: str = "t1", **overrides: Any) -> RecordUpdate:
    defaults = RecordUpdate(
        merchant_id=merchant.id,
        transaction_id=transaction_id,
        status="Pending",
        version=1,
        snapshot='{"status": "Pending"}',
    )
    return replace(defaults, **overrides)


def new_notification(merchant: Merchant, event_id: str = "e1", **overrides: Any) -> NewNotification:
    defaults = NewNotification(
        psp_settings_id=merchant.psp_settings_id,
        event_id=event_id,
        merchant_id=merchant.id,
        raw=b'{"iban": "DE89370400440532013000"}',
        psp_ids=("pay_1", "ses_1"),
        headers={"X-Signature": "s3cret"},
    )
    return replace(defaults, **overrides)


async def stored_request(store: Store, merchant_id: str, transaction_id: str) -> dict[str, Any]:
    """Return the stored request of a transaction; raises `Erased`."""
    request = (await store.transactions.get_psp_call_data(merchant_id, transaction_id)).request
    if request is None:
        raise Erased(transaction_id)
    return request
