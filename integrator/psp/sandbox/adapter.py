"""Adapter of the sandbox PSP."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import httpx
from pydantic import BaseModel

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.port import Connection, RateBudget
from integrator.psp.sandbox import notifications
from integrator.psp.sandbox.client import SandboxClient
from integrator.psp.sandbox.config import SandboxConfig
from integrator.psp.sandbox.connection import SandboxConnection
from integrator.psp.sandbox.settings import SandboxSettings
from integrator.psp.toolkit.adapter import PspAdapter
from integrator.psp.toolkit.http import PspHttp
from integrator.psp.types import (
    Capabilities,
    DateWindow,
    IdempotencySemantics,
    MethodCapability,
    NotificationEvent,
)


class SandboxAdapter(PspAdapter[SandboxSettings]):
    """Cards by hosted checkout, SEPA direct debits by typed IBAN.

    Without `config` the PSP's address is read from the environment, once per process.
    """

    name = "sandbox"
    settings_model: type[BaseModel] = SandboxSettings
    capabilities = Capabilities(
        methods={
            Role.CreditCard: MethodCapability(
                capture=True, cancel=True, redirect=True, default_preauth_amount=Decimal(0)
            ),
            Role.Debit: MethodCapability(
                initial_bearer=True,
                backend_payments=True,
                unconfirmed_ledger=True,
                debit_date_window=DateWindow(earliest_days=0, latest_days=365),
            ),
        },
        refunds=True,
        migration=True,
        order_data_in_preauth=True,
        event_list=True,
        movement_list=True,
        idempotency=IdempotencySemantics(window_seconds=24 * 3600, consistent_lookup=True),
    )

    def __init__(self, config: SandboxConfig | None = None) -> None:
        self._config = config

    def connect(
        self, settings: BaseModel, http: httpx.AsyncClient, *, budget: RateBudget | None = None
    ) -> Connection:
        """Return a connection for a `SandboxSettings`."""
        merchant = self.cast_settings(settings)
        config = self._config or SandboxConfig.from_environment()
        headers = {"Authorization": f"Bearer {merchant.api_key.get_secret_value()}"}
        client = SandboxClient(PspHttp(http, config.base_url, headers, budget=budget))
        return SandboxConnection(client, merchant.webhook_secret)

    def parse_notification(
        self, settings: BaseModel, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        """Verify a webhook and read its event. Raises `NotificationRejected`."""
        return notifications.parse(self.cast_settings(settings).webhook_secret, headers, body, now)

    def read_event(self, raw: bytes) -> Sequence[NotificationEvent]:
        """Read an entry of the event list. Raises `NotificationRejected`."""
        return notifications.read_event(raw)
