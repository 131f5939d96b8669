"""Measure what a batch of events takes in the store: `python -m devtools.bench.notification_batch`.

A webhook of GoCardless with 250 events is verified, stored and parked in a new SQLite file. It is
measured twice: with each event's own JSON, and with the whole body for every event, as for an
adapter whose events have no `raw`.
"""

import asyncio
import hashlib
import hmac
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from integrator.crypto.keys import KeyRing
from integrator.psp.gocardless import ADAPTER
from integrator.psp.gocardless.settings import GoCardlessSettings
from integrator.psp.types import NotificationEvent
from integrator.store import Store
from integrator.store.migrate import upgrade
from integrator.transactions.notification_delivery import NotificationDelivery, NotificationMessage

EVENTS = 250
_SECRET = secrets.token_urlsafe(24)


@dataclass(frozen=True)
class BatchFigures:
    """Size of the body and growth of the store in bytes, and the time from body to storage."""

    body: int
    stored: int
    seconds: float


def build_webhook(count: int = EVENTS) -> bytes:
    """Return a webhook of failed payments, each with metadata of another shop."""
    events = [
        {
            "id": f"EV{number:014}",
            "created_at": "2026-01-15T09:00:00.000Z",
            "resource_type": "payments",
            "action": "failed",
            "links": {"payment": f"PM{number:014}"},
            "details": {
                "origin": "bank",
                "cause": "insufficient_funds",
                "description": "The customer's account had insufficient funds to make the payment.",
                "scheme": "sepa_core",
                "reason_code": "AM04",
                "will_attempt_retry": False,
            },
            "metadata": {},
            "resource_metadata": {"order": f"order-{number}"},
        }
        for number in range(count)
    ]
    return json.dumps({"events": events, "meta": {"webhook_id": "WB123"}}).encode()


async def measure(folder: Path, body: bytes, *, own_json: bool) -> BatchFigures:
    """Store the webhook in a new database in the folder."""
    url = f"sqlite+aiosqlite:///{folder / 'store.db'}"
    await upgrade(url)
    form = {"AccessToken": "sandbox_bench", "WebhookSecret": _SECRET}
    settings = GoCardlessSettings.model_validate(form)
    digest = hmac.new(_SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"Webhook-Signature": digest}
    ring = KeyRing({"bench": secrets.token_bytes(32)})
    async with Store(url, ring) as store:
        merchant = await store.merchants.add("bench", "gocardless")
    size_before = _size(folder)
    async with Store(url, ring) as store:
        started = time.perf_counter()
        parsed = ADAPTER.parse_notification(settings, headers, body, datetime.now(UTC))
        message = NotificationMessage(merchant, "notification", body, headers)
        await _store(store, message, parsed if own_json else _without_raw(parsed))
        seconds = time.perf_counter() - started
    return BatchFigures(len(body), _size(folder) - size_before, seconds)


async def _store(
    store: Store, message: NotificationMessage, events: Sequence[NotificationEvent]
) -> None:
    # No transaction is known, so that none is signalled.
    delivery = NotificationDelivery(store, transaction_client=None)  # type: ignore[arg-type]
    await delivery.park_unknown(await delivery.store_events(message, events))


def _without_raw(events: Sequence[NotificationEvent]) -> Sequence[NotificationEvent]:
    return [event.model_copy(update={"raw": None}) for event in events]


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def main() -> None:
    """Print the figures of both ways."""
    body = build_webhook()
    for name, own_json in (("each event's own JSON", True), ("the whole body per event", False)):
        with tempfile.TemporaryDirectory() as folder:
            figures = asyncio.run(measure(Path(folder), body, own_json=own_json))
        sys.stdout.write(
            f"{EVENTS} events, {figures.body / 1024:.0f} KB, {name}: "
            f"{figures.stored / 2**20:.1f} MB stored in {figures.seconds:.2f} s\n"
        )


if __name__ == "__main__":
    main()
