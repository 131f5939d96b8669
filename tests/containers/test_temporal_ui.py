"""The Temporal UI of the containers shows a payment of the demo, decrypted for an operator."""

import asyncio
import json
from urllib.parse import quote

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.containers.deployment import Deployment
from tests.containers.merchants import Merchant
from tests.e2e.browser.chromium import FLAGS, chromium
from tests.e2e.browser.decryption import enable_decryption
from tests.support.paths import ROOT

pytestmark = [pytest.mark.full, pytest.mark.browser]

UI = "http://127.0.0.1:8233"
CODEC_SERVER = "http://127.0.0.1:8081"
TIMEOUT_MS = 60_000
FOLDER = ROOT / "artifacts"


def test_a_payment_of_the_demo_is_shown(deployment: Deployment, merchant: Merchant) -> None:
    command = ("list", "--merchant", merchant.name, "--status", "Succeeded", "--json")
    listed = json.loads(deployment.integrator(*command))["transactions"]
    payment = next(t["transaction_id"] for t in listed if t["kind"] == "payment")
    token = (deployment.folder / "deploy/secrets/codec_token").read_text().strip()
    asyncio.run(show(f"{merchant.name}/payment/{payment}", token))


async def show(workflow: str, token: str) -> None:
    """Find the workflow in the list, open it and read its timeline."""
    expect.set_options(timeout=TIMEOUT_MS)
    async with async_playwright() as playwright:
        options = {"executable_path": chromium(), "args": list(FLAGS), "timeout": TIMEOUT_MS}
        browser = await playwright.chromium.launch(**options)  # type: ignore[arg-type]
        context = await browser.new_context(viewport={"width": 1440, "height": 1000})
        page = await context.new_page()
        await page.goto(f"{UI}/namespaces/default/workflows")
        await expect(page.get_by_role("link", name="demo/payment/").first).to_be_visible()
        await take_screenshot(page, "containers-temporal-list")
        await page.goto(f"{UI}/namespaces/default/workflows/{quote(workflow, safe='')}")
        await expect(page.get_by_role("heading", name=workflow)).to_be_visible()
        await enable_decryption(page, CODEC_SERVER, token, take_screenshot)
        await page.get_by_role("tab", name="User Metadata").click()
        details = page.frame_locator("iframe").nth(1)
        reason = details.get_by_text("Succeeded, because")
        await expect(reason.first).to_be_visible()
        await take_screenshot(page, "containers-temporal-payment")
        await browser.close()


async def take_screenshot(page: Page, name: str) -> None:
    """Write a picture of the page into the folder `artifacts`."""
    FOLDER.mkdir(exist_ok=True)
    await page.screenshot(path=FOLDER / f"{name}.png")
