"""Fixtures: a real stack, a real browser and a server of return pages.

Everything here is asynchronous: Playwright's synchronous interface leaves an event loop marked as
running, in which no asynchronous test of the same session could start.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, Page, WebError, async_playwright, expect

from tests.e2e.browser.chromium import FLAGS, chromium
from tests.e2e.browser.customer import Customer
from tests.e2e.browser.return_page_server import ReturnPageServer
from tests.support.billwerk import Billwerk
from tests.support.paths import ROOT
from tests.support.stack import Stack, running_stack

ARTIFACTS_FOLDER = ROOT / "artifacts"
TIMEOUT_MS = 30_000
expect.set_options(timeout=TIMEOUT_MS)
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}

OpenPage = Callable[..., Awaitable[Page]]
OpenCheckout = Callable[..., Awaitable[Customer]]
TakeScreenshot = Callable[[Page, str], Awaitable[None]]


@pytest.fixture(scope="session")
def executable() -> str:
    """Return the browser's path; first, so that nothing is started where there is none."""
    return chromium()


@pytest.fixture(scope="session")
def stack(executable: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Yield the stack of `make run`; depends on `executable` to skip before starting it."""
    folder = tmp_path_factory.mktemp("browser") / "data"
    with running_stack(folder, {"SANDBOX_SETTLE_SECONDS": "1"}) as stack:
        yield stack


@pytest.fixture(scope="session")
def billwerk(stack: Stack) -> Iterator[Billwerk]:
    with Billwerk(stack.run["api"], stack.token) as billwerk:
        yield billwerk


@pytest.fixture(scope="session")
def return_pages() -> Iterator[ReturnPageServer]:
    with ReturnPageServer() as return_pages:
        yield return_pages


@pytest.fixture(scope="session")
async def browser(executable: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=executable, args=FLAGS, timeout=TIMEOUT_MS
        )
        yield browser
        await browser.close()


@pytest.fixture
async def open_page(browser: Browser, stack: Stack) -> AsyncIterator[OpenPage]:
    """Yield a function that opens a page in a new context.

    Afterwards no page of ours may have had an error, and none requested another host. The Temporal
    UI raises errors of its own, such as one when a pane opens on a busy machine.
    """
    contexts: list[BrowserContext] = []
    errors: list[str] = []
    urls: set[str] = set()

    def collect(error: WebError) -> None:
        if error.page is None or not error.page.url.startswith(stack.run["temporal_ui"]):
            errors.append(str(error.error))

    async def create_page(**options: Any) -> Page:
        context = await browser.new_context(**{**DESKTOP, **options})
        contexts.append(context)
        context.set_default_timeout(TIMEOUT_MS)
        context.on("weberror", collect)
        context.on("request", lambda request: urls.add(request.url))
        return await context.new_page()

    yield create_page
    for context in contexts:
        await context.close()
    assert errors == []
    hosts = {urlsplit(url).hostname for url in urls if url.startswith("http")}
    assert hosts <= {"127.0.0.1"}


@pytest.fixture
async def page(open_page: OpenPage) -> Page:
    """Open a page on a desktop."""
    return await open_page()


@pytest.fixture
def open_checkout(stack: Stack, billwerk: Billwerk, return_pages: ReturnPageServer) -> OpenCheckout:
    """Return a function that opens the checkout page of a new sign-up."""
    sandbox = stack.run["sandbox_psp"]

    async def open_page_at_checkout(page: Page, **changes: Any) -> Customer:
        return await Customer.open_checkout(page, billwerk, return_pages, sandbox, **changes)

    return open_page_at_checkout


@pytest.fixture
async def customer(page: Page, open_checkout: OpenCheckout) -> Customer:
    """Return a customer at the checkout page on a desktop."""
    return await open_checkout(page)


@pytest.fixture
def take_screenshot(tmp_path: Path) -> TakeScreenshot:
    """Return a function that saves a screenshot to a temporary folder.

    With SCREENSHOTS=1, to `artifacts/`.
    """
    folder = ARTIFACTS_FOLDER if os.environ.get("SCREENSHOTS") == "1" else tmp_path
    folder.mkdir(exist_ok=True)

    async def save(page: Page, name: str) -> None:
        await page.screenshot(path=folder / f"{name}.png", full_page=True)

    return save
