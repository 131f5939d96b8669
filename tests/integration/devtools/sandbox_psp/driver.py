"""A real sandbox PSP process, a merchant's client for it, and a receiver of its webhooks."""

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tests.support.paths import ROOT

SETTLE_SECONDS = 0.3
SLOW_SECONDS = 1.0
VALID_CARD = "4242424242424242"
T = TypeVar("T")


def eventually(probe: Callable[[], T], seconds: float = 30.0) -> T:
    """Return the first truthy value of `probe`; fail after the timeout."""
    end = time.monotonic() + seconds
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"still {value!r} after {seconds} s")
        time.sleep(0.03)


class WebhookReceiver:
    """An HTTP server for webhooks; deliveries by path, and a number of failures to respond with."""

    def __init__(self) -> None:
        self.deliveries: dict[str, list[tuple[dict[str, str], bytes]]] = defaultdict(list)
        self.failures_left: dict[str, int] = defaultdict(int)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.deliveries[self.path].append((dict(self.headers), body))
                failing = receiver.failures_left[self.path] > 0
                receiver.failures_left[self.path] -= failing
                self.send_response(500 if failing else 204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Sandbox:
    """The process under test; it can be killed and restarted on the same data and port."""

    def __init__(self, data: Path, **environment: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.base = f"http://127.0.0.1:{port}"
        self.data = data
        self.environment = {
            **os.environ,
            "INTEGRATOR_SANDBOX_PORT": str(port),
            "INTEGRATOR_DATA_DIR": str(data),
            "SANDBOX_SETTLE_SECONDS": str(SETTLE_SECONDS),
            "SANDBOX_SLOW_SECONDS": str(SLOW_SECONDS),
            **environment,
        }
        self.receiver = WebhookReceiver()
        self.http = httpx.Client(base_url=self.base, timeout=10)
        self.log = data / "log"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "devtools.sandbox_psp"],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        eventually(self._is_ready, 20)

    def _is_ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self.http.get("/healthz").status_code == 200
        assert self.process.poll() is None, self.log.read_text()
        return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def close(self) -> None:
        if self.process.poll() is None:
            self.kill()
        self.http.close()
        self.receiver.close()


@contextlib.contextmanager
def running_sandbox(data: Path, **environment: str) -> Iterator[Sandbox]:
    """Start a sandbox with its own database."""
    sandbox = Sandbox(data, **environment)
    try:
        sandbox.start()
        yield sandbox
    finally:
        sandbox.close()


class MerchantClient:
    """A merchant with an account, a webhook URL and new references."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.http = sandbox.http
        self.key = secrets.token_hex(8)
        self.secret = secrets.token_hex(8)
        self.path = f"/{self.key}"
        account = {
            "api_key": self.key,
            "webhook_secret": self.secret,
            "webhook_url": sandbox.receiver.url + self.path,
        }
        self.account = self.http.put("/_control/accounts", json=account).raise_for_status().json()

    @staticmethod
    def new_reference() -> str:
        return f"ref-{secrets.token_hex(6)}"

    def post(self, path: str, body: dict[str, Any], key: str | None = None) -> httpx.Response:
        headers = {
            "Authorization": f"Bearer {self.key}",
            "Idempotency-Key": key or secrets.token_hex(8),
        }
        return self.http.post(f"/v1{path}", json=body, headers=headers)

    def get(self, path: str, **query: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        return self.http.get(f"/v1{path}", params=query, headers=headers).raise_for_status().json()

    def card(self, number: str = VALID_CARD, **more: str) -> str:
        body = {"api_key": self.key, "card": number, **more}
        response = self.http.post("/_control/payment_methods", json=body).raise_for_status()
        return str(response.json()["id"])

    def mandate(self, iban: str) -> str:
        body = {"reference": self.new_reference(), "holder": "Erika Mustermann", "iban": iban}
        return str(self.post("/mandates", body).raise_for_status().json()["id"])

    def charge(
        self, amount: int, method: str | None = None, key: str | None = None, reference: str = ""
    ) -> httpx.Response:
        body = {
            "reference": reference or self.new_reference(),
            "amount": amount,
            "currency": "EUR",
            "payment_method": method or self.card(),
        }
        return self.post("/charges", body, key)

    def authorization(self, amount: int) -> dict[str, Any]:
        body = {
            "reference": self.new_reference(),
            "amount": amount,
            "currency": "EUR",
            "payment_method": self.card(),
        }
        authorization: dict[str, Any] = self.post("/authorizations", body).raise_for_status().json()
        return authorization

    def session(self, **more: Any) -> dict[str, Any]:
        body = {
            "reference": self.new_reference(),
            "mode": "authorize",
            "amount": 4990,
            "currency": "EUR",
            "success_url": "https://shop.example/ok?order=a%20b",
            "error_url": "https://shop.example/error",
            "cancel_url": "https://shop.example/cancel",
            **more,
        }
        session: dict[str, Any] = self.post("/checkout_sessions", body).raise_for_status().json()
        return session

    def ledger(self, reference: str) -> list[tuple[str, Decimal]]:
        response = self.http.get("/_control/ledger", params={"reference": reference})
        entries = json.loads(response.text, parse_float=Decimal)["entries"]
        return [(entry["kind"], entry["amount"]) for entry in entries]

    def received_events(self) -> list[dict[str, Any]]:
        """Return the received events after verifying their signatures."""
        events = []
        for headers, body in list(self.sandbox.receiver.deliveries[self.path]):
            timestamp, digest = headers["Sandbox-Signature"].split(",")
            signed = timestamp.removeprefix("t=").encode() + b"." + body
            expected = hmac.new(self.secret.encode(), signed, hashlib.sha256).hexdigest()
            assert digest == f"v1={expected}"
            assert abs(int(timestamp.removeprefix("t=")) - time.time()) < 60
            event = json.loads(body)
            assert headers["Sandbox-Event-Id"] == event["id"]
            events.append(event)
        return events

    def received_types(self, id: str) -> list[str]:
        """Return the types of an object's received events in order of arrival."""
        return [event["type"] for event in self.received_events() if event["data"]["id"] == id]

    def wait_for_events(self, id: str, *types: str) -> None:
        eventually(lambda: set(types) <= set(self.received_types(id)))

    def fault(self, kind: str, **more: Any) -> str:
        response = self.http.post(
            "/_control/faults", json={"kind": kind, **more}
        ).raise_for_status()
        return str(response.json()["id"])
