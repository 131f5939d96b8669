"""The checkout form: its mistakes told clearly, and usable without a mouse."""

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import Shoot
from tests.browser.customer import CARD, GOOD, Customer

pytestmark = pytest.mark.browser

WRONG = {"card_number": "4242 4242 4242 4241", "expiry": "01/20", "cvc": ""}
MESSAGES = {
    "card_number": "This card number is not valid. Please check the digits.",
    "expiry": "This card has expired. Please use another card.",
    "cvc": "Please enter the security code of the card.",
}


async def box(locator: Locator) -> tuple[float, float, float]:
    """Left, top and bottom edge."""
    found = await locator.bounding_box()
    assert found is not None
    return found["x"], found["y"], found["y"] + found["height"]


async def focused(page: Page) -> str:
    """What has the focus: the id, or else the words on it."""
    script = "(e => e.id || e.textContent.trim())(document.activeElement)"
    name: str = await page.evaluate(script)
    return name


async def test_mistakes_are_told_next_to_their_fields(customer: Customer, shoot: Shoot) -> None:
    page = customer.page
    await customer.pay(**WRONG)
    await expect(page.get_by_role("alert")).to_have_count(len(MESSAGES))
    for name, message in MESSAGES.items():
        field, alert = page.locator(f"#{name}"), page.get_by_role("alert").get_by_text(message)
        await expect(field).to_have_attribute("aria-invalid", "true")
        # The description, as a screen reader says it, begins with the mistake.
        described = str(await field.get_attribute("aria-describedby")).split()
        await expect(page.locator(f"#{described[0]}")).to_have_text(message)
        left, _, bottom = await box(field)
        alert_left, alert_top, _ = await box(alert)
        assert alert_left == left
        assert 0 <= alert_top - bottom < 16
    await expect(page).to_have_title("Please check the marked fields. – Checkout – Sandbox PSP")
    assert await focused(page) == "card_number"
    await shoot(page, "errors-desktop")


async def test_what_was_typed_stays_but_for_the_security_code(customer: Customer) -> None:
    page = customer.page
    await customer.pay(card_number="1", holder="Mia K. Kern")
    await expect(page.get_by_role("alert")).to_have_count(1)
    typed = [await page.locator(f"#{name}").input_value() for name in CARD]
    assert typed == ["1", "Mia K. Kern", CARD["expiry"], ""]
    assert customer.state()["status"] == "Initiated"


async def test_a_mistake_can_be_put_right(customer: Customer) -> None:
    page = customer.page
    await customer.pay(expiry="01/20")
    await expect(page.get_by_role("alert")).to_have_text(MESSAGES["expiry"])
    assert await focused(page) == "expiry"
    await page.locator("#expiry").fill("12/2040")
    await page.locator("#cvc").fill("123")
    await customer.press("Pay")
    await customer.expect_at("/success")
    assert customer.finalize()["status"] == "Succeeded"


async def test_tab_stops_in_reading_order_each_with_a_ring(customer: Customer) -> None:
    page = customer.page
    stops = []
    for _ in range(7):
        await page.keyboard.press("Tab")
        stops.append(await focused(page))
        ring = "(s => [s.outlineStyle, s.outlineWidth])(getComputedStyle(document.activeElement))"
        assert await page.evaluate(ring) == ["solid", "3px"]
    assert stops == [*CARD, "Pay €119.00", "Cancel and return", "Test cards"]
    await page.keyboard.press("Enter")
    await expect(page.get_by_text(GOOD.replace(" ", ""))).to_be_visible()


async def test_paying_without_a_mouse(customer: Customer) -> None:
    page = customer.page
    await page.keyboard.press("Tab")
    await page.keyboard.type("4242")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_have_count(3)
    assert await focused(page) == "card_number"
    for value in CARD.values():
        await page.keyboard.press("Control+A")
        await page.keyboard.type(value)
        await page.keyboard.press("Tab")
    assert await focused(page) == "Pay €119.00"
    await page.keyboard.press("Enter")
    await customer.expect_at("/success")


async def test_enter_in_the_last_field_pays(customer: Customer) -> None:
    await customer.fill()
    await customer.page.locator("#cvc").press("Enter")
    await customer.expect_at("/success")


async def test_cancelling_without_a_mouse(customer: Customer) -> None:
    page = customer.page
    await page.get_by_role("button", name="Pay").focus()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await customer.expect_at("/abort")
