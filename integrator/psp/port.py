"""The PSP port: the protocols that every adapter of a payment service provider implements.

An `Adapter` is stateless and describes a PSP. It opens a `Connection` for one merchant's settings,
and the connection makes the calls.

Rules for every operation of a connection:

* a definite response of the PSP is returned as an `Outcome`, a decline included;
* anything else raises a `PspError`; an unknown outcome is `OutcomeUnknown`, never `Declined`;
* the call's idempotency key is sent to the PSP unchanged, so that a retry cannot move money twice;
* amounts are `Decimal` in major units; minor units exist only inside the adapter.
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
    LookupAnswer,
    MovementPage,
    NotificationEvent,
    Outcome,
    Refund,
    SettingsCheck,
    Void,
)


class RateBudget(Protocol):
    """Budget of the HTTP requests to one account at a PSP.

    The integrator owns it and hands it to `Adapter.connect`; the adapter asks it before every
    request. A budget replaces the adapter's own limit.
    """

    async def acquire(self, *, write: bool) -> None:
        """Take the place of one request, which is a write or a read.

        Raises `LocallyRateLimited` with the time until there is one; nothing was sent then.
        """


class Connection(Protocol):
    """Calls to the PSP for one merchant."""

    async def authorize(self, call: Authorize) -> Outcome:
        """Reserve money or store a payment method; may require a redirect."""

    async def void(self, call: Void) -> Outcome:
        """Release a reservation. `Approved` confirms it; after `Declined` it still holds."""

    async def capture(self, call: Capture) -> Outcome:
        """Capture a reservation."""

    async def charge(self, call: Charge) -> Outcome:
        """Charge a stored payment method."""

    async def refund(self, call: Refund) -> Outcome:
        """Refund a payment, in whole or in part."""

    async def fetch_authorization(self, lookup: Lookup) -> LookupAnswer:
        """Return the PSP's current state; `Absent` or None if it finds no such object."""

    async def fetch_payment(self, lookup: Lookup) -> LookupAnswer:
        """Like `fetch_authorization`, for captures and charges; chargebacks are facts as well."""

    async def fetch_refund(self, lookup: Lookup) -> LookupAnswer:
        """Like `fetch_authorization`, for refunds."""

    async def verify_settings(self) -> SettingsCheck:
        """Check the settings without changing anything at the PSP.

        Raises `CredentialsRejected` for credentials that the PSP refuses. Returns an empty result
        for settings that are wrong in another way (a webhook secret that differs from the PSP's).
        """

    async def list_events(self, cursor: str | None) -> EventPage:
        """Return the events after `cursor`, notified or not; None starts at the beginning.

        Called only with the capability `event_list`. Entries that are not events are left out.
        """

    async def list_movements(
        self, since: datetime, until: datetime, cursor: str | None
    ) -> MovementPage:
        """Return all movements created from `since` until before `until`, also by other systems.

        Called only with the capability `movement_list`. `cursor` is None for the first page of a
        window, then the cursor of the previous page.
        """


class Adapter(Protocol):
    """Adapter of one PSP, found by its entry point in the group `integrator.psp`."""

    name: str
    capabilities: Capabilities
    settings_model: type[BaseModel]

    def check_initial_bearer(
        self, role: PublicPaymentProviderRole, bearer: Mapping[str, str] | None
    ) -> None:
        """Validate payment data typed by the customer, without calling the PSP.

        Raises `BearerRefused` with the contract's error code for invalid data.
        """

    def connect(self, settings: BaseModel, http: httpx.AsyncClient) -> Connection:
        """Return a connection for one merchant's settings (an instance of `settings_model`).

        `http` is shared by all connections of the process and has the timeouts configured. A
        further keyword `budget: RateBudget | None = None` may be accepted (`BudgetedAdapter`).
        """

    def parse_notification(
        self, settings: BaseModel, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        """Verify the signature of a notification's raw body and return its events.

        Raises `NotificationRejected` if the signature is not the PSP's. An entry that is the PSP's
        and cannot be read is returned as `unreadable`, so that it does not hide the others. Events
        with `raw` can be read again by `read_event`. Pure: no I/O; the time is `now`.
        """

    def read_event(self, raw: bytes) -> Sequence[NotificationEvent]:
        """Read an entry of the PSP's event list, or the `raw` of an event that was verified.

        Raises `NotificationRejected` if the entry is not an event.
        """


class BudgetedAdapter(Adapter, Protocol):
    """Adapter whose connections ask a rate budget that is handed in.

    `integrator.psp.connecting` finds out by the signature which adapters do.
    """

    def connect(
        self, settings: BaseModel, http: httpx.AsyncClient, *, budget: RateBudget | None = None
    ) -> Connection:
        """Return a connection that asks `budget`, if given, before every HTTP request."""
