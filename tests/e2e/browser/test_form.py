"""Checkout form: error messages and keyboard operation."""

import pytest
from playwright.async_api import Locator, Page, expect

from tests.e2e.browser.conftest import TakeScreenshot
from tests.e2e.browser.customer import CARD, VALID_CARD, Customer

pytestmark = pytest.mark.browser

INVALID_VALUES = {"card_number": "4242 4242 4242 4241", "expiry": "01/20", "cvc": ""}
MESSAGES = {
    "card_number": "This card number is not valid. Please check the digits.",
    "expiry": "This card has expired. Please use another card.",
    "cvc": "Please enter the security code of the card.",
}


async def bounding_box(locator: Locator) -> tuple[float, float, float]:
    """Return left, top and bottom edge."""
    rectangle = await locator.bounding_box()
    assert rectangle is not None
    return rectangle["x"], rectangle["y"], rectangle["y"] + rectangle["height"]


async def focused_element(page: Page) -> str:
    """Return the id of the focused element, or its text if it has none."""
    script = "(e => e.id || e.textContent.trim())(document.activeElement)"
    name: str = await page.evaluate(script)
    return name


async def test_errors_are_shown_next_to_their_fields(
    customer: Customer, take_screenshot: TakeScreenshot
) -> None:
    page = customer.page
    await customer.pay(**INVALID_VALUES)
    await expect(page.get_by_role("alert")).to_have_count(len(MESSAGES))
    for name, message in MESSAGES.items():
        field, alert = page.locator(f"#{name}"), page.get_by_role("alert").get_by_text(message)
        await expect(field).to_have_attribute("aria-invalid", "true")
        # A screen reader reads the error first.
        description_ids = str(await field.get_attribute("aria-describedby")).split()
        await expect(page.locator(f"#{description_ids[0]}")).to_have_text(message)
        left, _, bottom = await bounding_box(field)
        alert_left, alert_top, _ = await bounding_box(alert)
        assert alert_left == left
        assert 0 <= alert_top - bottom < 16
    await expect(page).to_have_title("Please check the marked fields. – Checkout – Sandbox PSP")
    assert await focused_element(page) == "card_number"
    await take_screenshot(page, "errors-desktop")


async def test_entered_values_are_kept_except_the_security_code(customer: Customer) -> None:
    page = customer.page
    await customer.pay(card_number="1", holder="Mia K. Kern")
    await expect(page.get_by_role("alert")).to_have_count(1)
    typed = [await page.locator(f"#{name}").input_value() for name in CARD]
    assert typed == ["1", "Mia K. Kern", CARD["expiry"], ""]
    assert customer.state()["status"] == "Initiated"


async def test_an_error_can_be_corrected(customer: Customer) -> None:
    page = customer.page
    await customer.pay(expiry="01/20")
    await expect(page.get_by_role("alert")).to_have_text(MESSAGES["expiry"])
    assert await focused_element(page) == "expiry"
    await page.locator("#expiry").fill("12/2040")
    await page.locator("#cvc").fill("123")
    await customer.click_button("Pay")
    await customer.expect_return_page("/success")
    assert customer.finalize()["status"] == "Succeeded"


async def test_tab_stops_in_reading_order_each_with_a_ring(customer: Customer) -> None:
    page = customer.page
    focus_order = []
    for _ in range(7):
        await page.keyboard.press("Tab")
        focus_order.append(await focused_element(page))
        outline = (
            "(s => [s.outlineStyle, s.outlineWidth])(getComputedStyle(document.activeElement))"
        )
        assert await page.evaluate(outline) == ["solid", "3px"]
    assert focus_order == [*CARD, "Pay €119.00", "Cancel and return", "Test cards"]
    await page.keyboard.press("Enter")
    await expect(page.get_by_text(VALID_CARD.replace(" ", ""))).to_be_visible()


async def test_paying_without_a_mouse(customer: Customer) -> None:
    page = customer.page
    await page.keyboard.press("Tab")
    await page.keyboard.type("4242")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_have_count(3)
    assert await focused_element(page) == "card_number"
    for value in CARD.values():
        await page.keyboard.press("Control+A")
        await page.keyboard.type(value)
        await page.keyboard.press("Tab")
    assert await focused_element(page) == "Pay €119.00"
    await page.keyboard.press("Enter")
    await customer.expect_return_page("/success")


async def test_enter_in_the_last_field_pays(customer: Customer) -> None:
    await customer.fill()
    await customer.page.locator("#cvc").press("Enter")
    await customer.expect_return_page("/success")


async def test_cancelling_without_a_mouse(customer: Customer) -> None:
    page = customer.page
    await page.get_by_role("button", name="Pay").focus()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await customer.expect_return_page("/abort")
