"""A merchant with an account at the stand-in, whose every request is held against the contract."""

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
from tests.psp.stripe import contract

HAVE_ORACLE = importlib.util.find_spec("stripe") is not None


class CheckedTransport(httpx.AsyncHTTPTransport):
    """Fails on a request or an answer that is not as Stripe describes it; keeps both."""

    def __init__(self) -> None:
        super().__init__(trust_env=False)
        self.requests: list[httpx.Request] = []
        self.answers: list[Any] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        assert request.headers["Stripe-Version"] == VERSION
        assert contract.route(request) in contract.PARAMETERS, contract.route(request)
        if HAVE_ORACLE:
            assert contract.misfits(request) == []
        response = await super().handle_async_request(request)
        body = json.loads(await response.aread())
        self.answers.append(body)
        if response.is_success:
            assert contract.shape_misfits(body) == []
        return response


@dataclass
class StripeMerchant:
    """One account, and the levers to play its customers and their banks."""

    url: str
    http: httpx.AsyncClient
    wire: CheckedTransport
    key: str
    secret: str
    settings: StripeSettings
    adapter: StripeAdapter
    connection: Connection

    async def control(self, path: str, **body: Any) -> Any:
        """Pull one of the stand-in's levers."""
        response = await self.http.post(f"{self.url}/_control/{path}", json=body)
        response.raise_for_status()
        return response.json() if response.content else None

    async def register(self, webhook_url: str | None = None) -> None:
        """Open the account, or have its webhooks sent to this address."""
        account = {
            "api_key": self.key,
            "webhook_secret": self.secret,
            "webhook_url": webhook_url,
            "dialect": "stripe",
        }
        (await self.http.put(f"{self.url}/_control/accounts", json=account)).raise_for_status()

    async def stored_card(self, number: str = "4242424242424242") -> Instrument:
        """A card the customer has entered some time ago."""
        stored = await self.control("payment_methods", api_key=self.key, card=number)
        token = {"payment_method": stored["id"], "customer": stored["customer"]}
        return Instrument(token=token, bearer={})

    async def visit(self, url: str | None, number: str | None = "4242424242424242") -> str:
        """Pay on the hosted page, or cancel; where the customer is sent then."""
        card = {"card_number": number, "holder": "Mia Kern", "expiry": "12/30", "cvc": "123"}
        form = {"action": "cancel"} if number is None else {"action": "pay", **card}
        response = await self.http.post(url or "", data=form)
        assert response.is_redirect
        return response.headers["Location"]

    async def booked(self, reference: str) -> list[tuple[str, str]]:
        """(kind, amount) of every movement in the stand-in's ledger."""
        params = {"reference": reference}
        response = await self.http.get(f"{self.url}/_control/ledger", params=params)
        entries = json.loads(response.text, parse_float=str)["entries"]
        return [(entry["kind"], str(entry["amount"])) for entry in entries]


@pytest.fixture
async def stripe_shop(sandbox_url: str, http: httpx.AsyncClient) -> AsyncIterator[StripeMerchant]:
    """A merchant of the stand-in, all by itself; faults end with the test."""
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
        await merchant.register()
        yield merchant
    await http.delete(f"{sandbox_url}/_control/faults")
