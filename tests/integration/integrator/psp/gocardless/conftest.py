"""Fixture: a merchant with an account at the GoCardless emulator."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import HttpUrl

from integrator.psp.gocardless import GoCardlessAdapter
from integrator.psp.gocardless.config import GoCardlessConfig
from integrator.psp.gocardless.settings import GoCardlessSettings
from integrator.psp.port import Connection


@dataclass
class GoCardlessMerchant:
    """Account at the emulator, with the actions of its customers and their banks."""

    url: str
    http: httpx.AsyncClient
    token: str
    secret: str
    settings: GoCardlessSettings
    adapter: GoCardlessAdapter
    connection: Connection

    async def register_webhook(self, webhook_url: str | None = None) -> None:
        """Create the account, or set the URL of its webhooks."""
        account = {
            "api_key": self.token,
            "webhook_secret": self.secret,
            "webhook_url": webhook_url,
            "dialect": "gocardless",
        }
        (await self.http.put(f"{self.url}/_control/accounts", json=account)).raise_for_status()

    async def call_api(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Call the emulator's API without the adapter."""
        credentials = {"Authorization": f"Bearer {self.token}", "GoCardless-Version": "2015-07-06"}
        url = f"{self.url}/gocardless{path}"
        response = await self.http.request(
            method, url, json=body, headers={**credentials, **headers}
        )
        return response.raise_for_status().json()

    async def run_scenario(self, scenario: str, resource: str) -> None:
        """Run a scenario simulator."""
        body = {"data": {"links": {"resource": resource}}}
        await self.call_api("POST", f"/scenario_simulators/{scenario}/actions/run", body)

    async def visit_page(self, url: str, **form: str) -> httpx.Response:
        """Submit the hosted page."""
        return await self.http.post(url, data=form)

    async def inject_fault(self, kind: str, **more: Any) -> None:
        """Inject a fault at the emulator."""
        url = f"{self.url}/_control/faults"
        (await self.http.post(url, json={"kind": kind, **more})).raise_for_status()

    async def list_bookings(self, reference: str) -> list[tuple[str, str]]:
        """Return kind and amount of every movement in the emulator's ledger."""
        params = {"reference": reference}
        response = await self.http.get(f"{self.url}/_control/ledger", params=params)
        return [(entry["kind"], f"{entry['amount']:.2f}") for entry in response.json()["entries"]]


@pytest.fixture
async def gocardless(
    sandbox_url: str, http: httpx.AsyncClient
) -> AsyncIterator[GoCardlessMerchant]:
    """Yield a new merchant of the emulator; faults are removed after the test."""
    name = uuid4().hex
    form = {"AccessToken": f"sandbox_{name}", "WebhookSecret": f"secret_{name}"}
    settings = GoCardlessSettings.model_validate(form)
    config = GoCardlessConfig.model_construct(url=HttpUrl(f"{sandbox_url}/gocardless"))
    adapter = GoCardlessAdapter(config)
    merchant = GoCardlessMerchant(
        sandbox_url,
        http,
        form["AccessToken"],
        form["WebhookSecret"],
        settings,
        adapter,
        adapter.connect(settings, http),
    )
    await merchant.register_webhook()
    yield merchant
    (await http.delete(f"{sandbox_url}/_control/faults")).raise_for_status()
