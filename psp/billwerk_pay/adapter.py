"""Billwerk+ Pay behind the port."""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import httpx
from pydantic import BaseModel

from contract.enums import PublicPaymentProviderRole as Role
from psp.billwerk_pay import notifications
from psp.billwerk_pay.client import Client
from psp.billwerk_pay.config import BillwerkPayConfig
from psp.billwerk_pay.connection import BillwerkPayConnection
from psp.billwerk_pay.settings import BillwerkPaySettings
from psp.common.budget import budget_of
from psp.common.http import PspHttp
from psp.common.secrets import tell_apart
from psp.errors import NotificationRejected
from psp.port import Connection
from psp.types import (
    CallRate,
    Capabilities,
    KeySemantics,
    KeyStyle,
    MethodCapability,
    Notice,
    OnRepeat,
)

_RATE = CallRate(reads=25, writes=10)
"""Per second; short bursts of more are allowed and not relied on."""


class BillwerkPayAdapter:
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
        idempotency=KeySemantics(
            style=KeyStyle.NATURAL,
            on_repeat=OnRepeat.EXISTING,
            window_seconds=24 * 3600,
            consistent_lookup=False,
        ),
    )

    def __init__(self, config: BillwerkPayConfig | None = None) -> None:
        self._config = config

    def check_initial_bearer(self, role: Role, bearer: Mapping[str, str] | None) -> None:
        """Nothing to check: cards are typed at the PSP only."""

    def connect(self, settings: BaseModel, http: httpx.AsyncClient) -> Connection:
        """Open the adapter with a `BillwerkPaySettings`."""
        merchant = _own(settings)
        config = self._config or BillwerkPayConfig()
        credentials = f"{merchant.private_key.get_secret_value()}:".encode()
        headers = {"Authorization": f"Basic {base64.b64encode(credentials).decode()}"}
        account = tell_apart(merchant.private_key)
        budget = budget_of(self.name, account, reads=_RATE.reads, writes=_RATE.writes)
        # A stand-in allows any rate.
        own = None if config.url else budget
        api, checkout = (PspHttp(http, url, headers, own) for url in config.addresses)
        return BillwerkPayConnection(Client(api, checkout), merchant)

    def parse_notification(
        self, settings: BaseModel, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Sequence[Notice]:
        """Verify a webhook and read its event. Raises `NotificationRejected`."""
        return notifications.parse(_own(settings).webhook_secret, body, now)

    def read_event(self, raw: bytes) -> Sequence[Notice]:
        """Never called, as no events are listed. Raises `NotificationRejected`."""
        raise NotificationRejected("Billwerk+ Pay has no list of events")


def _own(settings: BaseModel) -> BillwerkPaySettings:
    if not isinstance(settings, BillwerkPaySettings):
        raise TypeError(f"BillwerkPaySettings needed, not {type(settings).__name__}")
    return settings
