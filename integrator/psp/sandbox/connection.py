"""Operations of the port at the sandbox PSP."""

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
from integrator.psp.toolkit.lookup import ObjectKind, fetch_outcome
from integrator.psp.toolkit.outcomes import NOTHING_HELD, verify_reference
from integrator.psp.toolkit.secrets import matches_any, split_secrets
from integrator.psp.types import (
    Authorize,
    Capture,
    Charge,
    EventPage,
    Lookup,
    LookupAnswer,
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
_MANDATES = ObjectKind(Mandate, "mandates", "mdt_", instruments.mandate_outcome)
_CHARGES = ObjectKind(WireCharge, "charges", "ch_", mapping.charge_outcome)
_REFUNDS = ObjectKind(WireRefund, "refunds", "re_", mapping.refund_outcome)


class SandboxConnection(PspConnection):
    """Connection for one account at the sandbox PSP."""

    def __init__(self, client: SandboxClient, webhook_secret: SecretStr) -> None:
        self._client = client
        self._webhook_secret = webhook_secret

    @returns_declines
    async def authorize(self, call: Authorize) -> Outcome:
        """Open a checkout, create a mandate, reserve on a stored card or import a customer."""
        return await authorize.authorize(self._client, call)

    @returns_declines
    async def void(self, call: Void) -> Outcome:
        """Void an authorization (`auth_`) or close an open checkout session (`cs_`)."""
        id, key = call.authorization_id, call.idempotency_key
        body = {"reference": call.reference}
        if id.startswith("cs_"):
            path = ("checkout_sessions", id, "cancel")
            session = await self._client.post(CheckoutSession, *path, body=body, key=key)
            return mapping.void_outcome(session, voided_status="cancelled")
        if id.startswith("auth_"):
            path = ("authorizations", id, "void")
            authorization = await self._client.post(Authorization, *path, body=body, key=key)
            return mapping.void_outcome(authorization, voided_status="voided")
        return NOTHING_HELD

    @returns_declines
    async def capture(self, call: Capture) -> Outcome:
        """Capture an authorization, once."""
        if not call.authorization_id.startswith("auth_"):
            return NOTHING_HELD
        path = ("authorizations", call.authorization_id, "capture")
        body, key = request_bodies.capture_body(call), call.idempotency_key
        charge = await self._client.post(WireCharge, *path, body=body, key=key)
        return mapping.charge_outcome(verify_reference(charge, call))

    @returns_declines
    async def charge(self, call: Charge) -> Outcome:
        """Charge a stored card or a mandate."""
        token = call.instrument.token
        if METHOD not in token:
            return instruments.stored_method_outcome(None)
        body, key = request_bodies.charge_body(call, token), call.idempotency_key
        charge = await self._client.post(WireCharge, "charges", body=body, key=key)
        return mapping.charge_outcome(verify_reference(charge, call))

    @returns_declines
    async def refund(self, call: Refund) -> Outcome:
        """Refund a charge."""
        body, key = request_bodies.refund_body(call), call.idempotency_key
        refund = await self._client.post(WireRefund, "refunds", body=body, key=key)
        return mapping.refund_outcome(verify_reference(refund, call))

    async def fetch_authorization(self, lookup: Lookup) -> Outcome | None:
        """Return the outcome of a checkout session, an authorization or a mandate."""
        return await self._fetch(lookup, _SESSIONS, _AUTHORIZATIONS, _MANDATES)

    async def fetch_payment(self, lookup: Lookup) -> Outcome | None:
        """Return the outcome of a charge or capture, with its chargebacks."""
        return await self._fetch(lookup, _CHARGES)

    async def fetch_refund(self, lookup: Lookup) -> LookupAnswer:
        """Return the outcome of a refund."""
        return await self._fetch(lookup, _REFUNDS)

    async def verify_settings(self) -> SettingsCheck:
        """Verify both secrets with one read; the PSP returns the hash of the webhook secret."""
        account = await self._client.get_required(Account, "account")
        hashes = [
            hashlib.sha256(secret.encode()).hexdigest()
            for secret in split_secrets(self._webhook_secret)
        ]
        if not matches_any(account.webhook_secret_sha256, hashes):
            return SettingsCheck()
        roles = frozenset({Role.CreditCard, Role.Debit})
        return SettingsCheck(roles=roles, account=account.id)

    async def list_events(self, cursor: str | None) -> EventPage:
        """Return a page of the event list."""
        return await listing.list_events(self._client, cursor)

    async def list_movements(
        self, since: datetime, until: datetime, cursor: str | None
    ) -> MovementPage:
        """Return a page of the authorizations, then charges and captures, then refunds."""
        return await listing.list_movements(self._client, since, until, cursor)

    async def _fetch(self, lookup: Lookup, *kinds: ObjectKind[Any]) -> Outcome | None:
        async def get(kind: ObjectKind[Any], id: str) -> Any | None:
            return await self._client.get(kind.model, kind.path, id)

        async def find_by_reference(kind: ObjectKind[Any]) -> Sequence[Any]:
            return await self._client.find_by_reference(kind.model, kind.path, lookup.reference)

        return await fetch_outcome(lookup, kinds, get=get, find_by_reference=find_by_reference)
