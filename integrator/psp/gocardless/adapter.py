"""Adapter of GoCardless."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import httpx
from pydantic import BaseModel

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.gocardless import notifications
from integrator.psp.gocardless.client import GoCardlessClient
from integrator.psp.gocardless.config import GoCardlessConfig
from integrator.psp.gocardless.connection import GoCardlessConnection
from integrator.psp.gocardless.lookup import KEY_WINDOW_SECONDS
from integrator.psp.gocardless.settings import GoCardlessSettings
from integrator.psp.port import Connection, RateBudget
from integrator.psp.toolkit.adapter import PspAdapter
from integrator.psp.toolkit.http import PspHttp
from integrator.psp.types import (
    CallRate,
    Capabilities,
    DateWindow,
    IdempotencySemantics,
    MethodCapability,
    NotificationEvent,
    Operation,
    ReplayBehavior,
)

_VERSION = "2015-07-06"
# 1000 calls a minute are allowed, reads and writes together (a secondary source).
_RATE = CallRate(reads=8, writes=8)


_CHARGE_DATES = DateWindow(earliest_days=0, latest_days=360, zone="Europe/London")
"""GoCardless takes dates up to a year ahead (unconfirmed); its cut-off times are those of London.

A date that has become too near is moved to the mandate's next possible one when it is sent.
"""


def _mandate_capability(*, by_iban: bool = False) -> MethodCapability:
    return MethodCapability(
        cancel=True,
        redirect=True,
        initial_bearer=by_iban,
        backend_payments=by_iban,
        unconfirmed_ledger=True,
        unconfirmed_ledger_for_refund=True,
        debit_date_window=_CHARGE_DATES,
    )


class GoCardlessAdapter(PspAdapter[GoCardlessSettings]):
    """Direct debits. A preauth is a mandate without reservation; a cancel ends an open sign-up.

    Sign-up by IBAN requires GoCardless' permission for custom payment pages; without it, it is
    declined as `InvalidConfiguration`. Without `config` the address is read from the environment,
    once per process.
    """

    name = "gocardless"
    settings_model: type[BaseModel] = GoCardlessSettings
    capabilities = Capabilities(
        methods={
            Role.Debit: _mandate_capability(by_iban=True),
            Role.Autogiro: _mandate_capability(),
            Role.Betalingsservice: _mandate_capability(),
        },
        refunds=True,
        asynchronous=frozenset({Operation.CHARGE, Operation.REFUND}),
        rate=_RATE,
        migration=True,
        event_list=True,
        movement_list=True,
        # 250 events, each with the metadata of its object in escaped characters:
        # https://developer.gocardless.com/api-reference/#webhooks-overview
        max_notification_bytes=8 * 2**20,
        idempotency=IdempotencySemantics(
            on_repeat=ReplayBehavior.EXISTING,
            window_seconds=KEY_WINDOW_SECONDS,
            consistent_lookup=False,
        ),
    )

    def __init__(self, config: GoCardlessConfig | None = None) -> None:
        self._config = config

    def connect(
        self, settings: BaseModel, http: httpx.AsyncClient, *, budget: RateBudget | None = None
    ) -> Connection:
        """Return a connection for a `GoCardlessSettings`."""
        merchant = self.cast_settings(settings)
        config = self._config or GoCardlessConfig.from_environment()
        headers = {
            "Authorization": f"Bearer {merchant.access_token.get_secret_value()}",
            "GoCardless-Version": _VERSION,
            "Accept": "application/json",
        }
        # An emulator has no rate limit.
        rate_limiter = None if config.url else self.rate_limiter(merchant.access_token, _RATE)
        base = config.base_url(merchant.environment)
        psp_http = PspHttp(http, base, headers, rate_limiter, budget)
        return GoCardlessConnection(GoCardlessClient(psp_http))

    def parse_notification(
        self, settings: BaseModel, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        """Verify a webhook and read its events. Raises `NotificationRejected`."""
        return notifications.parse(self.cast_settings(settings).webhook_secret, headers, body)

    def read_event(self, raw: bytes) -> Sequence[NotificationEvent]:
        """Read an entry of the event list. Raises `NotificationRejected`."""
        return notifications.read_event(raw)
