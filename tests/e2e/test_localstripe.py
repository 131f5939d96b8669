"""The Stripe adapter against localstripe, a fake of Stripe's API made by others.

localstripe is under the GPL and so runs as a process of a Python of its own, which the variable
`LOCALSTRIPE_PYTHON` names; nothing of it is imported. It speaks an older API and leaves things out.
The adapter is not bent to that: `Older` stands between them and takes away or adds what is named
there, each with its reason. It has no idempotency, checkouts, mandates, disputes and searches.
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
from integrator.psp.conformance.receiver import receiving
from integrator.psp.port import Connection
from integrator.psp.stripe import StripeAdapter
from integrator.psp.stripe.config import StripeConfig
from integrator.psp.stripe.settings import StripeSettings
from integrator.psp.types import Approved, Declined, FactKind, Instrument, Outcome, Pending
from tests.psp import builders

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

# Parameters that it does not know, by the last part of the path.
UNKNOWN = {
    "payment_intents": ("allowed_payment_method_types", "description"),
    "confirm": ("off_session", "payment_method_options"),
    "capture": ("metadata",),
    "cancel": ("cancellation_reason",),
}


class Older(httpx.AsyncHTTPTransport):
    """Between the adapter and an API that is older than the adapter's."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        gone = UNKNOWN.get(request.url.path.rpartition("/")[2], ())
        form = parse_qsl(request.content.decode())
        known = [(name, text) for name, text in form if not name.startswith(gone or ("\0",))]
        headers = {k: v for k, v in request.headers.items() if k.lower() != "content-length"}
        content = urlencode(known).encode() if form else b""
        sent = httpx.Request(request.method, request.url, headers=headers, content=content)
        response = await super().handle_async_request(sent)
        body = json.loads(await response.aread())
        return httpx.Response(response.status_code, json=completed(body), request=request)


def completed(shown: Any) -> Any:
    """Members that it leaves out though every version of the API has them."""
    if isinstance(shown, list):
        return [completed(one) for one in shown]
    if not isinstance(shown, dict):
        return shown
    whole = {name: completed(value) for name, value in shown.items()}
    if whole.get("object") == "charge":
        taken = whole["amount"] - whole["amount_refunded"] if whole["captured"] else 0
        whole = {"amount_captured": taken, "disputed": False, **whole}
    if whole.get("object") == "payment_intent":
        charge = whole["latest_charge"] or {}
        received = charge.get("amount_captured", 0) if whole["status"] == "succeeded" else 0
        whole = {"amount_received": received, **whole}
        if whole["last_payment_error"] is not None:
            whole["last_payment_error"] = {"type": "card_error", **whole["last_payment_error"]}
    return whole


@dataclass
class LocalStripe:
    """The running fake, and the adapter connected to it."""

    url: str
    http: httpx.AsyncClient
    adapter: StripeAdapter
    settings: StripeSettings
    connection: Connection

    async def post(self, path: str, **form: Any) -> dict[str, Any]:
        """Call the fake past the adapter."""
        answer = await self.http.post(f"{self.url}/{path}", data=form, auth=("sk_test_local", ""))
        shown: dict[str, Any] = answer.raise_for_status().json()
        return shown

    async def get(self, path: str) -> dict[str, Any]:
        """Read the fake past the adapter."""
        answer = await self.http.get(f"{self.url}/{path}", auth=("sk_test_local", ""))
        shown: dict[str, Any] = answer.raise_for_status().json()
        return shown

    async def stored(self, **form: Any) -> Instrument:
        """A payment method of a new customer."""
        method = await self.post("v1/payment_methods", **form)
        customer = await self.post("v1/customers", email="mia.kern@example.org")
        await self.post(f"v1/payment_methods/{method['id']}/attach", customer=customer["id"])
        token = {"payment_method": method["id"], "customer": customer["id"]}
        return Instrument(token=token, bearer={})

    async def card(self, number: str = "4242424242424242") -> Instrument:
        """A stored card."""
        card = {"number": number, "exp_month": 12, "exp_year": 2030, "cvc": "123"}
        return await self.stored(type="card", **{f"card[{k}]": v for k, v in card.items()})

    async def debit(self, iban: str = builders.GOOD_IBAN) -> Instrument:
        """A stored bank account."""
        form = {"sepa_debit[iban]": iban, "billing_details[name]": "Mia Kern"}
        return await self.stored(type="sepa_debit", **form)


@pytest.fixture(scope="session")
def _from_the_start() -> None:
    """The stack of the other tests here is not needed."""


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
        httpx.AsyncClient(transport=Older(), timeout=10) as wire,
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

    taken = await local.connection.capture(builders.capture("6.00", of=held.psp_id or ""))
    assert moved(taken) == [(FactKind.PAID, Decimal("6.00"))]
    assert isinstance(taken, Approved)
    charge = await local.get(f"v1/charges/{taken.psp_id}")
    assert (charge["captured"], charge["amount"] - charge["amount_refunded"]) == (True, 600)

    given = await local.connection.refund(builders.refund("2.00", of=taken.psp_id or ""))
    assert moved(given) == [(FactKind.REFUNDED, Decimal("2.00"))]
    charge = await local.get(f"v1/charges/{taken.psp_id}")
    assert charge["amount_refunded"] == 600  # 400 were let go of, 200 were given back


async def test_a_payment_and_its_refund(local: LocalStripe) -> None:
    call = builders.charge("19.90", instrument=await local.card())
    paid = await local.connection.charge(call)
    assert moved(paid) == [(FactKind.PAID, Decimal("19.90"))]
    found = await local.connection.fetch_payment(builders.lookup(call.reference, paid.psp_id))
    assert found == paid
    refund = builders.refund("19.90", of=paid.psp_id or "")
    given = await local.connection.refund(refund)
    again = await local.connection.fetch_refund(builders.lookup(refund.reference, given.psp_id))
    assert again == given


async def test_a_reservation_is_given_back(local: LocalStripe) -> None:
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


async def test_a_card_that_wants_the_customer(local: LocalStripe) -> None:
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
    # It decides at once what goes well.
    assert isinstance(made, Pending if wanted is Declined else Approved)
    lookup = builders.lookup(call.reference, made.psp_id, role=Role.Debit)
    for _ in range(60):
        outcome = await local.connection.fetch_payment(lookup)
        if not isinstance(outcome, Pending):
            break
        await asyncio.sleep(0.1)
    assert isinstance(outcome, wanted)


async def test_a_customer_is_taken_over(local: LocalStripe) -> None:
    token = (await local.card()).token
    for migration in (token["payment_method"], f"{token['customer']}:{token['payment_method']}"):
        call = builders.authorize("0", migration_token=migration)
        outcome = await local.connection.authorize(call)
        assert isinstance(outcome, Approved)
        assert outcome.instrument is not None
        assert outcome.instrument.token == token


async def test_its_webhooks_are_believed(local: LocalStripe) -> None:
    async with receiving() as receiver:
        url = f"{receiver.url}/local"
        form = {"url": url, "secret": SECRET}
        kept = await local.http.post(f"{local.url}/_config/webhooks/kit", data=form)
        kept.raise_for_status()
        call = builders.charge("10.00", instrument=await local.card())
        paid = await local.connection.charge(call)
        for _ in range(60):
            notices = [
                notice
                for delivery in receiver.inbox["/local"]
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
