"""The API explains itself without the internet."""

import pytest
from playwright.async_api import expect

from tests.browser.conftest import OpenPage, Shoot
from tests.support.stack import Stack

pytestmark = pytest.mark.browser


async def test_swagger_ui_shows_the_api(stack: Stack, open_page: OpenPage, shoot: Shoot) -> None:
    page = await open_page(viewport={"width": 1280, "height": 1600})
    await page.goto(f"{stack.run['api']}/docs")
    await expect(page.get_by_role("heading", name="Payment Integrator").first).to_be_visible()
    await expect(page.get_by_text("/api/Preauth/Finalize")).to_be_visible()
    await shoot(page, "swagger")


async def test_the_sandbox_psp_shows_its_dialect(stack: Stack, open_page: OpenPage) -> None:
    page = await open_page()
    await page.goto(f"{stack.run['sandbox_psp']}/docs")
    await expect(page.get_by_text("/v1/charges", exact=True).first).to_be_visible()
