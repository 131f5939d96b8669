"""Events: the list the merchant can page through, and the webhook deliveries of them."""

import json
from collections.abc import Sequence
from typing import Any

from devtools.sandbox_psp.clock import now_ms, time_after, to_iso
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.faults import Fault
from devtools.sandbox_psp.ids import new_id
from devtools.sandbox_psp.models import Record
from devtools.sandbox_psp.serializers import serialize

# Long enough for the response of the causing call to arrive first, usually.
RESPONSE_FIRST_SECONDS = 0.3
_REORDER_SECONDS = 2.0
_FAILED_ATTEMPT_SECONDS = 1.0
# A noisy success is sent three times, and its older pending event in between.
_NOISY_SUCCESS_DELAYS = (0.3, 0.6, 0.75)
_NOISY_PENDING_DELAYS = (0.45,)


def emit(
    ctx: Context, name: str, record: Record, delays: Sequence[float] = (RESPONSE_FIRST_SECONDS,)
) -> None:
    """Store an event of a record and send it once per delay (seconds from now).

    Call it in the transaction of the change, after the record was saved.
    """
    id, created_ms = new_id("evt"), now_ms()
    body = {
        "id": id,
        "type": name,
        "created_at": to_iso(created_ms),
        "data": serialize(ctx.db, record),
    }
    ctx.db.execute(
        "INSERT INTO events (id, account, body) VALUES (?, ?, ?)",
        id,
        record.account,
        json.dumps(body, ensure_ascii=False),
    )
    for delay in delays:
        _enqueue(ctx, id, record, delay)


def emit_noisily(ctx: Context, name: str, pending_record: Record, record: Record) -> None:
    """Send a success three times, with the older `pending` event arriving after the first."""
    emit(ctx, f"{record.kind}.pending", pending_record, _NOISY_PENDING_DELAYS)
    emit(ctx, name, record, _NOISY_SUCCESS_DELAYS)


def list_page(ctx: Context, account: str, after_cursor: int, limit: int) -> dict[str, Any]:
    """Return up to `limit` events behind a cursor, oldest first; `next` is the next cursor."""
    rows = ctx.db.all(
        "SELECT sequence, body FROM events WHERE account = ? AND sequence > ?"
        " ORDER BY sequence LIMIT ?",
        account,
        after_cursor,
        limit + 1,
    )
    page_rows = rows[:limit]
    last = page_rows[-1]["sequence"] if page_rows else after_cursor
    return {
        "data": [with_sequence(row["body"], row["sequence"]) for row in page_rows],
        "next": str(last) if last else None,
        "has_more": len(rows) > limit,
    }


def with_sequence(body: str, sequence: int) -> dict[str, Any]:
    """Return the stored event with its sequence number, known only once it was stored."""
    event: dict[str, Any] = json.loads(body)
    return {**event, "sequence": sequence}


def _enqueue(ctx: Context, event: str, record: Record, delay: float) -> None:
    state, attempts, copies = "pending", 0, 1
    for fault in ctx.faults.draw("webhook", record.reference):
        if fault.kind == "drop_webhook":
            state = "dropped"
        elif fault.kind == "duplicate":
            copies = 2
        elif fault.kind in ("drop", "error"):
            attempts, delay = 1, delay + _FAILED_ATTEMPT_SECONDS
        else:
            delay += _fault_delay(fault)
    for _ in range(copies):
        ctx.db.execute(
            "INSERT INTO deliveries (event, subject, account, state, attempts, created_at, due_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            event,
            record.id,
            record.account,
            state,
            attempts,
            now_ms(),
            time_after(delay),
        )


def _fault_delay(fault: Fault) -> float:
    return _REORDER_SECONDS if fault.seconds is None else fault.seconds
