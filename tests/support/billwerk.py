"""Simulated Billwerk+ for tests: calls the API and receives change notifications."""

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any

import httpx

from tests.support.http_server import HttpServer

WEBHOOK_TYPES = {"preauth": 1, "payment": 2, "refund": 3}
RETURN_URLS = {
    "successReturnUrl": "https://shop.example/ok?from=checkout",
    "errorReturnUrl": "https://shop.example/error",
    "abortReturnUrl": "https://shop.example/abort",
}


WebhookResponse = int | tuple[int, Mapping[str, str]]
"""Status, or status and headers."""


@dataclass(frozen=True)
class Attempt:
    """Received notification and its response status; `received_at` on the monotonic clock."""

    received_at: float
    body: dict[str, Any]
    status: int


def new_id() -> str:
    """Return a new transaction id in Billwerk+'s format."""
    return f"{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(12)}"


class Billwerk(HttpServer):
    """Client and webhook receiver of one merchant.

    `webhooks` are the accepted notifications in order; `attempts` includes the rejected ones.
    `respond` returns the response to each notification; it may be replaced while running.
    """

    def __init__(self, api: str, token: str) -> None:
        self.client = httpx.Client(
            base_url=api, headers={"Authorization": f"Bearer {token}"}, timeout=30
        )
        self.webhooks: list[dict[str, Any]] = []
        self.attempts: list[Attempt] = []
        self.respond: Callable[[dict[str, Any]], WebhookResponse] = lambda body: 200
        super().__init__()

    @property
    def webhook_target(self) -> str:
        """Return the webhook URL."""
        return f"{self.base_url}/hook"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self.client.close()

    # --- request bodies -------------------------------------------------------------------

    def preauth(self, agreement_id: str, **changes: Any) -> dict[str, Any]:
        """Return the body of a card sign-up through the checkout page, unless changed."""
        return {
            **self._common_fields("119.00"),
            "paymentMeansReference": {"role": "CreditCard", **RETURN_URLS},
            "agreementId": agreement_id,
            "isInitial": True,
            **changes,
        }

    def debit_preauth(self, agreement_id: str, iban: str, **changes: Any) -> dict[str, Any]:
        """Return the body of a direct-debit sign-up."""
        payment_means = {"role": "Debit", "initialBearer": {"Holder": "Mia Kern", "IBAN": iban}}
        return self.preauth(agreement_id, **{"paymentMeansReference": payment_means, **changes})

    def payment(self, agreement_id: str, amount: str, **changes: Any) -> dict[str, Any]:
        """Return the body of a recurring card payment."""
        return {
            **self._common_fields(amount),
            "paymentMeansReference": {"role": "CreditCard"},
            "agreementId": agreement_id,
            **changes,
        }

    def debit(self, agreement_id: str, amount: str, **changes: Any) -> dict[str, Any]:
        """Return the body of a recurring direct debit."""
        payment_means = {"role": "Debit"}
        due = f"{datetime.now(UTC):%Y-%m-%d}"
        body = {"paymentMeansReference": payment_means, "plannedExecutionDate": due, **changes}
        return self.payment(agreement_id, amount, **body)

    def refund(self, payment_id: str, amount: str, **changes: Any) -> dict[str, Any]:
        """Return the body of a refund."""
        return {
            "transactionId": new_id(),
            "requestedAmount": amount,
            "currency": "EUR",
            "webhookTarget": self.webhook_target,
            "paymentTransactionId": payment_id,
            **changes,
        }

    def _common_fields(self, amount: str) -> dict[str, Any]:
        id = new_id()
        return {
            "transactionId": id,
            "requestedAmount": amount,
            "currency": "EUR",
            "webhookTarget": self.webhook_target,
            "transactionReferenceText": f"{id} Basic plan KLMNO",
            "payerData": {
                "firstName": "Mia",
                "lastName": "Kern",
                "emailAddress": "mia.kern@example.org",
                "address": {"postalCode": "60311", "city": "Frankfurt am Main", "country": "DE"},
            },
        }

    # --- calls ----------------------------------------------------------------------------

    def post(self, resource: str, body: dict[str, Any]) -> httpx.Response:
        """POST to `Preauth`, `Payment`, `Refund` or a path below."""
        return self.client.post(f"/api/{resource}", json=body)

    def get(self, resource: str, id: str) -> httpx.Response:
        """GET the current state."""
        return self.client.get(f"/api/{resource}/{id}")

    def finalize(self, id: str) -> httpx.Response:
        """Finalize a preauth after the customer's return."""
        return self.post("Preauth/Finalize", {"transactionId": id, "finalizationData": {}})

    def sign_up_card(
        self, agreement_id: str, card: str = "4242424242424242", **changes: Any
    ) -> dict[str, Any]:
        """Sign up with a card through the checkout page; return the request body."""
        body = self.preauth(agreement_id, **changes)
        response = self.post("Preauth", body)
        response.raise_for_status()
        submit_checkout(response.json()["redirectUrl"], card)
        self.finalize(body["transactionId"]).raise_for_status()
        return body

    def sign_up_debit(self, agreement_id: str, iban: str) -> dict[str, Any]:
        """Sign up by direct debit; return the request body."""
        body = self.debit_preauth(agreement_id, iban)
        self.post("Preauth", body).raise_for_status()
        return body

    # --- notifications --------------------------------------------------------------------

    def webhooks_of(self, id: str) -> list[dict[str, Any]]:
        """Return the accepted notifications of one transaction."""
        return [webhook for webhook in self.webhooks if webhook["TransactionId"] == id]

    def wait_for(self, resource: str, id: str, status: str, seconds: float = 20) -> dict[str, Any]:
        """GET until the transaction has `status`; return the last body."""
        deadline = time.monotonic() + seconds
        while True:
            body: dict[str, Any] = self.get(resource, id).json()
            if body.get("status") == status:
                return body
            if time.monotonic() > deadline:
                raise AssertionError(f"{id} is {body.get('status')}, not {status}: {body}")
            time.sleep(0.1)

    def wait_for_webhook(self, id: str, count: int = 1, seconds: float = 20) -> None:
        """Wait until at least `count` notifications of the transaction were received."""
        deadline = time.monotonic() + seconds
        while len(self.webhooks_of(id)) < count:
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"{id}: {len(self.webhooks_of(id))} notifications, not {count}"
                )
            time.sleep(0.05)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        billwerk = self

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                reply = billwerk.respond(body)
                status, headers = (reply, {}) if isinstance(reply, int) else reply
                billwerk.attempts.append(Attempt(time.monotonic(), body, status))
                if 200 <= status < 300:
                    billwerk.webhooks.append(body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Log nothing."""

        return Receiver


def submit_checkout(url: str, card: str, action: str = "pay", **fields: str) -> httpx.Response:
    """Submit the checkout form as a browser would; return the response without redirecting."""
    form = {"card_number": card, "holder": "Mia Kern", "expiry": "12/34", "cvc": "123"}
    return httpx.post(url, data={**form, **fields, "action": action}, follow_redirects=False)
