"""GoCardless as a dialect: its API, and webhooks of one or more events."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from sandbox_psp.accounts import Account
from sandbox_psp.context import Context
from sandbox_psp.dialects.base import Outgoing, dialect_app
from sandbox_psp.dialects.gocardless import pages, routes, told
from sandbox_psp.dialects.gocardless.errors import refuse
from sandbox_psp.dialects.gocardless.records import new_id


class GoCardlessDialect:
    """Signed over the body alone, as hex HMAC-SHA256."""

    name = "gocardless"

    def app(self) -> FastAPI | None:
        """The API and its hosted pages."""
        app = dialect_app("GoCardless", routes.router, refuse)
        app.include_router(pages.router)
        return app

    def webhook(self, ctx: Context, account: Account, event: Mapping[str, Any]) -> Outgoing | None:
        """The event, with another one if that is due, too."""
        events = told.together(ctx, account.id, event)
        body = json.dumps({"events": events, "meta": {"webhook_id": new_id("WB")}}).encode()
        return Outgoing({"Webhook-Signature": signature(account.webhook_secret, body)}, body)


def signature(secret: str, body: bytes) -> str:
    """Hex HMAC-SHA256 of the body."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
