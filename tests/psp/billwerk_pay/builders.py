"""Calls of the port and objects of Billwerk+ Pay, with defaults that fit together."""

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


def data(name: str, **changes: Any) -> dict[str, Any]:
    """One of the bodies under `data`, members changed; None removes one."""
    body: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text())
    return {k: v for k, v in {**body, **changes}.items() if v is not None}


def error(code: int, status: int = 400, **values: Any) -> tuple[int, dict[str, Any]]:
    return status, data("error", **{"code": code, "http_status": status, **values})


def webhook(secret: str = SECRET, **changes: Any) -> bytes:
    body = data("webhook", **changes)
    signed = f"{body['timestamp']}{body['id']}".encode()
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return json.dumps({"signature": digest, **body}).encode()


class Psp:
    """Answers by method and path, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], list[tuple[int, Any]]] = {}
        self.requests: list[httpx.Request] = []

    def on(self, method: str, path: str, *answers: tuple[int, Any] | Any) -> "Psp":
        """Answer so; the last answer is repeated. An object alone is an HTTP 200."""
        self.answers[(method, path)] = [a if isinstance(a, tuple) else (200, a) for a in answers]
        return self

    def connect(self, **form: str) -> Connection:
        http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        # A key of its own, and with it a budget.
        own = settings(**{"PrivateKey": f"priv_{uuid4().hex}", **form})
        return BillwerkPayAdapter().connect(own, http)

    def sent(self, method: str, path: str) -> list[dict[str, Any]]:
        """The bodies sent there."""
        found = [r for r in self.requests if (r.method, self._path(r)) == (method, path)]
        return [json.loads(r.content) if r.content else {} for r in found]

    def asked(self) -> list[str]:
        return [f"{r.method} {self._path(r)}" for r in self.requests]

    @staticmethod
    def _path(request: httpx.Request) -> str:
        checkout = "checkout" if request.url.host.startswith("checkout-api") else ""
        return checkout + request.url.path.removeprefix("/v1")

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        known = self.answers.get((request.method, self._path(request)))
        if known is None:
            status, body = error(8, 404)
        else:
            status, body = known.pop(0) if len(known) > 1 else known[0]
        if isinstance(body, str):
            return httpx.Response(status, text=body)
        return httpx.Response(status, json=body)
