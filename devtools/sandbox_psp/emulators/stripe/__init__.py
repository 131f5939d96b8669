"""Stripe, as far as cards by Checkout and SEPA debits need it.

Written from Stripe's public documentation of the API version in `auth.VERSION`; other parameters
are rejected as unknown. Different from the real API: a session ends with the customer's first
decline or cancellation (Stripe leaves it open), every capture after a failed one is a charge of its
own, captures and refunds may be made to settle late, 5xx responses are not stored.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from devtools.sandbox_psp.accounts import Account
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.base import SignedWebhook, emulator_app
from devtools.sandbox_psp.emulators.stripe import errors, events, routes


class StripeEmulator:
    """Stripe: form-encoded requests, JSON responses, signed snapshots as webhooks."""

    name = "stripe"

    def app(self) -> FastAPI | None:
        """Return the API under `/stripe/v1`."""
        return emulator_app("Stripe emulator", routes.router, errors.error_response)

    def webhook(
        self, ctx: Context, account: Account, event: Mapping[str, Any]
    ) -> SignedWebhook | None:
        """Return the event as Stripe would send it, with `Stripe-Signature`."""
        snapshot = events.serialize_event(ctx, account.id, event)
        if snapshot is None:
            return None
        body = json.dumps(snapshot, ensure_ascii=False, indent=2).encode()
        return SignedWebhook({"Stripe-Signature": signature(account.webhook_secret, body)}, body)


def signature(secret: str, body: bytes) -> str:
    """Return `t=<unix seconds>,v1=<hex>`: HMAC-SHA256 over the time, a dot and the body."""
    at = int(time.time())
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"
