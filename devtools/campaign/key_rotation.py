"""Replacement of the merchant's API key at its PSP while payments are made."""

import asyncio
import secrets
import time
from collections.abc import Mapping

import httpx

from devtools.campaign.psp import SandboxPspClient
from devtools.devstack.emulated_psps import get_emulated_psp

_SAVE_TIMEOUT_SECONDS = 30.0
_PAUSE_SECONDS = 0.3


class KeyRotation:
    """Replaces the key at the PSP first, and in the merchant's settings later."""

    def __init__(self, api: str, token: str, psp_name: str, psp: SandboxPspClient) -> None:
        self._psp_name = psp_name
        self._psp = psp
        self._http = httpx.AsyncClient(
            base_url=api,
            headers={"Authorization": f"Bearer {token}"},
            timeout=20,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def replace_at_psp(self) -> str:
        """Replace the key at the PSP, which rejects the old one from now on; return the new one."""
        key = f"sk_sandbox_{secrets.token_urlsafe(24)}"
        await self._psp.rotate_key(key)
        return key

    async def save(self, key: str, webhook_secret: str) -> bool:
        """Save the key in the merchant's settings; return whether they were accepted in time."""
        form = get_emulated_psp(self._psp_name).settings_form(key, webhook_secret)
        body = {"merchantSettings": [{"keyName": k, "keyValue": v} for k, v in form.items()]}
        end = time.monotonic() + _SAVE_TIMEOUT_SECONDS
        while time.monotonic() < end:
            if await self._is_saved(body):
                return True
            await asyncio.sleep(_PAUSE_SECONDS)
        return False

    async def _is_saved(self, body: Mapping[str, object]) -> bool:
        """Send the settings; the API saves them only if the PSP accepts them."""
        try:
            response = await self._http.put("/api/Settings", json=body)
        except httpx.TransportError:
            return False
        valid = ("isCreditCardValid", "isDebitValid")
        return response.is_success and any(response.json().get(name) for name in valid)
