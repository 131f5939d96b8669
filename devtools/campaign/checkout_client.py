"""A customer at the PSP's checkout page, with a browser that tries again."""

import asyncio
import time

import httpx

from devtools.campaign.scenario import Preauth

_FORM = {"holder": "Mia Kern", "expiry": "12/34", "cvc": "123"}
_ENOUGH_SECONDS = 60.0


class Customer:
    """Fills in forms; a page that does not come is asked for again."""

    def __init__(self) -> None:
        self._http = httpx.AsyncClient(timeout=10, trust_env=False, follow_redirects=False)

    async def close(self) -> None:
        """Close the browser."""
        await self._http.aclose()

    async def visit(self, url: str, wanted: Preauth) -> bool:
        """Do what the plan says; False when the page could not be reached."""
        match wanted.visit:
            case "abandon" | "none":
                return True
            case "cancel":
                return await self._submit(url, {"action": "cancel"}) is not None
            case "pay":
                return await self._pay(url, wanted.card) is not None
            case _:
                led_to = await self._pay(url, wanted.card)
                if led_to is None:
                    return False
                page = str(httpx.URL(url).join(led_to))
                return await self._submit(page, {"action": wanted.visit}) is not None

    async def _pay(self, url: str, card: str) -> str | None:
        return await self._submit(url, {**_FORM, "card_number": card, "action": "pay"})

    async def _submit(self, url: str, form: dict[str, str]) -> str | None:
        """Where the form leads to; None when the page stays away."""
        end = time.monotonic() + _ENOUGH_SECONDS
        while time.monotonic() < end:
            try:
                response = await self._http.post(url, data=form)
            except httpx.TransportError:
                await asyncio.sleep(0.3)
                continue
            if response.status_code == 303:
                return response.headers["location"]
            await asyncio.sleep(0.3)
        return None
