"""The demo's scenario against a deployment: through the proxy, webhooks over TLS."""

import asyncio
import ssl

from rich.console import Console

from devtools.devstack.demo.billing_client import BillingClient
from devtools.devstack.demo.context import DemoContext, StepResult
from devtools.devstack.demo.scenario import run_scenario
from devtools.devstack.demo.timeline import Timeline
from devtools.devstack.demo.webhooks import webhook_receiver
from tests.containers.deployment import URL, WEBHOOK_HOST, Deployment
from tests.containers.merchants import Merchant
from tests.containers.names import async_client

SECONDS = 120


def play_demo(deployment: Deployment, merchant: Merchant) -> list[StepResult]:
    """Play all steps; return their results."""
    return asyncio.run(_play(deployment, merchant))


async def _play(deployment: Deployment, merchant: Merchant) -> list[StepResult]:
    certificate, key = deployment.webhook_authority.issue(WEBHOOK_HOST)
    receiver_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    receiver_tls.load_cert_chain(certificate, key)
    trust = deployment.tls_context()
    timeline = Timeline(Console(quiet=True))
    async with (
        webhook_receiver(timeline, "0.0.0.0", WEBHOOK_HOST, receiver_tls) as webhooks,  # noqa: S104
        async_client(trust) as http,
        async_client(trust) as browser,
        asyncio.timeout(SECONDS),
    ):
        billing = BillingClient(http, URL, merchant.token, timeline)
        context = DemoContext(billing, webhooks, browser, timeline, merchant.name, "default", None)
        await run_scenario(context)
    return context.results
