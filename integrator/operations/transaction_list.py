"""Lists of transactions, page by page."""

import base64
import binascii
import json
from datetime import datetime
from typing import Any

from integrator.admin.errors import OperatorError
from integrator.store.database import Store
from integrator.store.models import Filter, PageCursor, TransactionSummary

COLUMNS = ("Merchant", "Transaction", "Kind", "Status", "Amount", "Webhook", "Attention", "Created")


async def page(
    store: Store, wanted: Filter, cursor: str | None, limit: int
) -> tuple[list[TransactionSummary], str | None]:
    """The newest that meet the conditions, and where the next page begins; None: nowhere."""
    after = place(cursor) if cursor else None
    rows = await store.search(wanted, after=after, limit=limit + 1)
    more = rows[limit - 1].place if len(rows) > limit else None
    return rows[:limit], cursor_of(more) if more else None


def cursor_of(at: PageCursor) -> str:
    """A place as an opaque text."""
    parts = [at.created_at.isoformat(), at.transaction_id, at.merchant_id]
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


def place(cursor: str) -> PageCursor:
    """The place behind a cursor; raises `OperatorError`."""
    try:
        created_at, transaction_id, merchant_id = json.loads(base64.urlsafe_b64decode(cursor))
        return PageCursor(datetime.fromisoformat(created_at), str(transaction_id), str(merchant_id))
    except (binascii.Error, TypeError, ValueError):
        raise OperatorError("This is no cursor of an earlier page.") from None


def cells(row: TransactionSummary) -> tuple[str, ...]:
    """A line of the table."""
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


def document(rows: list[TransactionSummary], cursor: str | None) -> dict[str, Any]:
    """For programs; `cursor` is null on the last page."""
    return {"transactions": rows, "cursor": cursor}
