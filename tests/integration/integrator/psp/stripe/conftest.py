"""Fixture: a merchant at the Stripe emulator, with validation of every request and response."""

import importlib.util
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import HttpUrl

from integrator.psp.port import Connection
from integrator.psp.stripe import StripeAdapter
from integrator.psp.stripe.client import VERSION
from integrator.psp.stripe.config import StripeConfig
from integrator.psp.stripe.settings import StripeSettings
from integrator.psp.types import Instrument
from tests.integration.integrator.psp.stripe import contract

HAS_STRIPE_PACKAGE = importlib.util.find_spec("stripe") is not None


class CheckedTransport(httpx.AsyncHTTPTransport):
    """Transport that validates and keeps requests and responses."""

    def __init__(self) -> None:
        super().__init__(trust_env=False)
        self.requests: list[httpx.Request] = []
        self.responses: list[Any] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        assert request.headers["Stripe-Version"] == VERSION
        assert contract.get_route(request) in contract.PARAMETERS, contract.get_route(request)
        if HAS_STRIPE_PACKAGE:
            assert contract.find_request_errors(request) == []
        response = await super().handle_async_request(request)
        body = json.loads(await response.aread())
        self.responses.append(body)
        if response.is_success:
            assert contract.find_shape_errors(body) == []
        return response


@dataclass
class StripeMerchant:
    """Account at the emulator, with the actions of its customers and their banks."""

    url: str
    http: httpx.AsyncClient
    transport: CheckedTransport
    key: str
    secret: str
    settings: StripeSettings
    adapter: StripeAdapter
    connection: Connection

    async def call_control(self, path: str, **body: Any) -> Any:
        """Call the emulator's control API."""
        response = await self.http.post(f"{self.url}/_control/{path}", json=body)
        response.raise_for_status()
        return response.json() if response.content else None

    async def register_webhook(self, webhook_url: str | None = None) -> None:
        """Create the account, or set the URL of its webhooks."""
        account = {
            "api_key": self.key,
            "webhook_secret": self.secret,
            "webhook_url": webhook_url,
            "dialect": "stripe",
        }
        (await self.http.put(f"{self.url}/_control/accounts", json=account)).raise_for_status()

    async def create_stored_card(self, number: str = "4242424242424242") -> Instrument:
        """Store a card for a customer."""
        stored = await self.call_control("payment_methods", api_key=self.key, card=number)
        token = {"payment_method": stored["id"], "customer": stored["customer"]}
        return Instrument(token=token, bearer={})

    async def visit_page(self, url: str | None, number: str | None = "4242424242424242") -> str:
        """Pay on the hosted page, or cancel; return the URL of the redirect."""
        card = {"card_number": number, "holder": "Mia Kern", "expiry": "12/30", "cvc": "123"}
        form = {"action": "cancel"} if number is None else {"action": "pay", **card}
        response = await self.http.post(url or "", data=form)
        assert response.is_redirect
        return response.headers["Location"]

    async def list_bookings(self, reference: str) -> list[tuple[str, str]]:
        """Return kind and amount of every movement in the emulator's ledger."""
        params = {"reference": reference}
        response = await self.http.get(f"{self.url}/_control/ledger", params=params)
        entries = json.loads(response.text, parse_float=str)["entries"]
        return [(entry["kind"], str(entry["amount"])) for entry in entries]


@pytest.fixture
async def stripe_merchant(
    sandbox_url: str, http: httpx.AsyncClient
) -> AsyncIterator[StripeMerchant]:
    """Yield a new merchant of the emulator; faults are removed after the test."""
    name = uuid4().hex
    form = {"ApiKey": f"sk_test_{name}", "WebhookSecret": f"whsec_{name}"}
    settings = StripeSettings.model_validate(form)
    config = StripeConfig.model_construct(url=HttpUrl(f"{sandbox_url}/stripe"))
    adapter = StripeAdapter(config)
    wire = CheckedTransport()
    async with httpx.AsyncClient(transport=wire, timeout=10) as client:
        merchant = StripeMerchant(
            sandbox_url,
            http,
            wire,
            form["ApiKey"],
            form["WebhookSecret"],
            settings,
            adapter,
            adapter.connect(settings, client),
        )
        await merchant.register_webhook()
        yield merchant
    await http.delete(f"{sandbox_url}/_control/faults")
