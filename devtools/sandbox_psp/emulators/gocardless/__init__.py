"""GoCardless: billing requests, mandates, payments, refunds and their events.

Shapes follow the official client's fixtures. Simplified: one creditor, banks that decide within
`SANDBOX_SETTLE_SECONDS` regardless of the charge date, mandates active at once, no payouts.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from devtools.sandbox_psp.accounts import Account
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.base import SignedWebhook, emulator_app
from devtools.sandbox_psp.emulators.gocardless import events, hosted_pages, routes
from devtools.sandbox_psp.emulators.gocardless.errors import error_response
from devtools.sandbox_psp.emulators.gocardless.models import new_id


class GoCardlessEmulator:
    """GoCardless. Webhooks are signed over the body alone, as hex HMAC-SHA256."""

    name = "gocardless"

    def app(self) -> FastAPI | None:
        """Return the API and its hosted pages."""
        app = emulator_app("GoCardless", routes.router, error_response)
        app.include_router(hosted_pages.router)
        return app

    def webhook(
        self, ctx: Context, account: Account, event: Mapping[str, Any]
    ) -> SignedWebhook | None:
        """Return the event, batched with another one if that is due, too."""
        batch = events.webhook_batch(ctx, account.id, event)
        body = json.dumps({"events": batch, "meta": {"webhook_id": new_id("WB")}}).encode()
        return SignedWebhook({"Webhook-Signature": signature(account.webhook_secret, body)}, body)


def signature(secret: str, body: bytes) -> str:
    """Return the hex HMAC-SHA256 of the body."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
