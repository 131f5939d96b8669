"""Identifiers as the platform makes them."""

import secrets
from datetime import UTC, datetime
from urllib.parse import quote


def transaction_id() -> str:
    """A new transaction id: the day, and 24 hex digits."""
    return f"{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(12)}"


def agreement_id() -> str:
    """A new agreement id."""
    return secrets.token_hex(12)


def workflow_url(ui: str, namespace: str, merchant: str, kind: str, id: str) -> str:
    """Where the Temporal UI shows the workflow of a transaction."""
    workflow = quote(f"{merchant}/{kind}/{id}", safe="")
    return f"{ui}/namespaces/{quote(namespace, safe='')}/workflows/{workflow}"
