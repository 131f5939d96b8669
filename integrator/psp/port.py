"""The port: the one protocol between this system and a payment service provider.

An adapter is a stateless description (`Adapter`) that opens a `Connection` for one merchant's
settings. Connections do the calls; everything else about a PSP is data.

Rules for every operation of a connection:

* a definite answer of the PSP is returned as an `Outcome`, a decline included;
* anything else raises a `PspError`; an unknown outcome is `OutcomeUnknown`, never `Declined`;
* the call's idempotency key goes to the PSP unchanged: a repetition cannot move money twice;
* amounts come and go as `Decimal` in major units; minor units exist only inside the adapter.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import httpx
from pydantic import BaseModel

from integrator.contract.enums import PublicPaymentProviderRole
from integrator.psp.types import (
    Authorize,
    Capabilities,
    Capture,
    Charge,
    EventPage,
    Lookup,
    MovementPage,
    NotificationEvent,
    Outcome,
    Refund,
    SettingsCheck,
    Void,
)


class Connection(Protocol):
    """An adapter at work for one merchant."""

    async def authorize(self, call: Authorize) -> Outcome:
        """Reserve money or store a payment method; may ask for a redirect."""

    async def void(self, call: Void) -> Outcome:
        """Give a reservation back. `Approved` is the confirmation; `Declined` keeps it."""

    async def capture(self, call: Capture) -> Outcome:
        """Turn a reservation into a payment."""

    async def charge(self, call: Charge) -> Outcome:
        """Take a payment with a stored payment method."""

    async def refund(self, call: Refund) -> Outcome:
        """Give money of a payment back."""

    async def fetch_authorization(self, lookup: Lookup) -> Outcome | None:
        """The PSP's present view; None when the PSP knows nothing under id and reference."""

    async def fetch_payment(self, lookup: Lookup) -> Outcome | None:
        """As `fetch_authorization`, for captures and charges; its chargebacks are facts too."""

    async def fetch_refund(self, lookup: Lookup) -> Outcome | None:
        """As `fetch_authorization`, for refunds."""

    async def verify_settings(self) -> SettingsCheck:
        """Read-only check of the settings.

        Credentials that the PSP refuses raise `CredentialsRejected`; settings that are wrong in
        another way (a webhook secret that is not the PSP's) are an empty result.
        """

    async def list_events(self, cursor: str | None) -> EventPage:
        """What the PSP has reported or would have, behind `cursor`; None: from the beginning.

        Called only with the capability `event_list`. An entry that is no event is left out.
        """

    async def list_movements(
        self, since: datetime, until: datetime, cursor: str | None
    ) -> MovementPage:
        """Everything made at the PSP from `since` until before `until`, whoever made it.

        Called only with the capability `movement_list`. `cursor` is None for the first part of a
        window, then the one of the part before.
        """


class Adapter(Protocol):
    """One PSP: found by its entry point in the group `integrator.psp`."""

    name: str
    capabilities: Capabilities
    settings_model: type[BaseModel]

    def check_initial_bearer(
        self, role: PublicPaymentProviderRole, bearer: Mapping[str, str] | None
    ) -> None:
        """Refuse payment data that cannot be right, without asking the PSP.

        Raises `BearerRefused` with the contract's error code.
        """

    def connect(self, settings: BaseModel, http: httpx.AsyncClient) -> Connection:
        """Open the adapter with one merchant's settings (an instance of `settings_model`).

        `http` is shared by all connections of the process and carries the timeouts.
        """

    def parse_notification(
        self, settings: BaseModel, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        """Verify a notification over its raw body and split it into its events.

        Raises `NotificationRejected`. Pure: no I/O, no clock of its own.
        """

    def read_event(self, raw: bytes) -> Sequence[NotificationEvent]:
        """Read an entry of the PSP's event list, which needs no signature: we asked for it.

        Raises `NotificationRejected` for what is no event.
        """
