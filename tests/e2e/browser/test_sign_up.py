"""Sign-up at the checkout page and return to the shop."""

import pytest
from playwright.async_api import expect

from tests.e2e.browser.conftest import TakeScreenshot
from tests.e2e.browser.customer import AMOUNT, DECLINED_CARD, THREE_D_SECURE_CARD, Customer

pytestmark = pytest.mark.browser

AUTHORIZED = [("authorize", AMOUNT)]


async def test_paying(customer: Customer, take_screenshot: TakeScreenshot) -> None:
    page = customer.page
    await expect(page.get_by_role("note")).to_contain_text("Sandbox")
    await expect(page.locator(".summary")).to_contain_text(customer.id)
    await expect(page.locator(".total")).to_contain_text("€119.00")
    await take_screenshot(page, "checkout-desktop")
    await customer.pay()
    await customer.expect_return_page("/success")
    final = customer.finalize()
    assert (final["status"], final["authorizedAmount"]) == ("Succeeded", AMOUNT)
    assert final["bearer"]["Last4"] == "4242"
    assert customer.state()["status"] == "Succeeded"
    assert customer.ledger_movements() == AUTHORIZED


async def test_going_back_after_paying_charges_nothing_more(
    customer: Customer, take_screenshot: TakeScreenshot
) -> None:
    await customer.pay()
    await customer.expect_return_page("/success")
    await customer.page.go_back()
    await expect(customer.page.get_by_role("heading", level=1)).to_have_text("All done")
    await expect(customer.page.locator("input, button")).to_have_count(0)
    await take_screenshot(customer.page, "completed-desktop")
    await customer.page.get_by_role("link", name="Back to the shop").click()
    await customer.page.wait_for_url("**/success?**")
    assert customer.finalize()["status"] == "Succeeded"
    assert customer.ledger_movements() == AUTHORIZED


async def test_a_declined_card(customer: Customer) -> None:
    await customer.pay(card_number=DECLINED_CARD)
    await customer.expect_return_page("/error")
    final = customer.finalize()
    assert (final["status"], final["errorCode"]) == ("Failed", "Rejected")
    assert customer.state()["status"] == "Failed"
    assert customer.ledger_movements() == []


@pytest.mark.parametrize("confirmed", [True, False], ids=["confirmed", "not confirmed"])
async def test_three_d_secure(
    customer: Customer, take_screenshot: TakeScreenshot, confirmed: bool
) -> None:
    page = customer.page
    await customer.pay(card_number=THREE_D_SECURE_CARD)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Confirm your payment")
    await expect(page.locator(".card")).to_contain_text("3155")
    await expect(page.locator(".total")).to_contain_text("€119.00")
    assert customer.state()["status"] == "Initiated"
    assert customer.ledger_movements() == []
    await take_screenshot(page, "three-d-secure-desktop")
    if confirmed:
        await customer.click_button("Confirm payment")
        await customer.expect_return_page("/success")
        assert customer.finalize()["status"] == "Succeeded"
    else:
        await customer.click_button("Do not confirm")
        await customer.expect_return_page("/error")
        final = customer.finalize()
        assert (final["errorCode"], final["pspErrorCode"]) == ("Rejected", "authentication_failed")
    assert customer.state()["status"] == ("Succeeded" if confirmed else "Failed")
    assert customer.ledger_movements() == (AUTHORIZED if confirmed else [])


async def test_cancelling(customer: Customer, take_screenshot: TakeScreenshot) -> None:
    page = customer.page
    await customer.click_button("Cancel and return")
    await customer.expect_return_page("/abort")
    assert customer.finalize()["status"] == "Cancelled"
    assert customer.state()["status"] == "Cancelled"
    assert customer.ledger_movements() == []
    await page.goto(customer.url)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Checkout cancelled")
    await take_screenshot(page, "cancelled-desktop")
    await page.get_by_role("link", name="Back to the shop").click()
    await page.wait_for_url("**/abort?**")


async def test_closing_the_page_leaves_the_sign_up_open(customer: Customer) -> None:
    await customer.fill()
    await customer.page.close()
    assert customer.finalize()["status"] == "Initiated"
    assert customer.ledger_movements() == []
