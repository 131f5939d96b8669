"""Accessibility of the pages: on a phone, in German, with a screen reader, with poor sight."""

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.e2e.browser.conftest import DESKTOP, PHONE, OpenCheckout, OpenPage, TakeScreenshot
from tests.e2e.browser.customer import THREE_D_SECURE_CARD

pytestmark = pytest.mark.browser

AUDIT = Path(__file__).with_name("audit.js").read_text()
GERMAN = {
    "payerData": {
        "firstName": "Mia",
        "lastName": "Kern",
        "language": "de",
        "emailAddress": "mia.kern@example.org",
        "address": {"postalCode": "60311", "city": "Frankfurt am Main", "country": "DE"},
    },
    "requestedAmount": 0,
}


async def assert_accessible(page: Page, lang: str) -> None:
    """Assert that the audit finds nothing and that the page fits the width."""
    assert await page.evaluate(AUDIT) == []
    assert await page.evaluate("document.documentElement.lang") == lang
    # Not innerWidth: it grows when a phone zooms out to show everything.
    assert page.viewport_size is not None
    width = await page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]


@pytest.mark.parametrize(
    ("device", "options"), [("desktop", DESKTOP), ("phone", PHONE)], ids=["desktop", "phone"]
)
async def test_every_page_is_accessible(
    open_page: OpenPage,
    open_checkout: OpenCheckout,
    take_screenshot: TakeScreenshot,
    device: str,
    options: dict[str, Any],
) -> None:
    page = await open_page(**options)
    customer = await open_checkout(page)
    await assert_accessible(page, "en")
    await page.get_by_text("Test cards").click()
    await assert_accessible(page, "en")
    await take_screenshot(page, f"checkout-test-cards-{device}")
    await page.get_by_text("Test cards").click()
    await take_screenshot(page, f"checkout-{device}")
    await customer.pay(card_number="1", holder="", expiry="01/20", cvc="1")
    await expect(page.get_by_role("alert")).to_have_count(4)
    await expect(page.get_by_role("alert").first).to_be_in_viewport()
    await assert_accessible(page, "en")
    await take_screenshot(page, f"errors-{device}")
    await customer.pay(card_number=THREE_D_SECURE_CARD)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Confirm your payment")
    await assert_accessible(page, "en")
    await take_screenshot(page, f"three-d-secure-{device}")
    await customer.click_button("Do not confirm")
    await customer.expect_return_page("/error")
    await page.goto(customer.url)
    await expect(page.get_by_role("heading", level=1)).to_have_text("The payment did not work")
    await assert_accessible(page, "en")
    await take_screenshot(page, f"failed-{device}")
    await page.goto(f"{customer.url}-unknown")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Page not found")
    await assert_accessible(page, "en")


async def test_storing_a_card_in_german_on_a_phone(
    open_page: OpenPage, open_checkout: OpenCheckout, take_screenshot: TakeScreenshot
) -> None:
    page = await open_page(**PHONE)
    customer = await open_checkout(page, **GERMAN)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Karte hinterlegen")
    await expect(page.get_by_role("note")).to_contain_text("kein echtes Geld")
    await expect(page.locator(".total")).to_contain_text("0,00\N{NO-BREAK SPACE}€")
    await assert_accessible(page, "de")
    await take_screenshot(page, "store-card-german-phone")
    await customer.fill()
    await customer.click_button("Karte speichern")
    await customer.expect_return_page("/success")
    assert customer.finalize()["status"] == "Succeeded"
    assert customer.ledger_movements() == []


async def test_fields_in_a_row_are_aligned_on_a_phone(
    open_page: OpenPage, open_checkout: OpenCheckout
) -> None:
    page = await open_page(**PHONE)
    await open_checkout(page)
    boxes = [await page.locator(f"#{name}").bounding_box() for name in ("expiry", "cvc")]
    assert len({box["y"] for box in boxes if box}) == 1
