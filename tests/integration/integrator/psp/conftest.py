"""Fixtures: a running sandbox PSP, and a merchant with an account there."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import HttpUrl

from integrator.psp.port import Connection
from integrator.psp.sandbox import SandboxAdapter
from integrator.psp.sandbox.config import SandboxConfig
from integrator.psp.sandbox.settings import SandboxSettings
from integrator.psp.types import Instrument
from tests.integration.integrator.psp import builders
from tests.support.paths import ROOT

SETTLE_SECONDS = 0.2
SLOW_SECONDS = 0.6
START_SECONDS = 60


@dataclass
class Merchant:
    """Account at the PSP, with the actions of its customers."""

    url: str
    http: httpx.AsyncClient
    settings: SandboxSettings
    connection: Connection
    adapter: SandboxAdapter

    async def call_control(self, path: str, **body: Any) -> Any:
        """Call the PSP's control API."""
        response = await self.http.post(f"{self.url}/_control/{path}", json=body)
        response.raise_for_status()
        return response.json() if response.content else None

    async def register_webhook(self, webhook_url: str) -> None:
        """Set the URL of the account's webhooks."""
        await create_account(self.http, self.url, self.settings, webhook_url)

    async def create_stored_card(self, number: str = "4242424242424242") -> Instrument:
        """Store a card for a customer."""
        key = self.settings.api_key.get_secret_value()
        stored = await self.call_control("payment_methods", api_key=key, card=number)
        token = {"payment_method": stored["id"], "customer": stored["customer"]}
        return Instrument(token=token, bearer={})

    async def visit_page(self, url: str, number: str | None = "4242424242424242") -> None:
        """Pay on the hosted page, or cancel if `number` is None."""
        card = {"card_number": number, "holder": "Mia Kern", "expiry": "12/30", "cvc": "123"}
        form = {"action": "cancel"} if number is None else {"action": "pay", **card}
        response = await self.http.post(url, data=form)
        assert response.is_redirect

    async def list_bookings(self, reference: str) -> list[tuple[str, str]]:
        """Return kind and amount of every movement in the PSP's ledger."""
        params = {"reference": reference}
        response = await self.http.get(f"{self.url}/_control/ledger", params=params)
        return [(entry["kind"], f"{entry['amount']:.2f}") for entry in response.json()["entries"]]


@pytest.fixture(scope="session")
def sandbox_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a sandbox PSP and return its base URL."""
    folder = tmp_path_factory.mktemp("sandbox")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "INTEGRATOR_SANDBOX_PORT": str(port),
        "INTEGRATOR_DATA_DIR": str(folder),
        "SANDBOX_SETTLE_SECONDS": str(SETTLE_SECONDS),
        "SANDBOX_SLOW_SECONDS": str(SLOW_SECONDS),
    }
    log = folder / "sandbox.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "devtools.sandbox_psp"]
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_healthy(url, process, log)
            yield url
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture(scope="session")
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """Return an HTTP client configured like the worker's."""
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
async def merchant(sandbox_url: str, http: httpx.AsyncClient) -> Merchant:
    """Return a new merchant of the sandbox PSP."""
    name = uuid4().hex
    settings = builders.settings(ApiKey=f"sk_sandbox_{name}", WebhookSecret=f"whsec_{name}")
    await create_account(http, sandbox_url, settings, None)
    config = SandboxConfig.model_construct(url=HttpUrl(sandbox_url), port=0)
    adapter = SandboxAdapter(config)
    return Merchant(sandbox_url, http, settings, adapter.connect(settings, http), adapter)


async def create_account(
    http: httpx.AsyncClient, url: str, settings: SandboxSettings, webhook_url: str | None
) -> None:
    account = {
        "api_key": settings.api_key.get_secret_value(),
        "webhook_secret": settings.webhook_secret.get_secret_value(),
        "webhook_url": webhook_url,
    }
    (await http.put(f"{url}/_control/accounts", json=account)).raise_for_status()


def _wait_until_healthy(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/healthz", trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    pytest.fail(f"The sandbox PSP did not start:\n{log.read_text()[-2000:]}")
