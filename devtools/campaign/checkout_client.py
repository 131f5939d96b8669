"""Customer on the PSP's checkout page, with a browser that retries."""

import asyncio
import time

import httpx

from devtools.campaign.scenario import PlannedPreauth

_FORM = {"holder": "Mia Kern", "expiry": "12/34", "cvc": "123"}
_TIMEOUT_SECONDS = 60.0


class CheckoutClient:
    """Submits checkout forms; retries until the page responds."""

    def __init__(self) -> None:
        self._http = httpx.AsyncClient(timeout=10, trust_env=False, follow_redirects=False)

    async def close(self) -> None:
        """Close the HTTP client."""
        await self._http.aclose()

    async def complete(self, url: str, planned: PlannedPreauth) -> bool:
        """Do the planned checkout action; return False if the page could not be reached."""
        match planned.checkout_action:
            case "abandon" | "none":
                return True
            case "cancel":
                return await self._submit(url, {"action": "cancel"}) is not None
            case "pay":
                return await self._pay(url, planned.card) is not None
            case _:
                next_page = await self._pay(url, planned.card)
                if next_page is None:
                    return False
                page = str(httpx.URL(url).join(next_page))
                return await self._submit(page, {"action": planned.checkout_action}) is not None

    async def _pay(self, url: str, card: str) -> str | None:
        return await self._submit(url, {**_FORM, "card_number": card, "action": "pay"})

    async def _submit(self, url: str, form: dict[str, str]) -> str | None:
        """Submit the form; return the redirect's location, None if the page does not respond."""
        end = time.monotonic() + _TIMEOUT_SECONDS
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
