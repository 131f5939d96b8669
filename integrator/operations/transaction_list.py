"""Lists of transactions, page by page."""

import base64
import binascii
import json
from dataclasses import replace
from datetime import datetime
from typing import Any

from integrator.admin.errors import OperatorError
from integrator.store.database import Store
from integrator.store.models import PageCursor, TransactionFilter, TransactionSummary
from integrator.transactions.workflow_inputs import read_state
from workflows.state import PaymentState

COLUMNS = ("Merchant", "Transaction", "Kind", "Status", "Amount", "Webhook", "Attention", "Created")

WAITING_COLUMNS = ("Merchant", "Transaction", "PSP", "Amount", "Day", "Sent at (UTC)")


async def read_page(
    store: Store, conditions: TransactionFilter, cursor: str | None, limit: int
) -> tuple[list[TransactionSummary], str | None]:
    """Return the newest matching transactions and the next page's cursor, None on the last page."""
    after = decode_cursor(cursor) if cursor else None
    rows = await store.transaction_search.list_summaries(conditions, after=after, limit=limit + 1)
    next_place = rows[limit - 1].cursor if len(rows) > limit else None
    page = rows[:limit]
    if conditions.waiting:
        page = [await _with_day(store, row) for row in page]
    return page, encode_cursor(next_place) if next_place else None


async def _with_day(store: Store, summary: TransactionSummary) -> TransactionSummary:
    """Return the summary of a debit with its day, from the encrypted state."""
    row = await store.transactions.get(summary.merchant_id, summary.transaction_id)
    state = read_state(row.kind, row.snapshot) if row is not None else None
    day = state.due_date if isinstance(state, PaymentState) else None
    return replace(summary, due_date=day)


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


def waiting_row(row: TransactionSummary) -> tuple[str, ...]:
    """Return a row of the table of debits that wait: for which day, and when each is sent."""
    return (
        row.merchant_id,
        row.transaction_id,
        row.psp,
        f"{row.requested_amount} {row.currency}",
        f"{row.due_date}" if row.due_date else "",
        f"{row.send_at:%Y-%m-%d %H:%M:%S}" if row.send_at else "",
    )


def to_document(rows: list[TransactionSummary], cursor: str | None) -> dict[str, Any]:
    """Return the JSON document; `cursor` is null on the last page."""
    return {"transactions": rows, "cursor": cursor}
