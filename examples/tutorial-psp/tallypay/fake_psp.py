"""TallyPay as an object: enough of it to be talked to, told to fail, and read behind its back."""

import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import httpx

from integrator.psp.conformance.harness import Delivery

SETTLE_SECONDS = 0.02
# The last two digits of an amount decide what becomes of it.
LATE, FAILS_LATE, NO_FUNDS = 5, 6, 1


@dataclass
class Refused(Exception):
    """What TallyPay does not do."""

    status: int
    code: str


@dataclass
class TallyPay:
    """One account; `books` holds what was really booked, `deliveries` what was sent."""

    token: str
    sign: Any
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    books: list[dict[str, Any]] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)

    def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        self.settle()
        try:
            if request.headers.get("Authorization") != f"Token {self.token}":
                raise Refused(401, "bad_token")
            path = request.url.raw_path.decode().partition("?")[0]
            parts = [unquote(part) for part in path.split("/")[1:]]
            if request.method == "GET":
                return httpx.Response(200, json=self._read(parts))
            return self._once(parts[0], request)
        except Refused as refused:
            problem = {"code": refused.code, "text": "TallyPay says no."}
            return httpx.Response(refused.status, json={"problem": problem})

    def settle(self) -> None:
        """Decide what is due."""
        for made in self.objects.values():
            if made["state"] == "pending" and time.monotonic() >= made["due"]:
                made["state"] = "failed" if made["ending"] == FAILS_LATE else "done"
                made["problem"] = {"code": "refused"}
                self._book(made)

    def _read(self, parts: list[str]) -> dict[str, Any]:
        if parts == ["account"]:
            return {"id": "acc_1"}
        kind, name = parts
        for made in self.objects.values():
            if made["kind"] == kind and name in (made["id"], f"ref:{made['reference']}"):
                return made
        raise Refused(404, "unknown")

    def _once(self, kind: str, request: httpx.Request) -> httpx.Response:
        """The first answer to a key is the answer to all its repetitions."""
        key = request.headers["Request-Key"]
        if key not in self.answers:
            body = json.loads(request.content)
            self.answers[key] = (201, json.loads(json.dumps(self._make(kind, body))))
        status, answer = self.answers[key]
        return httpx.Response(status, json=answer)

    def _make(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        made = {"id": f"{kind[:3]}_{uuid4().hex}", "kind": kind, "state": "active", **body}
        if kind != "mandates":
            self._check(kind, body)
            ending = body["amount"] % 100
            late = kind == "payments" or ending in (LATE, FAILS_LATE)
            made |= {"state": "pending" if late else "done", "ending": ending}
            made["due"] = time.monotonic() + SETTLE_SECONDS
        self.objects[made["id"]] = made
        if made["state"] != "pending":
            self._book(made)
        return made

    def _check(self, kind: str, body: dict[str, Any]) -> None:
        if body["amount"] % 100 == NO_FUNDS:
            raise Refused(422, "no_funds")
        parent = self.objects.get(body.get("mandate") or body.get("payment") or "")
        if parent is None:
            raise Refused(422, "no_mandate" if kind == "payments" else "refused")
        if kind == "refunds" and self._given_back(parent) + body["amount"] > parent["amount"]:
            raise Refused(422, "too_much")

    def _given_back(self, payment: dict[str, Any]) -> int:
        refunds = [r for r in self.objects.values() if r.get("payment") == payment["id"]]
        return sum(r["amount"] for r in refunds if r["state"] != "failed")

    def _book(self, made: dict[str, Any]) -> None:
        if made["state"] == "done":
            self.books.append(made)
        # A thin event: what has become of the object has to be fetched.
        kind = made["kind"].removesuffix("s")
        event = {"event": f"ev_{uuid4().hex}", "kind": kind, "id": made["id"]}
        body = json.dumps({**event, "reference": made["reference"]}).encode()
        self.deliveries.append(self.sign(Delivery({}, body)))
