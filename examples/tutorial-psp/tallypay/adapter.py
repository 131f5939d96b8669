"""The adapter of TallyPay."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import httpx
from pydantic import BaseModel, Field, ValidationError

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.errors import NotificationRejected
from integrator.psp.port import Connection
from integrator.psp.toolkit.adapter import PspAdapter
from integrator.psp.toolkit.http import PspHttp
from integrator.psp.toolkit.secrets import Secret, Secrets
from integrator.psp.toolkit.settings import MerchantSettings
from integrator.psp.toolkit.signatures import require_timestamped_signature
from integrator.psp.toolkit.wire import Id, WireModel
from integrator.psp.types import (
    Capabilities,
    IdempotencySemantics,
    MethodCapability,
    NotificationEvent,
)
from tallypay.connection import TallyPayClient, TallyPayConnection

API_URL = "https://api.tallypay.example"
SEVEN_DAYS_IN_SECONDS = 7 * 24 * 3600


class TallyPaySettings(MerchantSettings):
    """One merchant's account; the aliases are the keys of the settings form."""

    token: Secret = Field(alias="Token", title="API token")
    webhook_secret: Secrets = Field(alias="WebhookSecret", title="Webhook secret")


class Event(WireModel):
    """A notification: it names the changed object, but not its state."""

    event: Id
    kind: str
    id: Id
    reference: str | None = None


class TallyPayAdapter(PspAdapter[TallyPaySettings]):
    """SEPA direct debits by typed IBAN."""

    name = "tallypay"
    settings_model: type[BaseModel] = TallyPaySettings
    capabilities = Capabilities(
        methods={Role.Debit: MethodCapability(initial_bearer=True, unconfirmed_ledger=True)},
        refunds=True,
        idempotency=IdempotencySemantics(
            window_seconds=SEVEN_DAYS_IN_SECONDS, consistent_lookup=True
        ),
    )

    def connect(self, settings: BaseModel, http: httpx.AsyncClient) -> Connection:
        """Open a connection with a `TallyPaySettings`."""
        token = self.cast_settings(settings).token.get_secret_value()
        psp_http = PspHttp(http, API_URL, {"Authorization": f"Token {token}"})
        return TallyPayConnection(TallyPayClient(psp_http))

    def parse_notification(
        self, settings: BaseModel, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        """Verify the raw body, then parse its event. Raises `NotificationRejected`."""
        secrets = self.cast_settings(settings).webhook_secret
        require_timestamped_signature(secrets, headers, "TallyPay-Signature", body, now)
        return self.read_event(body)

    def read_event(self, raw: bytes) -> Sequence[NotificationEvent]:
        """Return which transaction has changed; its state has to be fetched."""
        try:
            event = Event.model_validate_json(raw)
        except ValidationError:
            raise NotificationRejected("The body is not a TallyPay event") from None
        if event.kind not in ("mandate", "payment", "refund"):
            return [NotificationEvent(event_id=event.event, relevant=False)]
        return [
            NotificationEvent(event_id=event.event, reference=event.reference, psp_ids=(event.id,))
        ]
