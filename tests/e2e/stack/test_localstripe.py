"""Test the Stripe adapter with localstripe, a third-party fake of Stripe's API.

localstripe is under the GPL and therefore runs as a separate process of the Python named by the
variable `LOCALSTRIPE_PYTHON`; nothing of it is imported. Its API is older and incomplete. The
adapter is not changed for it: `OlderApiTransport` removes or adds what is listed there, each with
its reason. localstripe has no idempotency, checkouts, mandates, disputes and searches.
"""

import asyncio
import json
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
import pytest
from pydantic import HttpUrl

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.conformance.receiver import running_receiver
from integrator.psp.port import Connection
from integrator.psp.stripe import StripeAdapter
from integrator.psp.stripe.config import StripeConfig
from integrator.psp.stripe.settings import StripeSettings
from integrator.psp.types import Approved, Declined, FactKind, Instrument, Outcome, Pending
from tests.integration.integrator.psp import builders

PYTHON = os.environ.get("LOCALSTRIPE_PYTHON", "")
SECRET = "whsec_localstripe"
SERVE = (
    "import sys; from aiohttp import web; from localstripe import server;"
    " web.run_app(server.app, host='127.0.0.1', port=int(sys.argv[1]), print=None)"
)
LATE_FAILURE = "DE62370400440532013001"

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not PYTHON, reason="LOCALSTRIPE_PYTHON names no Python with localstripe"),
]

# Parameters that localstripe does not support, by the last part of the path.
UNKNOWN = {
    "payment_intents": ("allowed_payment_method_types", "description"),
    "confirm": ("off_session", "payment_method_options"),
    "capture": ("metadata",),
    "cancel": ("cancellation_reason",),
}


class OlderApiTransport(httpx.AsyncHTTPTransport):
    """Transport that adapts the adapter's requests and the responses to localstripe's older API."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        unknown = UNKNOWN.get(request.url.path.rpartition("/")[2], ())
        form = parse_qsl(request.content.decode())
        supported = [(name, text) for name, text in form if not name.startswith(unknown or ("\0",))]
        headers = {k: v for k, v in request.headers.items() if k.lower() != "content-length"}
        content = urlencode(supported).encode() if form else b""
        forwarded = httpx.Request(request.method, request.url, headers=headers, content=content)
        response = await super().handle_async_request(forwarded)
        body = json.loads(await response.aread())
        return httpx.Response(response.status_code, json=complete(body), request=request)


def complete(content: Any) -> Any:
    """Add members that localstripe omits although every version of the API has them."""
    if isinstance(content, list):
        return [complete(item) for item in content]
    if not isinstance(content, dict):
        return content
    result = {name: complete(value) for name, value in content.items()}
    if result.get("object") == "charge":
        captured = result["amount"] - result["amount_refunded"] if result["captured"] else 0
        result = {"amount_captured": captured, "disputed": False, **result}
    if result.get("object") == "payment_intent":
        charge = result["latest_charge"] or {}
        received = charge.get("amount_captured", 0) if result["status"] == "succeeded" else 0
        result = {"amount_received": received, **result}
        if result["last_payment_error"] is not None:
            result["last_payment_error"] = {"type": "card_error", **result["last_payment_error"]}
    return result


@dataclass
class LocalStripe:
    """The running localstripe and the adapter connected to it."""

    url: str
    http: httpx.AsyncClient
    adapter: StripeAdapter
    settings: StripeSettings
    connection: Connection

    async def post(self, path: str, **form: Any) -> dict[str, Any]:
        """POST to localstripe without the adapter."""
        answer = await self.http.post(f"{self.url}/{path}", data=form, auth=("sk_test_local", ""))
        content: dict[str, Any] = answer.raise_for_status().json()
        return content

    async def get(self, path: str) -> dict[str, Any]:
        """GET from localstripe without the adapter."""
        answer = await self.http.get(f"{self.url}/{path}", auth=("sk_test_local", ""))
        content: dict[str, Any] = answer.raise_for_status().json()
        return content

    async def store_method(self, **form: Any) -> Instrument:
        """Create a payment method of a new customer."""
        method = await self.post("v1/payment_methods", **form)
        customer = await self.post("v1/customers", email="mia.kern@example.org")
        await self.post(f"v1/payment_methods/{method['id']}/attach", customer=customer["id"])
        token = {"payment_method": method["id"], "customer": customer["id"]}
        return Instrument(token=token, bearer={})

    async def card(self, number: str = "4242424242424242") -> Instrument:
        """Create a stored card."""
        card = {"number": number, "exp_month": 12, "exp_year": 2030, "cvc": "123"}
        return await self.store_method(type="card", **{f"card[{k}]": v for k, v in card.items()})

    async def debit(self, iban: str = builders.GOOD_IBAN) -> Instrument:
        """Create a stored bank account."""
        form = {"sepa_debit[iban]": iban, "billing_details[name]": "Mia Kern"}
        return await self.store_method(type="sepa_debit", **form)


@pytest.fixture(scope="session")
def _start_background() -> None:
    """Disable the background scenarios: the stack is not needed here."""


@pytest.fixture(scope="module")
def localstripe() -> Iterator[str]:
    """The address of a running localstripe."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen([PYTHON, "-c", SERVE, str(port)], stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and process.poll() is None:
                try:
                    httpx.get(url, trust_env=False)
                    break
                except httpx.TransportError:
                    time.sleep(0.1)
            else:
                pytest.fail("localstripe did not start")
            yield url
        finally:
            process.terminate()


