"""A real stack, a real browser and a shop between them.

Everything here is asynchronous: Playwright's synchronous interface leaves an event loop marked as
running, in which no asynchronous test of the same session could start.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.browser.chromium import FLAGS, chromium
from tests.browser.customer import Customer
from tests.browser.return_page_server import Shop
from tests.support.billwerk import Billwerk
from tests.support.stack import Stack

ARTIFACTS = Path(__file__).parents[2] / "artifacts"
PATIENCE = 30_000
expect.set_options(timeout=PATIENCE)
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}

OpenPage = Callable[..., Awaitable[Page]]
Arrive = Callable[..., Awaitable[Customer]]
Shoot = Callable[[Page, str], Awaitable[None]]


@pytest.fixture(scope="session")
def executable() -> str:
    """The browser; asked for first, so that nothing is started where there is none."""
    return chromium()


@pytest.fixture(scope="session")
def stack(executable: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack of `make run`; `executable` only says that it will be used."""
    stack = Stack(tmp_path_factory.mktemp("browser") / "data", {"SANDBOX_SETTLE_SECONDS": "1"})
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def billwerk(stack: Stack) -> Iterator[Billwerk]:
    with Billwerk(stack.run["api"], stack.token) as billwerk:
        yield billwerk


@pytest.fixture(scope="session")
def shop() -> Iterator[Shop]:
    with Shop() as shop:
        yield shop


@pytest.fixture(scope="session")
async def browser(executable: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=executable, args=FLAGS, timeout=PATIENCE
        )
        yield browser
        await browser.close()


@pytest.fixture
async def open_page(browser: Browser) -> AsyncIterator[OpenPage]:
    """Opens pages of fresh visitors; afterwards none may have failed or reached out of here."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []
    addresses: set[str] = set()

    async def open_(**options: Any) -> Page:
        context = await browser.new_context(**{**DESKTOP, **options})
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        context.on("weberror", lambda fault: faults.append(str(fault.error)))
        context.on("request", lambda request: addresses.add(request.url))
        return await context.new_page()

    yield open_
    for context in contexts:
        await context.close()
    assert faults == []
    hosts = {urlsplit(address).hostname for address in addresses if address.startswith("http")}
    assert hosts <= {"127.0.0.1"}


@pytest.fixture
async def page(open_page: OpenPage) -> Page:
    """A desktop visitor."""
    return await open_page()


@pytest.fixture
def arrive(stack: Stack, billwerk: Billwerk, shop: Shop) -> Arrive:
    """Brings a visitor to the checkout page of a new sign-up."""
    sandbox = stack.run["sandbox_psp"]

    async def bring(page: Page, **changes: Any) -> Customer:
        return await Customer.arrive(page, billwerk, shop, sandbox, **changes)

    return bring


@pytest.fixture
async def customer(page: Page, arrive: Arrive) -> Customer:
    """A desktop visitor at the checkout page."""
    return await arrive(page)


@pytest.fixture
def shoot(tmp_path: Path) -> Shoot:
    """Takes a picture: into the test's own folder, with SCREENSHOTS=1 into `artifacts/`."""
    folder = ARTIFACTS if os.environ.get("SCREENSHOTS") == "1" else tmp_path
    folder.mkdir(exist_ok=True)

    async def take(page: Page, name: str) -> None:
        await page.screenshot(path=folder / f"{name}.png", full_page=True)

    return take
