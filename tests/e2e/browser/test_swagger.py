"""Swagger UI works without internet access."""

import pytest
from playwright.async_api import expect

from tests.e2e.browser.conftest import OpenPage, TakeScreenshot
from tests.support.stack import Stack

pytestmark = pytest.mark.browser


async def test_swagger_ui_shows_the_api(
    stack: Stack, open_page: OpenPage, take_screenshot: TakeScreenshot
) -> None:
    page = await open_page(viewport={"width": 1280, "height": 1600})
    await page.goto(f"{stack.run['api']}/docs")
    await expect(page.get_by_role("heading", name="Payment Integrator").first).to_be_visible()
    await expect(page.get_by_text("/api/Preauth/Finalize")).to_be_visible()
    await take_screenshot(page, "swagger")


async def test_swagger_ui_shows_the_sandbox_psp(stack: Stack, open_page: OpenPage) -> None:
    page = await open_page()
    await page.goto(f"{stack.run['sandbox_psp']}/docs")
    await expect(page.get_by_text("/v1/charges", exact=True).first).to_be_visible()
