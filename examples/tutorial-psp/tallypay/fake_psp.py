"""A fake TallyPay as an object of this process, with scripted outcomes and a readable ledger."""

import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import httpx

from integrator.psp.conformance.harness import Delivery

PENDING_SECONDS = 0.02
# The last two digits of an amount select its outcome.
SUCCEEDS_LATE, FAILS_LATE, INSUFFICIENT_FUNDS = 5, 6, 1


@dataclass
class RequestRefused(Exception):
    """A request that TallyPay refuses."""

    status: int
    code: str


@dataclass
class FakeTallyPay:
    """One account; `ledger` holds what was booked, `deliveries` what was sent."""

    token: str
    sign: Any
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    responses: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    ledger: list[dict[str, Any]] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)

    def handle(self, request: httpx.Request) -> httpx.Response:
        """Handle a request."""
        self.process_pending()
        try:
            if request.headers.get("Authorization") != f"Token {self.token}":
                raise RequestRefused(401, "bad_token")
            path = request.url.raw_path.decode().partition("?")[0]
            parts = [unquote(part) for part in path.split("/")[1:]]
            if request.method == "GET":
                return httpx.Response(200, json=self._find(parts))
            return self._respond_idempotently(parts[0], request)
        except RequestRefused as refusal:
            problem = {"code": refusal.code, "text": "Refused by TallyPay."}
            return httpx.Response(refusal.status, json={"problem": problem})

    def process_pending(self) -> None:
        """Decide the pending objects that are due."""
        for item in self.objects.values():
            if item["state"] == "pending" and time.monotonic() >= item["due"]:
                item["state"] = "failed" if item["ending"] == FAILS_LATE else "done"
                item["problem"] = {"code": "refused"}
                self._book_and_notify(item)

    def _find(self, parts: list[str]) -> dict[str, Any]:
        if parts == ["account"]:
            return {"id": "acc_1"}
        kind, name = parts
        for item in self.objects.values():
            if item["kind"] == kind and name in (item["id"], f"ref:{item['reference']}"):
                return item
        raise RequestRefused(404, "unknown")

    def _respond_idempotently(self, kind: str, request: httpx.Request) -> httpx.Response:
        """Return the first response to a key for all its repetitions."""
        key = request.headers["Request-Key"]
        if key not in self.responses:
            created = self._create(kind, json.loads(request.content))
            self.responses[key] = (201, json.loads(json.dumps(created)))
        status, body = self.responses[key]
        return httpx.Response(status, json=body)

    def _create(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        item = {"id": f"{kind[:3]}_{uuid4().hex}", "kind": kind, "state": "active", **body}
        if kind != "mandates":
            self._check_request(kind, body)
            ending = body["amount"] % 100
            is_pending = kind == "payments" or ending in (SUCCEEDS_LATE, FAILS_LATE)
            item |= {"state": "pending" if is_pending else "done", "ending": ending}
            item["due"] = time.monotonic() + PENDING_SECONDS
        self.objects[item["id"]] = item
        if item["state"] != "pending":
            self._book_and_notify(item)
        return item

    def _check_request(self, kind: str, body: dict[str, Any]) -> None:
        if body["amount"] % 100 == INSUFFICIENT_FUNDS:
            raise RequestRefused(422, "no_funds")
        parent = self.objects.get(body.get("mandate") or body.get("payment") or "")
        if parent is None:
            raise RequestRefused(422, "no_mandate" if kind == "payments" else "refused")
        if kind == "refunds" and self._refunded_amount(parent) + body["amount"] > parent["amount"]:
            raise RequestRefused(422, "too_much")

    def _refunded_amount(self, payment: dict[str, Any]) -> int:
        refunds = [r for r in self.objects.values() if r.get("payment") == payment["id"]]
        return sum(r["amount"] for r in refunds if r["state"] != "failed")

    def _book_and_notify(self, item: dict[str, Any]) -> None:
        if item["state"] == "done":
            self.ledger.append(item)
        # A thin event: the object's state has to be fetched.
        kind = item["kind"].removesuffix("s")
        event = {"event": f"ev_{uuid4().hex}", "kind": kind, "id": item["id"]}
        body = json.dumps({**event, "reference": item["reference"]}).encode()
        self.deliveries.append(self.sign(Delivery({}, body)))
