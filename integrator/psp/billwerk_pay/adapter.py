"""Billwerk+ Pay behind the port."""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import httpx
from pydantic import BaseModel

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.billwerk_pay import notifications
from integrator.psp.billwerk_pay.client import Client
from integrator.psp.billwerk_pay.config import BillwerkPayConfig
from integrator.psp.billwerk_pay.connection import BillwerkPayConnection
from integrator.psp.billwerk_pay.settings import BillwerkPaySettings
from integrator.psp.port import Connection
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
"""Per second; short bursts of more are allowed and not relied on."""


class BillwerkPayAdapter(PspAdapter[BillwerkPaySettings]):
    """Cards by hosted checkout. No debits: an IBAN cannot be handed over, only typed at the PSP.

    A repetition is recognised by names made of our reference: a charge by its unique handle, a
    settle and a refund by their texts. Keys are sent along and protect calls that overlap; how long
    the PSP keeps them it does not say. "Not found" is no proof, as texts are found in lists.
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
            window_seconds=24 * 3600,
            consistent_lookup=False,
        ),
    )

    def __init__(self, config: BillwerkPayConfig | None = None) -> None:
        self._config = config

    def connect(self, settings: BaseModel, http: httpx.AsyncClient) -> Connection:
        """Open the adapter with a `BillwerkPaySettings`."""
        merchant = self.own(settings)
        config = self._config or BillwerkPayConfig.of_environment()
        credentials = f"{merchant.private_key.get_secret_value()}:".encode()
        headers = {"Authorization": f"Basic {base64.b64encode(credentials).decode()}"}
        # A stand-in allows any rate.
        budget = None if config.url else self.budget(merchant.private_key, _RATE)
        api, checkout = (PspHttp(http, url, headers, budget) for url in config.addresses)
        return BillwerkPayConnection(Client(api, checkout), merchant)

    def parse_notification(
        self, settings: BaseModel, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        """Verify a webhook and read its event. Raises `NotificationRejected`."""
        return notifications.parse(self.own(settings).webhook_secret, body, now)
