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

ROOT = Path(__file__).parents[2]
SETTLE = 0.3
SLOW = 1.0
OK_CARD = "4242424242424242"
T = TypeVar("T")


def eventually(look: Callable[[], T], seconds: float = 6.0) -> T:
    """The first truthy value `look` gives; fails when the time is over."""
    end = time.monotonic() + seconds
    while True:
        value = look()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"still {value!r} after {seconds} s")
        time.sleep(0.03)


class Receiver:
    """An HTTP server that takes webhooks; one inbox per path, and failures to order."""

    def __init__(self) -> None:
        self.inbox: dict[str, list[tuple[dict[str, str], bytes]]] = defaultdict(list)
        self.failures: dict[str, int] = defaultdict(int)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.inbox[self.path].append((dict(self.headers), body))
                failing = receiver.failures[self.path] > 0
                receiver.failures[self.path] -= failing
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
    """The process under test; it can be killed and started again on the same data and port."""

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
            "SANDBOX_SETTLE_SECONDS": str(SETTLE),
            "SANDBOX_SLOW_SECONDS": str(SLOW),
            **environment,
        }
        self.receiver = Receiver()
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
        eventually(self._answers, 20)

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self.http.get("/healthz").status_code == 200
        assert self.process.poll() is None, self.log.read_text()
        return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=5)

    def close(self) -> None:
        if self.process.poll() is None:
            self.kill()
        self.http.close()
        self.receiver.close()


@contextlib.contextmanager
def running(data: Path, **environment: str) -> Iterator[Sandbox]:
    """A started sandbox with a database of its own."""
    sandbox = Sandbox(data, **environment)
    try:
        sandbox.start()
        yield sandbox
    finally:
        sandbox.close()


class Shop:
    """A merchant with an account, a webhook inbox and one reference after the other."""

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

    def card(self, number: str = OK_CARD, **more: str) -> str:
        body = {"api_key": self.key, "card": number, **more}
        made = self.http.post("/_control/payment_methods", json=body).raise_for_status()
        return str(made.json()["id"])

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
        made: dict[str, Any] = self.post("/authorizations", body).raise_for_status().json()
        return made

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
        made: dict[str, Any] = self.post("/checkout_sessions", body).raise_for_status().json()
        return made

    def ledger(self, reference: str) -> list[tuple[str, Decimal]]:
        answer = self.http.get("/_control/ledger", params={"reference": reference})
        entries = json.loads(answer.text, parse_float=Decimal)["entries"]
        return [(entry["kind"], entry["amount"]) for entry in entries]

    def inbox(self) -> list[dict[str, Any]]:
        """The events received, after checking each one's signature."""
        events = []
        for headers, body in list(self.sandbox.receiver.inbox[self.path]):
            moment, digest = headers["Sandbox-Signature"].split(",")
            signed = moment.removeprefix("t=").encode() + b"." + body
            expected = hmac.new(self.secret.encode(), signed, hashlib.sha256).hexdigest()
            assert digest == f"v1={expected}"
            assert abs(int(moment.removeprefix("t=")) - time.time()) < 60
            event = json.loads(body)
            assert headers["Sandbox-Event-Id"] == event["id"]
            events.append(event)
        return events

    def told(self, id: str) -> list[str]:
        """The types of the events received about one object, in the order of arrival."""
        return [event["type"] for event in self.inbox() if event["data"]["id"] == id]

    def wait_told(self, id: str, *types: str) -> None:
        eventually(lambda: set(types) <= set(self.told(id)))

    def fault(self, kind: str, **more: Any) -> str:
        made = self.http.post("/_control/faults", json={"kind": kind, **more}).raise_for_status()
        return str(made.json()["id"])
