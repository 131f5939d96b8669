"""The pages serve everybody: on a phone, in German, with a screen reader, with poor sight."""

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import DESKTOP, PHONE, Arrive, OpenPage, Shoot
from tests.browser.customer import THREE_D_SECURE

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


async def check(page: Page, lang: str) -> None:
    """Nothing to stumble over, and nothing beyond the right edge."""
    assert await page.evaluate(AUDIT) == []
    assert await page.evaluate("document.documentElement.lang") == lang
    # Not innerWidth: a phone that has to zoom out to show everything makes that wider.
    assert page.viewport_size is not None
    width = await page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]


@pytest.mark.parametrize(
    ("device", "options"), [("desktop", DESKTOP), ("phone", PHONE)], ids=["desktop", "phone"]
)
async def test_every_page(
    open_page: OpenPage, arrive: Arrive, shoot: Shoot, device: str, options: dict[str, Any]
) -> None:
    page = await open_page(**options)
    customer = await arrive(page)
    await check(page, "en")
    await page.get_by_text("Test cards").click()
    await check(page, "en")
    await shoot(page, f"checkout-test-cards-{device}")
    await page.get_by_text("Test cards").click()
    await shoot(page, f"checkout-{device}")
    await customer.pay(card_number="1", holder="", expiry="01/20", cvc="1")
    await expect(page.get_by_role("alert")).to_have_count(4)
    await expect(page.get_by_role("alert").first).to_be_in_viewport()
    await check(page, "en")
    await shoot(page, f"errors-{device}")
    await customer.pay(card_number=THREE_D_SECURE)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Confirm your payment")
    await check(page, "en")
    await shoot(page, f"three-d-secure-{device}")
    await customer.press("Do not confirm")
    await customer.expect_at("/error")
    await page.goto(customer.url)
    await expect(page.get_by_role("heading", level=1)).to_have_text("The payment did not work")
    await check(page, "en")
    await shoot(page, f"failed-{device}")
    await page.goto(f"{customer.url}-unknown")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Page not found")
    await check(page, "en")


async def test_storing_a_card_in_german_on_a_phone(
    open_page: OpenPage, arrive: Arrive, shoot: Shoot
) -> None:
    page = await open_page(**PHONE)
    customer = await arrive(page, **GERMAN)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Karte hinterlegen")
    await expect(page.get_by_role("note")).to_contain_text("kein echtes Geld")
    await expect(page.locator(".total")).to_contain_text("0,00\N{NO-BREAK SPACE}€")
    await check(page, "de")
    await shoot(page, "store-card-german-phone")
    await customer.fill()
    await customer.press("Karte speichern")
    await customer.expect_at("/success")
    assert customer.finalize()["status"] == "Succeeded"
    assert customer.booked() == []


async def test_both_halves_of_a_row_stay_level_on_a_phone(
    open_page: OpenPage, arrive: Arrive
) -> None:
    page = await open_page(**PHONE)
    await arrive(page)
    boxes = [await page.locator(f"#{name}").bounding_box() for name in ("expiry", "cvc")]
    assert len({found["y"] for found in boxes if found}) == 1
