"""TallyPay behind the port."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import cast

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract.enums import PublicPaymentProviderRole as Role
from psp.common.bearer import bank_account
from psp.common.http import PspHttp
from psp.common.secrets import Secret, Secrets, split
from psp.common.signatures import header, require_fresh, require_hmac_sha256, timestamped
from psp.errors import NotificationRejected
from psp.port import Connection
from psp.types import Capabilities, KeySemantics, MethodCapability, Notice
from tallypay.connection import TallyPayConnection
from tallypay.wire import Wire

URL = "https://api.tallypay.example"
SEVEN_DAYS = 7 * 24 * 3600


class TallyPaySettings(BaseModel):
    """One merchant's account; the aliases are the keys of the settings form."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    token: Secret = Field(alias="Token", title="API token")
    webhook_secret: Secrets = Field(alias="WebhookSecret", title="Webhook secret")


class Event(Wire):
    """A notification: what has changed, but not how."""

    event: str = Field(min_length=1)
    kind: str
    id: str = Field(min_length=1)
    reference: str | None = None


class TallyPayAdapter:
    """SEPA direct debits by typed IBAN."""

    name = "tallypay"
    settings_model: type[BaseModel] = TallyPaySettings
    capabilities = Capabilities(
        methods={Role.Debit: MethodCapability(initial_bearer=True, unconfirmed_ledger=True)},
        refunds=True,
        idempotency=KeySemantics(window_seconds=SEVEN_DAYS, consistent_lookup=True),
    )

    def check_initial_bearer(self, role: Role, bearer: Mapping[str, str] | None) -> None:
        """A debit needs its holder and a valid IBAN."""
        bank_account(bearer)

    def connect(self, settings: BaseModel, http: httpx.AsyncClient) -> Connection:
        """Open the adapter with a `TallyPaySettings`."""
        token = cast(TallyPaySettings, settings).token.get_secret_value()
        return TallyPayConnection(PspHttp(http, URL, {"Authorization": f"Token {token}"}))

    def parse_notification(
        self, settings: BaseModel, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Sequence[Notice]:
        """Verify the raw body, then read its event. Raises `NotificationRejected`."""
        secrets = split(cast(TallyPaySettings, settings).webhook_secret)
        at, digests = timestamped(header(headers, "TallyPay-Signature"))
        require_fresh(int(at), now)
        require_hmac_sha256(secrets, f"{at}.".encode() + body, digests)
        return self.read_event(body)

    def read_event(self, raw: bytes) -> Sequence[Notice]:
        """Which transaction has changed; its state has to be fetched."""
        try:
            event = Event.model_validate_json(raw)
        except ValidationError:
            raise NotificationRejected("This is not an event of TallyPay") from None
        if event.kind not in ("mandate", "payment", "refund"):
            return [Notice(event_id=event.event, relevant=False)]
        return [Notice(event_id=event.event, reference=event.reference, psp_ids=(event.id,))]
