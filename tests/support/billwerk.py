"""A stand-in for the billing platform: calls the API and receives change notifications."""

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

from tests.support.serving import Serving

TYPES = {"preauth": 1, "payment": 2, "refund": 3}
RETURN_URLS = {
    "successReturnUrl": "https://shop.example/ok?from=checkout",
    "errorReturnUrl": "https://shop.example/error",
    "abortReturnUrl": "https://shop.example/abort",
}


Reply = int | tuple[int, Mapping[str, str]]
"""A status, or a status with headers."""


@dataclass(frozen=True)
class Attempt:
    """A notification that came in, `at` on the monotonic clock, and what it was answered."""

    at: float
    body: dict[str, Any]
    status: int


def new_id() -> str:
    """A transaction id as the platform makes them."""
    return f"{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(12)}"


class Billwerk(Serving):
    """One merchant's view: `client` is authorised, `webhooks` is what was accepted, in order.

    `answer` decides how each notification is answered; it may be replaced while running.
    `attempts` holds the refused ones as well.
    """

    def __init__(self, api: str, token: str) -> None:
        self.client = httpx.Client(
            base_url=api, headers={"Authorization": f"Bearer {token}"}, timeout=30
        )
        self.webhooks: list[dict[str, Any]] = []
        self.attempts: list[Attempt] = []
        self.answer: Callable[[dict[str, Any]], Reply] = lambda body: 200
        super().__init__()

    @property
    def webhook_target(self) -> str:
        """Where notifications are to be sent."""
        return f"{self.base}/hook"

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
        """A card sign-up through the checkout page, unless changed."""
        return {
            **self._common("119.00"),
            "paymentMeansReference": {"role": "CreditCard", **RETURN_URLS},
            "agreementId": agreement_id,
            "isInitial": True,
            **changes,
        }

    def debit_preauth(self, agreement_id: str, iban: str, **changes: Any) -> dict[str, Any]:
        """A direct-debit sign-up."""
        means = {"role": "Debit", "initialBearer": {"Holder": "Mia Kern", "IBAN": iban}}
        return self.preauth(agreement_id, **{"paymentMeansReference": means, **changes})

    def payment(self, agreement_id: str, amount: str, **changes: Any) -> dict[str, Any]:
        """A recurring card payment."""
        return {
            **self._common(amount),
            "paymentMeansReference": {"role": "CreditCard"},
            "agreementId": agreement_id,
            **changes,
        }

    def debit(self, agreement_id: str, amount: str, **changes: Any) -> dict[str, Any]:
        """A recurring direct debit."""
        means = {"role": "Debit"}
        due = f"{datetime.now(UTC):%Y-%m-%d}"
        body = {"paymentMeansReference": means, "plannedExecutionDate": due, **changes}
        return self.payment(agreement_id, amount, **body)

    def refund(self, payment_id: str, amount: str, **changes: Any) -> dict[str, Any]:
        """A refund."""
        return {
            "transactionId": new_id(),
            "requestedAmount": amount,
            "currency": "EUR",
            "webhookTarget": self.webhook_target,
            "paymentTransactionId": payment_id,
            **changes,
        }

    def _common(self, amount: str) -> dict[str, Any]:
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
        """The present state."""
        return self.client.get(f"/api/{resource}/{id}")

    def finalize(self, id: str) -> httpx.Response:
        """The customer came back."""
        return self.post("Preauth/Finalize", {"transactionId": id, "finalizationData": {}})

    def sign_up_card(
        self, agreement_id: str, card: str = "4242424242424242", **changes: Any
    ) -> dict[str, Any]:
        """A whole card sign-up through the checkout page; returns the request."""
        body = self.preauth(agreement_id, **changes)
        opened = self.post("Preauth", body)
        opened.raise_for_status()
        pay_at_checkout(opened.json()["redirectUrl"], card)
        self.finalize(body["transactionId"]).raise_for_status()
        return body

    def sign_up_debit(self, agreement_id: str, iban: str) -> dict[str, Any]:
        """A whole direct-debit sign-up; returns the request."""
        body = self.debit_preauth(agreement_id, iban)
        self.post("Preauth", body).raise_for_status()
        return body

    # --- notifications --------------------------------------------------------------------

    def received(self, id: str) -> list[dict[str, Any]]:
        """The notifications about one transaction."""
        return [webhook for webhook in self.webhooks if webhook["TransactionId"] == id]

    def wait_for(self, resource: str, id: str, status: str, seconds: float = 20) -> dict[str, Any]:
        """GET until the transaction has `status`; returns its last body."""
        deadline = time.monotonic() + seconds
        while True:
            body: dict[str, Any] = self.get(resource, id).json()
            if body.get("status") == status:
                return body
            if time.monotonic() > deadline:
                raise AssertionError(f"{id} is {body.get('status')}, not {status}: {body}")
            time.sleep(0.1)

    def wait_for_webhook(self, id: str, count: int = 1, seconds: float = 20) -> None:
        """Wait until at least `count` notifications about the transaction came."""
        deadline = time.monotonic() + seconds
        while len(self.received(id)) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{id}: {len(self.received(id))} notifications, not {count}")
            time.sleep(0.05)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                reply = outer.answer(body)
                status, headers = (reply, {}) if isinstance(reply, int) else reply
                outer.attempts.append(Attempt(time.monotonic(), body, status))
                if 200 <= status < 300:
                    outer.webhooks.append(body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Quiet."""

        return Receiver


def pay_at_checkout(url: str, card: str, action: str = "pay", **fields: str) -> httpx.Response:
    """Fill in the checkout form as a browser would; the answer is not followed."""
    form = {"card_number": card, "holder": "Mia Kern", "expiry": "12/34", "cvc": "123"}
    return httpx.post(url, data={**form, **fields, "action": action}, follow_redirects=False)
