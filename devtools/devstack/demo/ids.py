"""Identifiers in Billwerk+'s format."""

import secrets
from datetime import UTC, datetime
from urllib.parse import quote


def transaction_id() -> str:
    """Return a new transaction id: the day, and 24 hex digits."""
    return f"{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(12)}"


def agreement_id() -> str:
    """Return a new agreement id."""
    return secrets.token_hex(12)


def workflow_url(ui: str, namespace: str, merchant: str, kind: str, id: str) -> str:
    """Return the Temporal UI's URL of a transaction's workflow."""
    workflow = quote(f"{merchant}/{kind}/{id}", safe="")
    return f"{ui}/namespaces/{quote(namespace, safe='')}/workflows/{workflow}"
