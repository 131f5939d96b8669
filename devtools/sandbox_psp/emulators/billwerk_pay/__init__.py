"""Billwerk+ Pay (formerly Reepay, now Frisbii Pay): API, checkout API and signed webhooks.

Shapes follow the PSP's generated SDKs and its API reference; what the engine cannot do is rejected:
several settles of one charge, order lines instead of an amount, payment methods other than cards.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, FastAPI

from devtools.sandbox_psp.accounts import Account
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.base import SignedWebhook, emulator_app
from devtools.sandbox_psp.emulators.billwerk_pay import events, hosted_pages, routes
from devtools.sandbox_psp.emulators.billwerk_pay.errors import error_response


class BillwerkPayEmulator:
    """Billwerk+ Pay. Both APIs are under `v1`; their paths do not overlap."""

    name = "billwerk_pay"

    def app(self) -> FastAPI | None:
        """Return both APIs, with the return URL of the hosted page."""
        router = APIRouter()
        for subrouter in (routes.router, hosted_pages.router):
            router.include_router(subrouter)
        return emulator_app("Billwerk+ Pay", router, error_response)

    def webhook(
        self, ctx: Context, account: Account, event: Mapping[str, Any]
    ) -> SignedWebhook | None:
        """Return a webhook of ids only; its signature covers just the time and the id."""
        fields = events.event_fields(ctx, event)
        if fields is None:
            return None
        id, at = event["id"], event["created_at"]
        body = {
            "id": id,
            "event_id": id,
            "timestamp": at,
            "signature": signature(account.webhook_secret, at, id),
            **fields,
        }
        return SignedWebhook({}, json.dumps(body).encode())


def signature(secret: str, at: str, id: str) -> str:
    """Return the hex HMAC-SHA256 over the time as text followed by the id."""
    return hmac.new(secret.encode(), f"{at}{id}".encode(), hashlib.sha256).hexdigest()
