"""Serialize records for the native API."""

from typing import Any

from devtools.sandbox_psp.db import Database
from devtools.sandbox_psp.models import Authorization, CheckoutSession, Record
from devtools.sandbox_psp.repository import get, get_payment_method


def serialize(db: Database, record: Record) -> dict[str, Any]:
    """Return the record as the native API shows it, related objects included in full."""
    fields = record.public_fields()
    if isinstance(record, Authorization):
        fields["payment_method"] = get_payment_method(
            db, record.account, record.payment_method
        ).public_fields()
    if isinstance(record, CheckoutSession):
        if record.authorization is not None:
            authorization = get(db, Authorization, record.authorization)
            fields["authorization"] = serialize(db, authorization)
        if record.payment_method is not None:
            stored = get_payment_method(db, record.account, record.payment_method)
            fields["payment_method"] = stored.public_fields()
    return fields
