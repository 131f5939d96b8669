"""Lists of transactions, page by page."""

import base64
import binascii
import json
from datetime import datetime
from typing import Any

from integrator.admin.errors import OperatorError
from integrator.store.database import Store
from integrator.store.models import PageCursor, TransactionFilter, TransactionSummary

COLUMNS = ("Merchant", "Transaction", "Kind", "Status", "Amount", "Webhook", "Attention", "Created")


async def read_page(
    store: Store, conditions: TransactionFilter, cursor: str | None, limit: int
) -> tuple[list[TransactionSummary], str | None]:
    """Return the newest matching transactions and the next page's cursor, None on the last page."""
    after = decode_cursor(cursor) if cursor else None
    rows = await store.transaction_search.list_summaries(conditions, after=after, limit=limit + 1)
    next_place = rows[limit - 1].cursor if len(rows) > limit else None
    return rows[:limit], encode_cursor(next_place) if next_place else None


def encode_cursor(at: PageCursor) -> str:
    """Encode a cursor as opaque text."""
    parts = [at.created_at.isoformat(), at.transaction_id, at.merchant_id]
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


def decode_cursor(cursor: str) -> PageCursor:
    """Decode a cursor; raises `OperatorError`."""
    try:
        created_at, transaction_id, merchant_id = json.loads(base64.urlsafe_b64decode(cursor))
        return PageCursor(datetime.fromisoformat(created_at), str(transaction_id), str(merchant_id))
    except (binascii.Error, TypeError, ValueError):
        raise OperatorError(f"Invalid cursor {cursor!r}: use the one of an earlier page.") from None


def table_row(row: TransactionSummary) -> tuple[str, ...]:
    """Return a row of the table."""
    return (
        row.merchant_id,
        row.transaction_id,
        row.kind,
        row.status,
        f"{row.requested_amount} {row.currency}",
        row.webhook or "-",
        "needed" if row.needs_attention else "",
        f"{row.created_at:%Y-%m-%d %H:%M:%S}",
    )


def to_document(rows: list[TransactionSummary], cursor: str | None) -> dict[str, Any]:
    """Return the JSON document; `cursor` is null on the last page."""
    return {"transactions": rows, "cursor": cursor}
