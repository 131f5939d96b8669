"""A customer's sign-up: the request behind it, the page in front of them, the books after it."""

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx
from playwright.async_api import Page, expect

from tests.browser.return_page_server import PAGES, Shop
from tests.support.billwerk import Billwerk, new_id

GOOD = "4242 4242 4242 4242"
DECLINED = "4000 0000 0000 0002"
THREE_D_SECURE = "4000 0025 0000 3155"
CARD = {"card_number": GOOD, "holder": "Mia Kern", "expiry": "12/40", "cvc": "123"}
AMOUNT = Decimal("119.00")


@dataclass(frozen=True)
class Customer:
    """One customer at the checkout page."""

    page: Page
    billwerk: Billwerk
    shop: Shop
    sandbox: str
    id: str
    agreement: str
    url: str

    @classmethod
    async def arrive(
        cls, page: Page, billwerk: Billwerk, shop: Shop, sandbox: str, **changes: Any
    ) -> Self:
        """Sign up at the shop, and be sent to the checkout page."""
        agreement = f"browser-{new_id()}"
        means = {"role": "CreditCard", **shop.for_agreement(agreement)}
        body = billwerk.preauth(
            agreement, **{"requestedAmount": str(AMOUNT), "paymentMeansReference": means, **changes}
        )
        opened = billwerk.post("Preauth", body)
        opened.raise_for_status()
        assert opened.json()["status"] == "Initiated"
        url = opened.json()["redirectUrl"]
        await page.goto(url)
        return cls(page, billwerk, shop, sandbox, body["transactionId"], agreement, url)

    async def fill(self, **changes: str) -> None:
        """Type a card, the good one unless changed."""
        for name, value in {**CARD, **changes}.items():
            await self.page.locator(f"#{name}").fill(value)

    async def pay(self, **changes: str) -> None:
        """Type a card and press the pay button."""
        await self.fill(**changes)
        await self.press("Pay")

    async def press(self, name: str) -> None:
        """Press the button whose words begin so."""
        await self.page.locator("button", has_text=name).first.click()

    async def expect_at(self, path: str) -> None:
        """The customer is back at this page of the shop, and has been nowhere else there."""
        await expect(self.page.get_by_role("heading", level=1)).to_have_text(PAGES[path])
        parts = urlsplit(self.page.url)
        assert (f"{parts.scheme}://{parts.netloc}", parts.path) == (self.shop.base, path)
        query = parse_qs(parts.query)
        assert query["session"] == [self.url.rsplit("/", 1)[-1]]
        assert query.get("order") == (["a b"] if path == "/success" else None)
        assert self.shop.arrivals(self.agreement) == [path]

    def finalize(self) -> dict[str, Any]:
        """What the platform hears when it asks after the customer came back."""
        answer: dict[str, Any] = self.billwerk.finalize(self.id).json()
        return answer

    def state(self) -> dict[str, Any]:
        """The transaction as it is now."""
        answer: dict[str, Any] = self.billwerk.get("Preauth", self.id).json()
        return answer

    def booked(self) -> list[tuple[str, Decimal]]:
        """The movements in the PSP's ledger: kind and amount."""
        query = {"reference": self.id}
        found = httpx.get(f"{self.sandbox}/_control/ledger", params=query, timeout=30)
        entries = json.loads(found.text, parse_float=Decimal)["entries"]
        return [(entry["kind"], entry["amount"]) for entry in entries]
