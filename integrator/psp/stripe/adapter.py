"""Stripe behind the port."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import httpx
from pydantic import BaseModel

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.port import Connection
from integrator.psp.stripe import notifications
from integrator.psp.stripe.client import VERSION, StripeClient
from integrator.psp.stripe.config import StripeConfig
from integrator.psp.stripe.connection import StripeConnection
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
_LIVE = CallRate(reads=100, writes=100)
_SANDBOX = CallRate(reads=25, writes=25)
_SANDBOX_KEYS = ("sk_test_", "rk_test_")


class StripeAdapter(PspAdapter[StripeSettings]):
    """Cards by hosted Checkout with strong authentication there, SEPA debits by typed IBAN.

    `config` says where Stripe is; without it the environment does, once per process.
    """

    name = "stripe"
    settings_model: type[BaseModel] = StripeSettings
    capabilities = Capabilities(
        methods={
            Role.CreditCard: MethodCapability(
                capture=True, cancel=True, redirect=True, default_preauth_amount=Decimal(0)
            ),
            Role.Debit: MethodCapability(
                initial_bearer=True, backend_payments=True, unconfirmed_ledger=True
            ),
        },
        refunds=True,
        rate=_LIVE,
        migration=True,
        event_list=True,
        movement_list=True,
        # Lists are consistent, but what is old is only found by a search, which lags.
        idempotency=IdempotencySemantics(window_seconds=24 * 3600, consistent_lookup=False),
    )

    def __init__(self, config: StripeConfig | None = None) -> None:
        self._config = config

    def connect(self, settings: BaseModel, http: httpx.AsyncClient) -> Connection:
        """Open the adapter with a `StripeSettings`."""
        key = self.own(settings).api_key
        secret = key.get_secret_value()
        config = self._config or StripeConfig.of_environment()
        headers = {"Authorization": f"Bearer {secret}", "Stripe-Version": VERSION}
        rate = _SANDBOX if secret.startswith(_SANDBOX_KEYS) else _LIVE
        # A stand-in allows any rate.
        budget = None if config.url else self.budget(key, rate)
        return StripeConnection(StripeClient(PspHttp(http, config.base_url, headers, budget)))

    def parse_notification(
        self, settings: BaseModel, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        """Verify a webhook and read its event. Raises `NotificationRejected`."""
        return notifications.parse(self.own(settings).webhook_secret, headers, body, now)

    def read_event(self, raw: bytes) -> Sequence[NotificationEvent]:
        """Read an entry of the event list. Raises `NotificationRejected`."""
        return notifications.read(raw)
