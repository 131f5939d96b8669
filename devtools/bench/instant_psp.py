"""PSP with the sandbox PSP's API that responds at once: `python -m devtools.bench.instant_psp`.

The time a PSP takes must not count for the integrator, and the sandbox PSP writes a ledger to disk
on the same machine. This PSP stores only its responses by idempotency key, in memory. Amounts that
end in `.05` stay pending, as at the sandbox PSP.
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

from devtools.bench.http import Message, Response, http_server

API_KEY = "sk_sandbox_bench"
WEBHOOK_SECRET = "whsec_bench"  # noqa: S105 - of a PSP that only runs during a measurement
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


class InstantPsp:
    """PSP with one account and one card."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._responses: dict[str, dict[str, Any]] = {}

    async def handle(self, request: Message) -> Response:
        """Handle one request."""
        method, target = request.target
        path = target.partition("?")[0].removeprefix("/v1/").split("/")
        if method == "GET":
            return _get(path)
        key = request.headers.get("idempotency-key", "")
        response = self._responses.get(key)
        if response is None:
            response = self._responses[key] = self._create(path, json.loads(request.body))
        return 201, json.dumps(response).encode()

    def _create(self, path: list[str], fields: dict[str, Any]) -> dict[str, Any]:
        common = {
            "reference": fields["reference"],
            "amount": fields["amount"],
            "currency": fields.get("currency", "EUR"),
            "created_at": datetime.now(UTC).isoformat(),
        }
        if path == ["authorizations"]:
            until = datetime.now(UTC) + timedelta(days=7)
            authorization = {"status": "authorized", "expires_at": until.isoformat()}
            return {**common, **authorization, "id": f"auth_{next(self._numbers)}"}
        captured = path[1] if path[0] == "authorizations" else None
        pending = fields["amount"] % 100 == 5
        charged = build_charge(f"ch_{next(self._numbers)}", common)
        return charged | {"authorization": captured, **({"status": "pending"} if pending else {})}


def build_charge(id: str, common: dict[str, Any]) -> dict[str, Any]:
    """Return a succeeded charge."""
    return {**common, "id": id, "status": "succeeded", "booked_on": f"{datetime.now(UTC):%Y-%m-%d}"}


def charge_succeeded_event(id: str, reference: str, minor: int) -> tuple[bytes, dict[str, str]]:
    """Return body and signature header of the notification that a pending charge has succeeded."""
    data = build_charge(id, {"reference": reference, "amount": minor, "currency": "EUR"})
    event = {"id": f"evt_{id}", "type": "charge.succeeded", "data": data}
    body, at = json.dumps(event).encode(), int(time.time())
    digest = hmac.new(WEBHOOK_SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return body, {"sandbox-signature": f"t={at},v1={digest.hexdigest()}"}


def _get(path: list[str]) -> Response:
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
    async with http_server(InstantPsp().handle, int(os.environ["INTEGRATOR_SANDBOX_PORT"])):
        await stop.wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve())
