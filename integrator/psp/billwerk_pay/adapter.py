"""Adapter of Billwerk+ Pay."""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import httpx
from pydantic import BaseModel

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.billwerk_pay import notifications
from integrator.psp.billwerk_pay.client import BillwerkPayClient
from integrator.psp.billwerk_pay.config import BillwerkPayConfig
from integrator.psp.billwerk_pay.connection import BillwerkPayConnection
from integrator.psp.billwerk_pay.lookup import KEY_WINDOW_SECONDS
from integrator.psp.billwerk_pay.settings import BillwerkPaySettings
from integrator.psp.port import Connection, RateBudget
from integrator.psp.toolkit.adapter import PspAdapter
from integrator.psp.toolkit.http import PspHttp
from integrator.psp.types import (
    CallRate,
    Capabilities,
    IdempotencyMode,
    IdempotencySemantics,
    MethodCapability,
    NotificationEvent,
    ReplayBehavior,
)

_RATE = CallRate(reads=25, writes=10)
"""Per second; the PSP allows short bursts, which are not used."""


class BillwerkPayAdapter(PspAdapter[BillwerkPaySettings]):
    """Cards by hosted checkout. No debits: the PSP's API accepts no IBAN.

    A repetition is recognised by names derived from our reference: a charge by its unique handle, a
    settle (the PSP's term for a capture) and a refund by their texts. Keys are sent as well and
    protect concurrent calls; the PSP does not document how long it keeps them. "Not found" proves
    nothing, as texts are searched in lists.
    """

    name = "billwerk_pay"
    settings_model: type[BaseModel] = BillwerkPaySettings
    capabilities = Capabilities(
        methods={
            Role.CreditCard: MethodCapability(
                capture=True, cancel=True, redirect=True, default_preauth_amount=Decimal(0)
            )
        },
        refunds=True,
        rate=_RATE,
        migration=True,
        movement_list=True,
        idempotency=IdempotencySemantics(
            style=IdempotencyMode.NATURAL,
            on_repeat=ReplayBehavior.EXISTING,
            window_seconds=KEY_WINDOW_SECONDS,
            consistent_lookup=False,
        ),
    )

    def __init__(self, config: BillwerkPayConfig | None = None) -> None:
        self._config = config

    def connect(
        self, settings: BaseModel, http: httpx.AsyncClient, *, budget: RateBudget | None = None
    ) -> Connection:
        """Return a connection for a `BillwerkPaySettings`."""
        merchant = self.cast_settings(settings)
        config = self._config or BillwerkPayConfig.from_environment()
        credentials = f"{merchant.private_key.get_secret_value()}:".encode()
        headers = {"Authorization": f"Basic {base64.b64encode(credentials).decode()}"}
        # An emulator has no rate limit.
        rate_limiter = None if config.url else self.rate_limiter(merchant.private_key, _RATE)
        api, checkout = (
            PspHttp(http, url, headers, rate_limiter, budget) for url in config.addresses
        )
        return BillwerkPayConnection(BillwerkPayClient(api, checkout), merchant)

    def parse_notification(
        self, settings: BaseModel, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        """Verify a webhook and read its event. Raises `NotificationRejected`."""
        return notifications.parse(self.cast_settings(settings).webhook_secret, body, now)

    def read_event(self, raw: bytes) -> Sequence[NotificationEvent]:
        """Read a notification that was verified. Raises `NotificationRejected`."""
        return notifications.read_event(raw)
