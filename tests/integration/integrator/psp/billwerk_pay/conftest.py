"""Fixture: a merchant with an account at the Billwerk+ Pay emulator."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest
from pydantic import HttpUrl

from integrator.psp.billwerk_pay import BillwerkPayAdapter
from integrator.psp.billwerk_pay.config import BillwerkPayConfig
from integrator.psp.billwerk_pay.settings import BillwerkPaySettings
from integrator.psp.port import Connection
from integrator.psp.types import Instrument
from tests.integration.integrator.psp.billwerk_pay.builders import settings

GOOD_CARD, CARD_WITHOUT_FUNDS = "4242424242424242", "4000000000009995"


@dataclass
class Merchant:
    """Account at the emulator, with the actions of its customers."""

    url: str
    http: httpx.AsyncClient
    settings: BillwerkPaySettings
    connection: Connection
    adapter: BillwerkPayAdapter

    @property
    def key(self) -> str:
        return self.settings.private_key.get_secret_value()

    async def call_control(self, path: str, **body: Any) -> Any:
        response = await self.http.post(f"{self.url}/_control/{path}", json=body)
        response.raise_for_status()
        return response.json() if response.content else None

    async def create_stored_card(self, number: str = GOOD_CARD) -> Instrument:
        """Store a card for a customer."""
        stored = await self.call_control("payment_methods", api_key=self.key, card=number)
        id = stored["id"].replace("pm_", "ca_")
        return Instrument(token={"payment_method": id, "customer": stored["customer"]}, bearer={})

    async def visit_page(self, url: str, number: str | None = GOOD_CARD) -> dict[str, str]:
        """Pay on the hosted page, or cancel; return the query of the redirect."""
        card = {"card_number": number, "holder": "Mia Kern", "expiry": "12/30", "cvc": "123"}
        form = {"action": "cancel"} if number is None else {"action": "pay", **card}
        response = await self.http.post(url, data=form)
        assert response.is_redirect
        onward = await self.http.get(response.headers["location"])
        assert onward.is_redirect
        query = parse_qs(urlsplit(onward.headers["location"]).query)
        return {name: values[0] for name, values in query.items()}

    async def list_bookings(self, reference: str) -> list[tuple[str, Decimal, str | None]]:
        """Return kind, amount and key of every movement in the emulator's ledger."""
        params = {"reference": reference}
        response = await self.http.get(f"{self.url}/_control/ledger", params=params)
        return [
            (entry["kind"], Decimal(str(entry["amount"])), entry["idempotency_key"])
            for entry in response.json()["entries"]
        ]

    async def call_api(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Call the emulator's API without the adapter."""
        return await self.http.request(
            method, f"{self.url}/billwerk_pay/{path}", auth=(self.key, ""), **content
        )

    async def register_webhook(self, webhook_url: str | None) -> None:
        account = {
            "api_key": self.key,
            "webhook_secret": self.settings.webhook_secret.get_secret_value(),
            "webhook_url": webhook_url,
            "dialect": "billwerk_pay",
        }
        response = await self.http.put(f"{self.url}/_control/accounts", json=account)
        response.raise_for_status()


@pytest.fixture
async def merchant(sandbox_url: str, http: httpx.AsyncClient) -> Merchant:
    """Return a new merchant of the emulator."""
    name = uuid4().hex
    account_settings = settings(PrivateKey=f"priv_{name}", WebhookSecret=f"hook_{name}")
    config = BillwerkPayConfig.model_construct(
        url=HttpUrl(f"{sandbox_url}/billwerk_pay"),
        checkout_url=HttpUrl(f"{sandbox_url}/billwerk_pay"),
    )
    adapter = BillwerkPayAdapter(config)
    new_merchant = Merchant(
        sandbox_url, http, account_settings, adapter.connect(account_settings, http), adapter
    )
    await new_merchant.register_webhook(None)
    return new_merchant
