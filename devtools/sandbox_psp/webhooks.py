"""Send events to the merchant: signed, at least once, with growing delays for three days."""

import asyncio
import contextlib
import json
import sqlite3
import ssl
from typing import Any

import httpx

from devtools.sandbox_psp import accounts
from devtools.sandbox_psp.clock import now_ms, time_after, to_iso
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators import EMULATORS
from devtools.sandbox_psp.events import with_sequence

_RETRY_DELAYS = (1, 2, 4, 8, 15, 30, 60, 120, 300)
_MAX_AGE_MS = 3 * 24 * 3600 * 1000
_MAX_CONCURRENT = 32
_POLL_SECONDS = 0.05
_TIMEOUT_SECONDS = 10.0


class WebhookSender:
    """Send due deliveries from the database; unfinished ones are found there after a restart."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        # By object: events of one object are sent one after the other, in due order.
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._ca_file = ctx.settings.webhook_ca_file
        self._tls = ssl.create_default_context()
        # No proxy from the environment: webhooks of a development PSP go to this machine.
        self._http = httpx.AsyncClient(verify=self._tls, timeout=_TIMEOUT_SECONDS, trust_env=False)

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            while True:
                for row in self._due():
                    self._busy[row["subject"]] = asyncio.create_task(self._deliver(row))
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            await self._stop()

    async def _stop(self) -> None:
        running = list(self._busy.values())
        for task in running:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*running, return_exceptions=True)
        await self._http.aclose()

    def _due(self) -> list[sqlite3.Row]:
        rows = self._ctx.db.all(
            "SELECT d.*, e.sequence, e.body FROM deliveries d JOIN events e ON e.id = d.event"
            " WHERE d.state = 'pending' AND d.due_at <= ? ORDER BY d.due_at, d.number LIMIT ?",
            now_ms(),
            _MAX_CONCURRENT * 4,
        )
        first: dict[str, sqlite3.Row] = {}
        for row in rows:
            if row["subject"] not in self._busy:
                first.setdefault(row["subject"], row)
        return list(first.values())[: _MAX_CONCURRENT - len(self._busy)]

    async def _deliver(self, row: sqlite3.Row) -> None:
        try:
            await self._attempt(row)
        finally:
            del self._busy[row["subject"]]

    async def _attempt(self, row: sqlite3.Row) -> None:
        # Read now rather than when it was queued: the URL may have changed in between.
        account = accounts.get_by_id(self._ctx.db, row["account"])
        if account.webhook_url is None:
            self._finish(row, "undeliverable", "no webhook_url")
            return
        event = with_sequence(row["body"], row["sequence"])
        outgoing = EMULATORS[account.emulator].webhook(self._ctx, account, event)
        if outgoing is None:
            self._finish(row, "undeliverable", "not sent by this emulator")
            return
        headers = {"Content-Type": "application/json", **outgoing.headers}
        try:
            self._load_authority()
            response = await self._http.post(
                account.webhook_url, content=outgoing.body, headers=headers
            )
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            self._retry(row, type(error).__name__)
            return
        if response.is_success:
            self._finish(row, "delivered", str(response.status_code))
        else:
            self._retry(row, str(response.status_code))

    def _load_authority(self) -> None:
        """Trust the authority of `SANDBOX_WEBHOOK_CA_FILE` as soon as the file exists.

        Raises `OSError` for an unreadable file and for one that is no certificate.
        """
        if self._ca_file is not None and self._ca_file.exists():
            self._tls.load_verify_locations(self._ca_file)
            self._ca_file = None

    def _finish(self, row: sqlite3.Row, state: str, result: str) -> None:
        self._ctx.db.execute(
            "UPDATE deliveries SET state = ?, attempts = attempts + 1, last_result = ?"
            " WHERE number = ?",
            state,
            result,
            row["number"],
        )

    def _retry(self, row: sqlite3.Row, result: str) -> None:
        if now_ms() - row["created_at"] > _MAX_AGE_MS:
            self._finish(row, "given_up", result)
            return
        delay = _RETRY_DELAYS[min(row["attempts"], len(_RETRY_DELAYS) - 1)]
        self._ctx.db.execute(
            "UPDATE deliveries SET attempts = attempts + 1, due_at = ?, last_result = ?"
            " WHERE number = ?",
            time_after(delay),
            result,
            row["number"],
        )


def list_deliveries(ctx: Context, limit: int) -> list[dict[str, Any]]:
    """Return the deliveries with their state, newest first."""
    rows = ctx.db.all(
        "SELECT d.*, e.body FROM deliveries d JOIN events e ON e.id = d.event"
        " ORDER BY d.number DESC LIMIT ?",
        limit,
    )
    return [
        {
            "event": row["event"],
            "type": json.loads(row["body"])["type"],
            "account": row["account"],
            "state": row["state"],
            "attempts": row["attempts"],
            "created_at": to_iso(row["created_at"]),
            "due_at": to_iso(row["due_at"]),
            "last_result": row["last_result"],
        }
        for row in rows
    ]