@pytest.fixture
async def local(localstripe: str) -> AsyncIterator[LocalStripe]:
    """The adapter connected to localstripe."""
    form = {"ApiKey": "sk_test_local", "WebhookSecret": SECRET}
    settings = StripeSettings.model_validate(form)
    adapter = StripeAdapter(StripeConfig.model_construct(url=HttpUrl(localstripe)))
    async with (
        httpx.AsyncClient(timeout=10, trust_env=False) as http,
        httpx.AsyncClient(transport=OlderApiTransport(), timeout=10) as wire,
    ):
        connection = adapter.connect(settings, wire)
        yield LocalStripe(localstripe, http, adapter, settings, connection)


def moved(outcome: Outcome | None) -> list[tuple[FactKind, Decimal]]:
    assert isinstance(outcome, Approved)
    return [(fact.kind, fact.amount) for fact in outcome.facts]


async def test_a_card_from_reservation_to_refund(local: LocalStripe) -> None:
    card = await local.card()
    call = builders.authorize("10.00", initial=False, instrument=card)
    held = await local.connection.authorize(call)
    assert moved(held) == [(FactKind.AUTHORIZED, Decimal("10.00"))]
    assert isinstance(held, Approved)
    assert held.instrument is not None
    assert held.instrument.token == card.token
    assert held.instrument.bearer["Last4"] == "4242"
    found = await local.connection.fetch_authorization(builders.lookup(call.reference, held.psp_id))
    assert found == held

    captured = await local.connection.capture(
        builders.capture("6.00", authorization_id=held.psp_id or "")
    )
    assert moved(captured) == [(FactKind.PAID, Decimal("6.00"))]
    assert isinstance(captured, Approved)
    charge = await local.get(f"v1/charges/{captured.psp_id}")
    assert (charge["captured"], charge["amount"] - charge["amount_refunded"]) == (True, 600)

    given = await local.connection.refund(builders.refund("2.00", payment_id=captured.psp_id or ""))
    assert moved(given) == [(FactKind.REFUNDED, Decimal("2.00"))]
    charge = await local.get(f"v1/charges/{captured.psp_id}")
    assert charge["amount_refunded"] == 600  # 400 were released, 200 refunded


async def test_a_payment_and_its_refund(local: LocalStripe) -> None:
    call = builders.charge("19.90", instrument=await local.card())
    paid = await local.connection.charge(call)
    assert moved(paid) == [(FactKind.PAID, Decimal("19.90"))]
    found = await local.connection.fetch_payment(builders.lookup(call.reference, paid.psp_id))
    assert found == paid
    refund = builders.refund("19.90", payment_id=paid.psp_id or "")
    given = await local.connection.refund(refund)
    again = await local.connection.fetch_refund(builders.lookup(refund.reference, given.psp_id))
    assert again == given


async def test_an_authorization_is_voided(local: LocalStripe) -> None:
    call = builders.authorize("10.00", initial=False, instrument=await local.card())
    held = await local.connection.authorize(call)
    void = builders.void(held.psp_id or "", ref=call.reference)
    assert isinstance(await local.connection.void(void), Approved)
    assert (await local.get(f"v1/payment_intents/{held.psp_id}"))["status"] == "canceled"


async def test_a_declined_card(local: LocalStripe) -> None:
    call = builders.charge("10.00", instrument=await local.card("4000000000000341"))
    declined = await local.connection.charge(call)
    assert isinstance(declined, Declined)
    assert (declined.code, declined.psp_code) == (Code.Rejected, "card_declined")


async def test_a_card_that_requires_authentication(local: LocalStripe) -> None:
    call = builders.charge("10.00", instrument=await local.card("4000002500003155"))
    declined = await local.connection.charge(call)
    assert isinstance(declined, Declined)
    assert (declined.code, declined.psp_code) == (Code.Rejected, "authentication_required")


@pytest.mark.parametrize(
    ("iban", "wanted"), [(builders.GOOD_IBAN, Approved), (LATE_FAILURE, Declined)]
)
async def test_a_debit_is_decided_later(
    local: LocalStripe, iban: str, wanted: type[Outcome]
) -> None:
    call = builders.charge("49.90", role=Role.Debit, instrument=await local.debit(iban))
    made = await local.connection.charge(call)
    # localstripe decides a success immediately.
    assert isinstance(made, Pending if wanted is Declined else Approved)
    lookup = builders.lookup(call.reference, made.psp_id, role=Role.Debit)
    for _ in range(60):
        outcome = await local.connection.fetch_payment(lookup)
        if not isinstance(outcome, Pending):
            break
        await asyncio.sleep(0.1)
    assert isinstance(outcome, wanted)


async def test_a_customer_is_migrated(local: LocalStripe) -> None:
    token = (await local.card()).token
    for migration in (token["payment_method"], f"{token['customer']}:{token['payment_method']}"):
        call = builders.authorize("0", migration_token=migration)
        outcome = await local.connection.authorize(call)
        assert isinstance(outcome, Approved)
        assert outcome.instrument is not None
        assert outcome.instrument.token == token


async def test_its_webhooks_are_verified(local: LocalStripe) -> None:
    async with running_receiver() as receiver:
        url = f"{receiver.url}/local"
        form = {"url": url, "secret": SECRET}
        kept = await local.http.post(f"{local.url}/_config/webhooks/kit", data=form)
        kept.raise_for_status()
        call = builders.charge("10.00", instrument=await local.card())
        paid = await local.connection.charge(call)
        for _ in range(60):
            notices = [
                notice
                for delivery in receiver.deliveries["/local"]
                for notice in local.adapter.parse_notification(
                    local.settings, delivery.headers, delivery.body, datetime.now(UTC)
                )
            ]
            mine = [notice for notice in notices if notice.reference == call.reference]
            if mine:
                break
            await asyncio.sleep(0.1)
    [notice] = mine
    assert paid.psp_id in notice.psp_ids
    assert notice.result is None, "its events are of another version: Stripe is asked"
