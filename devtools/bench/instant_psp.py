"""`python -m devtools.bench.instant_psp`: a PSP that answers at once, in the sandbox PSP's own words.

What a PSP takes is not the integrator's, and the sandbox PSP writes a ledger to disk on the same
machine. This one keeps nothing but the ids it has given, so that a repetition gets the same one.
Amounts that end in `.05` stay pending, as there.
"""

import asyncio
import contextlib
import hashlib
import hmac
import itertools
import json
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from devtools.bench.http import Answer, Message, serving

API_KEY = "sk_sandbox_bench"
WEBHOOK_SECRET = "whsec_bench"  # noqa: S105 - of a PSP that exists for the time of a measurement
CARD = "pm_bench"

_METHOD = {
    "id": CARD,
    "type": "card",
    "status": "active",
    "customer": "cus_bench",
    "card": {
        "brand": "Visa",
        "country": "DE",
        "exp_month": "12",
        "exp_year": "2034",
        "holder": "Mia Kern",
        "last4": "4242",
        "masked": "424242******4242",
    },
}


class Psp:
    """One account with one card."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._given: dict[str, dict[str, Any]] = {}

    async def handle(self, request: Message) -> Answer:
        """Answer one request."""
        method, target = request.target
        path = target.partition("?")[0].removeprefix("/v1/").split("/")
        if method == "GET":
            return _read(path)
        key = request.headers.get("idempotency-key", "")
        made = self._given.get(key)
        if made is None:
            made = self._given[key] = self._make(path, json.loads(request.body))
        return 201, json.dumps(made).encode()

    def _make(self, path: list[str], wanted: dict[str, Any]) -> dict[str, Any]:
        common = {
            "reference": wanted["reference"],
            "amount": wanted["amount"],
            "currency": wanted.get("currency", "EUR"),
            "created_at": datetime.now(UTC).isoformat(),
        }
        if path == ["authorizations"]:
            until = datetime.now(UTC) + timedelta(days=7)
            held = {"status": "authorized", "expires_at": until.isoformat()}
            return {**common, **held, "id": f"auth_{next(self._numbers)}"}
        captured = path[1] if path[0] == "authorizations" else None
        pending = wanted["amount"] % 100 == 5
        made = charge(f"ch_{next(self._numbers)}", common)
        return made | {"authorization": captured, **({"status": "pending"} if pending else {})}


def charge(id: str, common: dict[str, Any]) -> dict[str, Any]:
    """A charge that has succeeded."""
    return {**common, "id": id, "status": "succeeded", "booked_on": f"{datetime.now(UTC):%Y-%m-%d}"}


def settled(id: str, reference: str, minor: int) -> tuple[bytes, dict[str, str]]:
    """The notification that a pending charge has succeeded, with its signature."""
    data = charge(id, {"reference": reference, "amount": minor, "currency": "EUR"})
    event = {"id": f"evt_{id}", "type": "charge.succeeded", "data": data}
    body, at = json.dumps(event).encode(), int(time.time())
    digest = hmac.new(WEBHOOK_SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return body, {"sandbox-signature": f"t={at},v1={digest.hexdigest()}"}


def _read(path: list[str]) -> Answer:
    if path == ["account"]:
        digest = hashlib.sha256(WEBHOOK_SECRET.encode()).hexdigest()
        return 200, json.dumps({"id": "acc_bench", "webhook_secret_sha256": digest}).encode()
    if path == ["payment_methods", CARD]:
        return 200, json.dumps(_METHOD).encode()
    # Reconciliation finds nothing to compare.
    return 200, json.dumps({"data": [], "next": None, "has_more": False}).encode()


async def _serve() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with serving(Psp().handle, int(os.environ["INTEGRATOR_SANDBOX_PORT"])):
        await stop.wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve())
