"""A merchant with an account at the stand-in, which speaks GoCardless' dialect."""

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
    """One account, and the levers to play its customers and their banks."""

    url: str
    http: httpx.AsyncClient
    token: str
    secret: str
    settings: GoCardlessSettings
    adapter: GoCardlessAdapter
    connection: Connection

    async def register(self, webhook_url: str | None = None) -> None:
        """Open the account, or have its webhooks sent to this address."""
        account = {
            "api_key": self.token,
            "webhook_secret": self.secret,
            "webhook_url": webhook_url,
            "dialect": "gocardless",
        }
        (await self.http.put(f"{self.url}/_control/accounts", json=account)).raise_for_status()

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Call the API past the adapter."""
        own = {"Authorization": f"Bearer {self.token}", "GoCardless-Version": "2015-07-06"}
        url = f"{self.url}/gocardless{path}"
        answer = await self.http.request(method, url, json=body, headers={**own, **headers})
        return answer.raise_for_status().json()

    async def simulate(self, scenario: str, resource: str) -> None:
        """Run one of the sandbox's scenario simulators."""
        body = {"data": {"links": {"resource": resource}}}
        await self.call("POST", f"/scenario_simulators/{scenario}/actions/run", body)

    async def visit(self, url: str, **form: str) -> httpx.Response:
        """Fill in the hosted page."""
        return await self.http.post(url, data=form)

    async def fault(self, kind: str, **more: Any) -> None:
        """Have something go wrong at the PSP."""
        url = f"{self.url}/_control/faults"
        (await self.http.post(url, json={"kind": kind, **more})).raise_for_status()

    async def booked(self, reference: str) -> list[tuple[str, str]]:
        """(kind, amount) of every movement in the PSP's ledger."""
        params = {"reference": reference}
        answer = await self.http.get(f"{self.url}/_control/ledger", params=params)
        return [(entry["kind"], f"{entry['amount']:.2f}") for entry in answer.json()["entries"]]


@pytest.fixture
async def gocardless(
    sandbox_url: str, http: httpx.AsyncClient
) -> AsyncIterator[GoCardlessMerchant]:
    """A merchant of the stand-in, all by itself; faults end with the test."""
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
    await merchant.register()
    yield merchant
    (await http.delete(f"{sandbox_url}/_control/faults")).raise_for_status()
