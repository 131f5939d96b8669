"""Adapter of Stripe."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import httpx
from pydantic import BaseModel

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.port import Connection, RateBudget
from integrator.psp.stripe import notifications
from integrator.psp.stripe.client import VERSION, StripeClient
from integrator.psp.stripe.config import StripeConfig
from integrator.psp.stripe.connection import StripeConnection
from integrator.psp.stripe.lookup import KEY_WINDOW_SECONDS
from integrator.psp.stripe.request_bodies import DEBIT_DATES
from integrator.psp.stripe.settings import StripeSettings
from integrator.psp.toolkit.adapter import PspAdapter
from integrator.psp.toolkit.http import PspHttp
from integrator.psp.types import (
    CallRate,
    Capabilities,
    IdempotencySemantics,
    MethodCapability,
    NotificationEvent,
)

# https://docs.stripe.com/rate-limits
_LIVE_RATE = CallRate(reads=100, writes=100)
_SANDBOX_RATE = CallRate(reads=25, writes=25)
_SANDBOX_KEYS = ("sk_test_", "rk_test_")


class StripeAdapter(PspAdapter[StripeSettings]):
    """Cards by hosted Checkout with strong customer authentication, SEPA debits by typed IBAN.

    Without `config` Stripe's address is read from the environment, once per process.
    """

    name = "stripe"
    settings_model: type[BaseModel] = StripeSettings
    capabilities = Capabilities(
        methods={
            Role.CreditCard: MethodCapability(
                capture=True, cancel=True, redirect=True, default_preauth_amount=Decimal(0)
            ),
            Role.Debit: MethodCapability(
                initial_bearer=True,
                backend_payments=True,
                unconfirmed_ledger=True,
                debit_date_window=DEBIT_DATES,
            ),
        },
        refunds=True,
        rate=_LIVE_RATE,
        migration=True,
        event_list=True,
        movement_list=True,
        # An object with all its metadata, twice if they changed.
        max_notification_bytes=2 * 2**20,
        # Every look-up answers for itself (`Absent`).
        idempotency=IdempotencySemantics(
            window_seconds=KEY_WINDOW_SECONDS, consistent_lookup=False
        ),
    )

    def __init__(self, config: StripeConfig | None = None) -> None:
        self._config = config

    def connect(
        self, settings: BaseModel, http: httpx.AsyncClient, *, budget: RateBudget | None = None
    ) -> Connection:
        """Return a connection for a `StripeSettings`."""
        key = self.cast_settings(settings).api_key
        secret = key.get_secret_value()
        config = self._config or StripeConfig.from_environment()
        headers = {"Authorization": f"Bearer {secret}", "Stripe-Version": VERSION}
        rate = _SANDBOX_RATE if secret.startswith(_SANDBOX_KEYS) else _LIVE_RATE
        # An emulator has no rate limit.
        rate_limiter = None if config.url else self.rate_limiter(key, rate)
        psp_http = PspHttp(http, config.base_url, headers, rate_limiter, budget)
        return StripeConnection(StripeClient(psp_http))

    def parse_notification(
        self, settings: BaseModel, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        """Verify a webhook and read its event. Raises `NotificationRejected`."""
        return notifications.parse(self.cast_settings(settings).webhook_secret, headers, body, now)

    def read_event(self, raw: bytes) -> Sequence[NotificationEvent]:
        """Read an entry of the event list. Raises `NotificationRejected`."""
        return notifications.read_event(raw)
