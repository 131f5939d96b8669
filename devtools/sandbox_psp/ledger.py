"""The ledger: one entry per movement, written in the movement's own transaction."""

import logging
from typing import Any, Literal

from devtools.sandbox_psp.clock import now_ms, to_iso
from devtools.sandbox_psp.db import Database
from devtools.sandbox_psp.money import to_major

EntryKind = Literal[
    "authorize", "capture", "charge", "refund", "void", "chargeback", "chargeback_reversal"
]

_log = logging.getLogger(__name__)


def book(
    db: Database,
    kind: EntryKind,
    *,
    account: str,
    reference: str,
    amount: int,
    currency: str,
    psp_id: str,
    key: str | None,
) -> None:
    """Write one entry; `amount` in minor units, `key` None when no API call caused it."""
    db.execute(
        "INSERT INTO ledger"
        " (account, reference, kind, amount, currency, psp_id, idempotency_key, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        account,
        reference,
        kind,
        amount,
        currency,
        psp_id,
        key,
        now_ms(),
    )
    _log.info("%s %s %s (%s)", kind, to_major(amount, currency), currency, psp_id)


def list_entries(db: Database, reference: str | None, kind: str | None) -> list[dict[str, Any]]:
    """Return entries in booking order; `amount` is a Decimal in major units with its scale."""
    rows = db.all(
        "SELECT * FROM ledger WHERE reference = coalesce(?, reference) AND kind = coalesce(?, kind)"
        " ORDER BY number",
        reference,
        kind,
    )
    return [
        {
            "reference": row["reference"],
            "kind": row["kind"],
            "amount": to_major(row["amount"], row["currency"]),
            "currency": row["currency"],
            "psp_id": row["psp_id"],
            "idempotency_key": row["idempotency_key"],
            "at": to_iso(row["at"]),
        }
        for row in rows
    ]
