"""Builders of Billwerk+ Pay objects, and a fake PSP with canned responses."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from integrator.psp.billwerk_pay import BillwerkPayAdapter
from integrator.psp.billwerk_pay.settings import BillwerkPaySettings
from integrator.psp.port import Connection
from integrator.psp.types import Instrument

DATA = Path(__file__).parent / "data"
NOW = datetime(2026, 1, 15, 9, 0, 0, tzinfo=UTC)
SECRET = "webhook_secret_0123456789abcdef"
SETTINGS = {"PrivateKey": "priv_0123456789abcdef", "WebhookSecret": SECRET}
CARD = Instrument(token={"payment_method": "ca_1", "customer": "cust-1"}, bearer={})


def settings(**values: str) -> BillwerkPaySettings:
    return BillwerkPaySettings.model_validate({**SETTINGS, **values})


def load_body(name: str, **changes: Any) -> dict[str, Any]:
    """Load a body from `data` with changed members; None removes a member."""
    body: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text())
    return {k: v for k, v in {**body, **changes}.items() if v is not None}


def error_response(code: int, status: int = 400, **values: Any) -> tuple[int, dict[str, Any]]:
    return status, load_body("error", **{"code": code, "http_status": status, **values})


def webhook_body(secret: str = SECRET, **changes: Any) -> bytes:
    body = load_body("webhook", **changes)
    signed = f"{body['timestamp']}{body['id']}".encode()
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return json.dumps({"signature": digest, **body}).encode()


class FakePsp:
    """Fake PSP with responses by method and path; keeps the requests."""

    def __init__(self) -> None:
        self.responses: dict[tuple[str, str], list[tuple[int, Any]]] = {}
        self.requests: list[httpx.Request] = []

    def respond_to(self, method: str, path: str, *answers: tuple[int, Any] | Any) -> "FakePsp":
        """Set the responses; the last one is repeated. A body alone is an HTTP 200."""
        self.responses[(method, path)] = [a if isinstance(a, tuple) else (200, a) for a in answers]
        return self

    def connect(self, **form: str) -> Connection:
        http = httpx.AsyncClient(transport=httpx.MockTransport(self._respond))
        # A separate key has a separate rate limiter.
        account_settings = settings(**{"PrivateKey": f"priv_{uuid4().hex}", **form})
        return BillwerkPayAdapter().connect(account_settings, http)

    def request_bodies(self, method: str, path: str) -> list[dict[str, Any]]:
        """Return the bodies sent to a path."""
        requests = [r for r in self.requests if (r.method, self._path(r)) == (method, path)]
        return [json.loads(r.content) if r.content else {} for r in requests]

    def request_lines(self) -> list[str]:
        return [f"{r.method} {self._path(r)}" for r in self.requests]

    @staticmethod
    def _path(request: httpx.Request) -> str:
        checkout = "checkout" if request.url.host.startswith("checkout-api") else ""
        return checkout + request.url.path.removeprefix("/v1")

    def _respond(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        known = self.responses.get((request.method, self._path(request)))
        if known is None:
            status, body = error_response(8, 404)
        else:
            status, body = known.pop(0) if len(known) > 1 else known[0]
        if isinstance(body, str):
            return httpx.Response(status, text=body)
        return httpx.Response(status, json=body)
