"""The sandbox PSP's own webhooks; its API is the one under /v1."""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from devtools.sandbox_psp.accounts import Account
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.base import SignedWebhook


class NativeEmulator:
    """The native API; webhooks are signed with the time of sending."""

    name = "sandbox"

    def app(self) -> FastAPI | None:
        """Return None: the main application serves the native API."""
        return None

    def webhook(
        self, ctx: Context, account: Account, event: Mapping[str, Any]
    ) -> SignedWebhook | None:
        """Return the event as it is in the event list."""
        body = json.dumps(event, ensure_ascii=False).encode()
        headers = {
            "Sandbox-Event-Id": event["id"],
            "Sandbox-Signature": signature(account.webhook_secret, body, int(time.time())),
        }
        return SignedWebhook(headers, body)


def signature(secret: str, body: bytes, at: int) -> str:
    """Return `t=<unix seconds>,v1=<hex>`: HMAC-SHA256 over the time, a dot and the body."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"
