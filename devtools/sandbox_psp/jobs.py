"""Delayed jobs, stored in the database until they are done."""

import asyncio
import json
import logging
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, Literal

from devtools.sandbox_psp.clock import now_ms, time_after
from devtools.sandbox_psp.context import Context

JobKind = Literal[
    "settle_charge", "settle_refund", "charge_back", "expire_session", "expire_authorization"
]
Handler = Callable[[Context, dict[str, Any]], None]

_POLL_SECONDS = 0.05
_RETRY_SECONDS = 60

_log = logging.getLogger(__name__)


def schedule(ctx: Context, kind: JobKind, seconds: float, body: dict[str, Any]) -> None:
    """Schedule a job `seconds` from now; call it in the transaction that makes it necessary."""
    ctx.db.execute(
        "INSERT INTO jobs (kind, due_at, body) VALUES (?, ?, ?)",
        kind,
        time_after(seconds),
        json.dumps(body),
    )


def run_settlements_now(ctx: Context, reference: str) -> int:
    """Make the settlements of a reference's objects due now; return their number."""
    updated = ctx.db.execute(
        "UPDATE jobs SET due_at = ? WHERE kind IN ('settle_charge', 'settle_refund')"
        " AND json_extract(body, '$.id') IN (SELECT id FROM objects WHERE reference = ?)",
        now_ms(),
        reference,
    )
    return updated.rowcount


async def run(ctx: Context, handlers: Mapping[str, Handler]) -> None:
    """Run due jobs until cancelled."""
    while True:
        while (job := _next_due(ctx)) is not None:
            _run_job(ctx, job, handlers)
            # Requests must not wait for a long queue of jobs.
            await asyncio.sleep(0)
        await asyncio.sleep(_POLL_SECONDS)


def _next_due(ctx: Context) -> sqlite3.Row | None:
    return ctx.db.one(
        "SELECT * FROM jobs WHERE due_at <= ? ORDER BY due_at, number LIMIT 1", now_ms()
    )


def _run_job(ctx: Context, job: sqlite3.Row, handlers: Mapping[str, Handler]) -> None:
    try:
        with ctx.db.transaction():
            deleted = ctx.db.execute("DELETE FROM jobs WHERE number = ?", job["number"])
            # A stopping process on the same file may have taken the job first.
            if deleted.rowcount == 1:
                handlers[job["kind"]](ctx, json.loads(job["body"]))
    except Exception:  # noqa: BLE001 - one failing job must not stop the others
        _log.exception("job %s (%s) failed; retrying later", job["number"], job["kind"])
        ctx.db.execute(
            "UPDATE jobs SET due_at = ? WHERE number = ?", time_after(_RETRY_SECONDS), job["number"]
        )
