"""Test the whole stack with the Stripe adapter and localstripe, within that fake's limits.

It has no hosted checkout, so customers come by migration, and no account to be verified.
"""

import asyncio
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import uvicorn

from devtools.campaign.stack import free_ports
from tests.e2e.stack.test_localstripe import PYTHON, SECRET, OlderApiTransport, localstripe
from tests.support.billwerk import Billwerk, new_id
from tests.support.paths import ROOT
from tests.support.stack import Stack

__all__ = ["localstripe"]

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not PYTHON, reason="LOCALSTRIPE_PYTHON names no Python with localstripe"),
]

ACCOUNT = {"object": "account", "id": "acct_local", "capabilities": {}}


class LocalStripeProxy:
    """HTTP proxy in front of localstripe with `OlderApiTransport` and an account."""

    def __init__(self, target: str) -> None:
        self._target = target

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        status, content = await self._respond(scope, body)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _respond(self, scope: Any, body: bytes) -> tuple[int, bytes]:
        if scope["path"] == "/v1/account":
            return 200, httpx.Response(200, json=ACCOUNT).content
        query = scope["query_string"].decode()
        forwarded = {"authorization", "content-type", "idempotency-key"}
        headers = [(n, v) for n, v in scope["headers"] if n.decode().lower() in forwarded]
        async with httpx.AsyncClient(transport=OlderApiTransport(), timeout=10) as client:
            url = f"{self._target}{scope['path']}" + (f"?{query}" if query else "")
            answer = await client.request(scope["method"], url, headers=headers, content=body)
        return answer.status_code, answer.content


@pytest.fixture(scope="module")
def proxy_url(localstripe: str) -> Iterator[str]:
    """The proxy's URL, which the adapter uses."""
    [port] = free_ports(1)
    config = uvicorn.Config(
        LocalStripeProxy(localstripe), port=port, log_level="error", lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


@dataclass
class StripeMerchant:
    """A merchant whose PSP is Stripe."""

    billwerk: Billwerk
    fake: httpx.Client

    def customer(self, card: str) -> str:
        """Create a customer at localstripe; return it as a migration token."""
        fields = {"number": card, "exp_month": 12, "exp_year": 2030, "cvc": "123"}
        form = {"type": "card", **{f"card[{k}]": v for k, v in fields.items()}}
        method = self._create("payment_methods", form)
        customer = self._create("customers", {"email": "mia.kern@example.org"})
        self._create(f"payment_methods/{method}/attach", {"customer": customer})
        return f"{customer}:{method}"

    def signed_up(self, card: str = "4242424242424242") -> str:
        """Create an agreement of a migrated customer."""
        agreement = new_id()
        body = self.billwerk.preauth(
            agreement, requestedAmount="0", migrationToken=self.customer(card)
        )
        assert self.billwerk.post("Preauth", body).json()["status"] == "Succeeded"
        return agreement

    def _create(self, path: str, form: dict[str, Any]) -> str:
        answer = self.fake.post(f"/v1/{path}", data=form)
        return str(answer.raise_for_status().json()["id"])


@pytest.fixture(scope="module")
def stripe_merchant(
    proxy_url: str,
    localstripe: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[StripeMerchant]:
    """A separate stack with a merchant created by the command line."""
    folder = tmp_path_factory.mktemp("localstripe") / "data"
    stack = Stack(folder, {"INTEGRATOR_STRIPE_URL": proxy_url})
    try:
        stack.start()
        added = command(stack, "merchant", "add", "shop", "--psp", "stripe")
        token = command(stack, "token", "issue", "shop").strip()
        route = re.search(r"/api/notifications/stripe/[0-9a-f]+", added)
        assert route is not None
        fake = httpx.Client(base_url=localstripe, auth=("sk_test_local", ""), trust_env=False)
        webhook = {"url": f"{stack.run['api']}{route[0]}", "secret": SECRET}
        with fake, Billwerk(stack.run["api"], token) as billwerk:
            fake.post("/_config/webhooks/stack", data=webhook).raise_for_status()
            values = {"ApiKey": "sk_test_local", "WebhookSecret": SECRET}
            entries = [{"keyName": k, "keyValue": v} for k, v in values.items()]
            saved = billwerk.client.put("/api/Settings", json={"merchantSettings": entries})
            assert saved.json()["isCreditCardValid"], saved.text
            yield StripeMerchant(billwerk, fake)
    finally:
        stack.stop()


def command(stack: Stack, *arguments: str) -> str:
    line = [sys.executable, "-m", "integrator.cli", *arguments]
    done = subprocess.run(
        line, cwd=ROOT, env=stack.env, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def test_a_customers_payments(stripe_merchant: StripeMerchant) -> None:
    billwerk, agreement = stripe_merchant.billwerk, stripe_merchant.signed_up()
    paid = billwerk.payment(agreement, "20.00")
    assert billwerk.post("Payment", paid).json()["status"] == "Succeeded"
    refund = billwerk.refund(paid["transactionId"], "5.00")
    assert billwerk.post("Refund", refund).json()["status"] == "Succeeded"
    payment = billwerk.get("Payment", paid["transactionId"]).json()
    assert (payment["refundedAmount"], payment["refundableAmount"]) == (5, 15)

    upgrade = billwerk.preauth(agreement, requestedAmount="30.00", isInitial=False)
    authorized = billwerk.post("Preauth", upgrade).json()
    assert (authorized["status"], authorized["authorizedAmount"]) == ("Succeeded", 30)
    capture = billwerk.payment(agreement, "12.00", preauthTransactionId=upgrade["transactionId"])
    captured = billwerk.post("Payment", capture).json()
    assert (captured["status"], captured["payments"][0]["amount"]) == ("Succeeded", 12)


def test_a_repeated_request_books_nothing_more(stripe_merchant: StripeMerchant) -> None:
    """localstripe has no idempotency: the integrator itself must not send twice."""
    billwerk, agreement = stripe_merchant.billwerk, stripe_merchant.signed_up()
    body = billwerk.payment(agreement, "7.00")
    answers = [billwerk.post("Payment", body).json()["status"] for _ in range(3)]
    assert answers == ["Succeeded"] * 3
    listed = stripe_merchant.fake.get("/v1/payment_intents", params={"limit": 100}).json()["data"]
    assert sum(intent["amount"] == 700 for intent in listed) == 1


def test_a_declined_card(stripe_merchant: StripeMerchant) -> None:
    billwerk, agreement = stripe_merchant.billwerk, stripe_merchant.signed_up("4000000000000341")
    answer = billwerk.post("Payment", billwerk.payment(agreement, "9.00"))
    assert answer.status_code == 422
    assert answer.json()["errorCode"] == "Rejected"
    assert answer.json()["pspErrorCode"] == "card_declined"


def test_a_cancelled_authorization(stripe_merchant: StripeMerchant) -> None:
    billwerk, agreement = stripe_merchant.billwerk, stripe_merchant.signed_up()
    upgrade = billwerk.preauth(agreement, requestedAmount="30.00", isInitial=False)
    assert billwerk.post("Preauth", upgrade).json()["status"] == "Succeeded"
    cancel = billwerk.client.post(f"/api/Preauth/{upgrade['transactionId']}/Cancel")
    assert cancel.json()["cancellationStatus"] == "Succeeded", cancel.text
