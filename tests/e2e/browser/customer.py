"""Customer at the checkout page: sign-up request, page, and the resulting state and ledger."""

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx
from playwright.async_api import Page, expect

from tests.e2e.browser.return_page_server import PAGES, ReturnPageServer
from tests.support.billwerk import Billwerk, new_id

VALID_CARD = "4242 4242 4242 4242"
DECLINED_CARD = "4000 0000 0000 0002"
THREE_D_SECURE_CARD = "4000 0025 0000 3155"
CARD = {"card_number": VALID_CARD, "holder": "Mia Kern", "expiry": "12/40", "cvc": "123"}
AMOUNT = Decimal("119.00")


@dataclass(frozen=True)
class Customer:
    """Customer at the checkout page."""

    page: Page
    billwerk: Billwerk
    return_pages: ReturnPageServer
    sandbox: str
    id: str
    agreement: str
    url: str

    @classmethod
    async def open_checkout(
        cls,
        page: Page,
        billwerk: Billwerk,
        return_pages: ReturnPageServer,
        sandbox: str,
        **changes: Any,
    ) -> Self:
        """Send a sign-up and open its checkout page."""
        agreement = f"browser-{new_id()}"
        payment_means = {"role": "CreditCard", **return_pages.return_urls_for(agreement)}
        body = billwerk.preauth(
            agreement,
            **{"requestedAmount": str(AMOUNT), "paymentMeansReference": payment_means, **changes},
        )
        response = billwerk.post("Preauth", body)
        response.raise_for_status()
        assert response.json()["status"] == "Initiated"
        url = response.json()["redirectUrl"]
        await page.goto(url)
        return cls(page, billwerk, return_pages, sandbox, body["transactionId"], agreement, url)

    async def fill(self, **changes: str) -> None:
        """Fill in a card, the valid one unless changed."""
        for name, value in {**CARD, **changes}.items():
            await self.page.locator(f"#{name}").fill(value)

    async def pay(self, **changes: str) -> None:
        """Fill in a card and click the pay button."""
        await self.fill(**changes)
        await self.click_button("Pay")

    async def click_button(self, name: str) -> None:
        """Click the first button with this text."""
        await self.page.locator("button", has_text=name).first.click()

    async def expect_return_page(self, path: str) -> None:
        """Assert that the customer is at this return page and has visited no other."""
        await expect(self.page.get_by_role("heading", level=1)).to_have_text(PAGES[path])
        parts = urlsplit(self.page.url)
        assert (f"{parts.scheme}://{parts.netloc}", parts.path) == (
            self.return_pages.base_url,
            path,
        )
        query = parse_qs(parts.query)
        assert query["session"] == [self.url.rsplit("/", 1)[-1]]
        assert query.get("order") == (["a b"] if path == "/success" else None)
        assert self.return_pages.visited_paths(self.agreement) == [path]

    def finalize(self) -> dict[str, Any]:
        """Finalize the preauth; return the response body."""
        body: dict[str, Any] = self.billwerk.finalize(self.id).json()
        return body

    def state(self) -> dict[str, Any]:
        """Return the current state of the transaction."""
        body: dict[str, Any] = self.billwerk.get("Preauth", self.id).json()
        return body

    def ledger_movements(self) -> list[tuple[str, Decimal]]:
        """Return kind and amount of the movements in the PSP's ledger."""
        query = {"reference": self.id}
        response = httpx.get(f"{self.sandbox}/_control/ledger", params=query, timeout=30)
        entries = json.loads(response.text, parse_float=Decimal)["entries"]
        return [(entry["kind"], entry["amount"]) for entry in entries]
