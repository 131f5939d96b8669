"""Sign in at the codec server and let the Temporal UI decrypt payloads, as an operator does."""

from collections.abc import Awaitable, Callable

from playwright.async_api import Page, expect


async def enable_decryption(
    page: Page,
    codec_server: str,
    token: str,
    take_screenshot: Callable[[Page, str], Awaitable[None]],
) -> None:
    """Enable decryption in the Temporal UI of this browser context; `page` shows a workflow."""
    codec = await page.context.new_page()
    await codec.goto(codec_server)
    await codec.get_by_label("Token").fill(token)
    await codec.get_by_role("button", name="Sign in").click()
    await expect(codec.get_by_text("You are signed in.")).to_be_visible()
    await take_screenshot(codec, "codec-server")

    await page.get_by_role("button", name="Codec Server could not connect").click()
    dialog = page.get_by_role("dialog", name="Codec Server")
    await dialog.get_by_text("Use my browser setting and ignore").click()
    endpoint = dialog.get_by_role("textbox", name="Codec Server browser endpoint")
    await endpoint.fill(codec_server)
    credentials_switch = dialog.get_by_role("switch", name="Include cross-origin credentials")
    await credentials_switch.press("Space")
    await expect(credentials_switch).to_be_checked()
    await take_screenshot(page, "temporal-encoder")
    await dialog.get_by_role("button", name="Apply").click()
    await page.reload()
