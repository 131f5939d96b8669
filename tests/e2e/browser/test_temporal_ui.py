"""Look up a payment in the Temporal UI by its transaction id."""

import json
from urllib.parse import quote

import pytest
from playwright.async_api import Page, expect

from tests.e2e.browser.conftest import OpenPage, TakeScreenshot
from tests.e2e.browser.decryption import enable_decryption
from tests.support.billwerk import Billwerk, new_id
from tests.support.stack import Stack

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def payment(billwerk: Billwerk) -> str:
    """Return the transaction id of one of two payments."""
    agreement = f"browser-{new_id()}"
    billwerk.sign_up_card(agreement)
    ids = []
    for _ in range(2):
        body = billwerk.payment(agreement, "49.90")
        assert billwerk.post("Payment", body).json()["status"] == "Succeeded"
        ids.append(body["transactionId"])
    return str(ids[0])


async def decrypt(page: Page, stack: Stack, take_screenshot: TakeScreenshot) -> None:
    """Enable decryption with the codec server of the stack."""
    token = json.loads((stack.data_dir / "codec-token").read_text())["token"]
    await enable_decryption(page, stack.run["codec_server"], token, take_screenshot)


async def test_finding_a_payment(
    stack: Stack, open_page: OpenPage, take_screenshot: TakeScreenshot, payment: str
) -> None:
    page = await open_page(viewport={"width": 1440, "height": 1200})
    await page.goto(stack.run["temporal_ui"])
    links = page.get_by_role("link", name="demo/payment/")
    await expect(links.nth(1)).to_be_visible()
    await take_screenshot(page, "temporal-list")

    await page.get_by_role("button", name="Add Filter").click()
    await page.get_by_role("menuitem", name="WorkflowId Keyword", exact=True).click()
    await page.get_by_role("button", name="Starts with").click()
    await page.get_by_placeholder("Enter value...").fill(f"demo/payment/{payment}")
    await page.get_by_role("button", name="Apply").click()
    await expect(links).to_have_count(1)
    await expect(links).to_have_text(f"demo/payment/{payment}")
    await take_screenshot(page, "temporal-search")

    await links.click()
    await expect(page.get_by_role("heading", name=f"demo/payment/{payment}")).to_be_visible()
    await expect(page.get_by_role("link", name="PaymentWorkflow").first).to_be_visible()
    await take_screenshot(page, "temporal-payment")
    await page.get_by_role("tab", name="Event History").click()
    for event in ("Workflow Execution Started", "Activity Task Completed"):
        await expect(page.get_by_text(event).first).to_be_visible()
    await expect(page.get_by_text("charge", exact=True).first).to_be_visible()
    await take_screenshot(page, "temporal-history")


async def test_payloads_are_decrypted_only_with_the_codec_servers_token(
    stack: Stack, open_page: OpenPage, take_screenshot: TakeScreenshot, payment: str
) -> None:
    page = await open_page(viewport={"width": 1440, "height": 1200})
    address = f"{stack.run['temporal_ui']}/namespaces/default/workflows"
    await page.goto(f"{address}/{quote(f'demo/payment/{payment}', safe='')}")
    heading = page.get_by_role("heading", name=f"demo/payment/{payment}")
    await expect(heading).to_be_visible()
    content = page.locator("#content")
    await expect(content.get_by_text("Codec Server could not connect")).to_be_visible()
    await expect(page.get_by_text('"transaction_id"')).to_have_count(0)
    await take_screenshot(page, "temporal-encrypted")
    await decrypt(page, stack, take_screenshot)
    await expect(page.get_by_text("transaction_id").first).to_be_visible()
    await take_screenshot(page, "temporal-decrypted")


async def test_a_payment_is_found_by_search_attributes_and_shows_its_timeline(
    stack: Stack, open_page: OpenPage, take_screenshot: TakeScreenshot, payment: str
) -> None:
    page = await open_page(viewport={"width": 1440, "height": 1000})
    query = quote(f"TransactionKind = 'payment' AND TransactionId = '{payment}'")
    await page.goto(f"{stack.run['temporal_ui']}/namespaces/default/workflows?query={query}")
    links = page.get_by_role("link", name="demo/payment/")
    await expect(links).to_have_count(1)
    await expect(links).to_have_text(f"demo/payment/{payment}")
    await take_screenshot(page, "temporal-search-attribute")

    await links.click()
    await expect(page.get_by_role("heading", name=f"demo/payment/{payment}")).to_be_visible()
    await decrypt(page, stack, take_screenshot)
    await page.get_by_role("tab", name="User Metadata").click()
    summary, details = (page.frame_locator("iframe").nth(n) for n in (0, 1))
    await expect(summary.get_by_text("charge of 49.90 EUR, via sandbox")).to_be_visible()
    reason = details.get_by_text("Succeeded, because the PSP answered our call")
    await expect(reason.first).to_be_visible()
    await expect(details.get_by_text("49.90 EUR taken, booked on")).to_be_visible()
    await expect(details.get_by_text("Up to 49.90 EUR can be refunded.")).to_be_visible()
    await take_screenshot(page, "temporal-timeline")
