"""The port's operations for one merchant of the sandbox PSP."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.sandbox import authorize, instruments, listing, mapping, request_bodies
from integrator.psp.sandbox.client import SandboxClient
from integrator.psp.sandbox.wire import Account, Authorization, CheckoutSession, Mandate
from integrator.psp.sandbox.wire import Charge as WireCharge
from integrator.psp.sandbox.wire import Refund as WireRefund
from integrator.psp.toolkit.connection import PspConnection, returns_declines
from integrator.psp.toolkit.instruments import METHOD
from integrator.psp.toolkit.lookup import ObjectKind, fetch
from integrator.psp.toolkit.outcomes import NOTHING_HELD, verify_reference
from integrator.psp.toolkit.secrets import is_known, split
from integrator.psp.types import (
    Authorize,
    Capture,
    Charge,
    EventPage,
    Lookup,
    MovementPage,
    Outcome,
    Refund,
    SettingsCheck,
    Void,
)

_SESSIONS = ObjectKind(CheckoutSession, "checkout_sessions", "cs_", mapping.session_outcome)
_AUTHORIZATIONS = ObjectKind(
    Authorization, "authorizations", "auth_", mapping.authorization_outcome
)
_MANDATES = ObjectKind(Mandate, "mandates", "mdt_", instruments.signed)
_CHARGES = ObjectKind(WireCharge, "charges", "ch_", mapping.charge_outcome)
_REFUNDS = ObjectKind(WireRefund, "refunds", "re_", mapping.refund_outcome)


class SandboxConnection(PspConnection):
    """An account at the sandbox PSP."""

    def __init__(self, client: SandboxClient, webhook_secret: SecretStr) -> None:
        self._client = client
        self._webhook_secret = webhook_secret

    @returns_declines
    async def authorize(self, call: Authorize) -> Outcome:
        """Open a checkout, sign a mandate, reserve on a stored card or take over a customer."""
        return await authorize.authorize(self._client, call)

    @returns_declines
    async def void(self, call: Void) -> Outcome:
        """Void an authorization (`auth_`) or close an open checkout session (`cs_`)."""
        id, key = call.authorization_id, call.idempotency_key
        body = {"reference": call.reference}
        if id.startswith("cs_"):
            path = ("checkout_sessions", id, "cancel")
            session = await self._client.post(CheckoutSession, *path, body=body, key=key)
            return mapping.withdrawn(session, done="cancelled")
        if id.startswith("auth_"):
            path = ("authorizations", id, "void")
            held = await self._client.post(Authorization, *path, body=body, key=key)
            return mapping.withdrawn(held, done="voided")
        return NOTHING_HELD

    @returns_declines
    async def capture(self, call: Capture) -> Outcome:
        """Take money of an authorization, once."""
        if not call.authorization_id.startswith("auth_"):
            return NOTHING_HELD
        path = ("authorizations", call.authorization_id, "capture")
        body, key = request_bodies.capture_body(call), call.idempotency_key
        taken = await self._client.post(WireCharge, *path, body=body, key=key)
        return mapping.charge_outcome(verify_reference(taken, call))

    @returns_declines
    async def charge(self, call: Charge) -> Outcome:
        """Take money from a stored card or with a mandate."""
        token = call.instrument.token
        if METHOD not in token:
            return instruments.still_usable(None)
        body, key = request_bodies.charge_body(call, token), call.idempotency_key
        taken = await self._client.post(WireCharge, "charges", body=body, key=key)
        return mapping.charge_outcome(verify_reference(taken, call))

    @returns_declines
    async def refund(self, call: Refund) -> Outcome:
        """Give money of a charge back."""
        body, key = request_bodies.refund_body(call), call.idempotency_key
        given = await self._client.post(WireRefund, "refunds", body=body, key=key)
        return mapping.refund_outcome(verify_reference(given, call))

    async def fetch_authorization(self, lookup: Lookup) -> Outcome | None:
        """What a checkout session, an authorization or a mandate has come to."""
        return await self._fetch(lookup, _SESSIONS, _AUTHORIZATIONS, _MANDATES)

    async def fetch_payment(self, lookup: Lookup) -> Outcome | None:
        """What a charge or capture has come to, with its chargebacks."""
        return await self._fetch(lookup, _CHARGES)

    async def fetch_refund(self, lookup: Lookup) -> Outcome | None:
        """What a refund has come to."""
        return await self._fetch(lookup, _REFUNDS)

    async def verify_settings(self) -> SettingsCheck:
        """Both secrets, with one read: the webhook secret is known to the PSP by its hash."""
        account = await self._client.require(Account, "account")
        hashes = [hashlib.sha256(one.encode()).hexdigest() for one in split(self._webhook_secret)]
        if not is_known(account.webhook_secret_sha256, hashes):
            return SettingsCheck()
        roles = frozenset({Role.CreditCard, Role.Debit})
        return SettingsCheck(roles=roles, account=account.id)

    async def list_events(self, cursor: str | None) -> EventPage:
        """The event list behind a cursor."""
        return await listing.events(self._client, cursor)

    async def list_movements(
        self, since: datetime, until: datetime, cursor: str | None
    ) -> MovementPage:
        """Authorizations, then charges and captures, then refunds."""
        return await listing.movements(self._client, since, until, cursor)

    async def _fetch(self, lookup: Lookup, *kinds: ObjectKind[Any]) -> Outcome | None:
        async def get(kind: ObjectKind[Any], id: str) -> Any | None:
            return await self._client.get(kind.model, kind.path, id)

        async def find(kind: ObjectKind[Any]) -> Sequence[Any]:
            return await self._client.find(kind.model, kind.path, lookup.reference)

        return await fetch(lookup, kinds, get=get, find=find)
