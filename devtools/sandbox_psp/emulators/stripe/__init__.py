"""Stripe's dialect, as far as cards by Checkout and SEPA debits need it.

Written from Stripe's public documentation of the API version named in `caller.VERSION`; parameters
outside of that part are refused as unknown. Different from the real one: a session ends with the
customer's first decline or cancellation (Stripe leaves it open), every capture is a charge of its
own if an earlier one failed, captures and refunds may be made to settle late, 5xx are not stored.
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
    """Form-encoded requests, JSON answers, signed snapshots as webhooks."""

    name = "stripe"

    def app(self) -> FastAPI | None:
        """The API under `/stripe/v1`."""
        return emulator_app("Stripe's dialect", routes.router, errors.error_response)

    def webhook(
        self, ctx: Context, account: Account, event: Mapping[str, Any]
    ) -> SignedWebhook | None:
        """The event as Stripe would send it, with `Stripe-Signature`."""
        snapshot = events.serialize_event(ctx, account.id, event)
        if snapshot is None:
            return None
        body = json.dumps(snapshot, ensure_ascii=False, indent=2).encode()
        return SignedWebhook({"Stripe-Signature": signature(account.webhook_secret, body)}, body)


def signature(secret: str, body: bytes) -> str:
    """`t=<unix seconds>,v1=<hex>`: HMAC-SHA256 over the time, a dot and the body."""
    at = int(time.time())
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"
