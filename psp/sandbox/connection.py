"""The port's operations for one merchant of the sandbox PSP."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import SecretStr

from contract.enums import PaymentErrorCode as Code
from contract.enums import PublicPaymentProviderRole as Role
from psp.common.outcomes import declining, together
from psp.common.secrets import split
from psp.errors import ProtocolError
from psp.sandbox import authorizing, instruments, listing, mapping
from psp.sandbox.answers import RefusedError
from psp.sandbox.client import SandboxClient
from psp.sandbox.instruments import METHOD
from psp.sandbox.wire import Account, Authorization, CheckoutSession, Mandate, WireObject
from psp.sandbox.wire import Charge as WireCharge
from psp.sandbox.wire import Refund as WireRefund
from psp.types import (
    Authorize,
    Call,
    Capture,
    Charge,
    Declined,
    EventPage,
    Lookup,
    MovementPage,
    Outcome,
    Refund,
    SettingsCheck,
    Void,
)

T = TypeVar("T", bound=WireObject)


@dataclass(frozen=True)
class _Kind(Generic[T]):
    """A kind of object that can be looked up: where, how its ids begin, what it comes to."""

    model: type[T]
    path: str
    prefix: str
    outcome: Callable[[T], Outcome]


_SESSIONS = _Kind(CheckoutSession, "checkout_sessions", "cs_", mapping.session_outcome)
_AUTHORIZATIONS = _Kind(Authorization, "authorizations", "auth_", mapping.authorization_outcome)
_MANDATES = _Kind(Mandate, "mandates", "mdt_", instruments.signed)
_CHARGES = _Kind(WireCharge, "charges", "ch_", mapping.charge_outcome)
_REFUNDS = _Kind(WireRefund, "refunds", "re_", mapping.refund_outcome)


def _declined(refusal: RefusedError, call: Call) -> Declined:
    # The one object these two name is the stored payment method.
    uses_method = isinstance(call, Authorize | Charge)
    missing = Code.BearerInvalid if uses_method else Code.InvalidData
    return mapping.refused(refusal, missing=missing)


class SandboxConnection:
    """An account at the sandbox PSP."""

    def __init__(self, client: SandboxClient, webhook_secret: SecretStr) -> None:
        self._client = client
        self._webhook_secret = webhook_secret

    @declining(RefusedError, _declined)
    async def authorize(self, call: Authorize) -> Outcome:
        """Open a checkout, sign a mandate, reserve on a stored card or take over a customer."""
        return await authorizing.authorize(self._client, call)

    @declining(RefusedError, _declined)
    async def void(self, call: Void) -> Outcome:
        """Void an authorization (`auth_`) or close an open checkout session (`cs_`)."""
        id, key = call.authorization_id, call.idempotency_key
        body = {"reference": call.reference}
        if id.startswith("cs_"):
            path = ("checkout_sessions", id, "cancel")
            session = await self._client.post(CheckoutSession, *path, body=body, key=key)
            return mapping.cancel_outcome(session)
        if id.startswith("auth_"):
            path = ("authorizations", id, "void")
            held = await self._client.post(Authorization, *path, body=body, key=key)
            return mapping.void_outcome(held)
        return _nothing_held()

    @declining(RefusedError, _declined)
    async def capture(self, call: Capture) -> Outcome:
        """Take money of an authorization, once."""
        if not call.authorization_id.startswith("auth_"):
            return _nothing_held()
        path = ("authorizations", call.authorization_id, "capture")
        body = mapping.capture_body(call)
        taken = await self._client.post(WireCharge, *path, body=body, key=call.idempotency_key)
        return mapping.charge_outcome(mapping.ours(taken, call))

    @declining(RefusedError, _declined)
    async def charge(self, call: Charge) -> Outcome:
        """Take money from a stored card or with a mandate."""
        token = call.instrument.token
        if METHOD not in token:
            return instruments.still_usable(None)
        body = mapping.charge_body(call, token)
        taken = await self._client.post(WireCharge, "charges", body=body, key=call.idempotency_key)
        return mapping.charge_outcome(mapping.ours(taken, call))

    @declining(RefusedError, _declined)
    async def refund(self, call: Refund) -> Outcome:
        """Give money of a charge back."""
        body = mapping.refund_body(call)
        given = await self._client.post(WireRefund, "refunds", body=body, key=call.idempotency_key)
        return mapping.refund_outcome(mapping.ours(given, call))

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
        account = await self._client.get(Account, "account")
        if account is None:
            raise ProtocolError("The PSP has no account for an API key it accepts.")
        known = (account.webhook_secret_sha256 or "").encode()
        hashes = [hashlib.sha256(one.encode()).hexdigest() for one in split(self._webhook_secret)]
        if not any(hmac.compare_digest(one.encode(), known) for one in hashes):
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

    async def _fetch(self, lookup: Lookup, *kinds: _Kind[Any]) -> Outcome | None:
        """By the PSP's id; by our reference if there is none or the PSP does not know it."""
        for kind in kinds:
            if lookup.psp_id is not None and lookup.psp_id.startswith(kind.prefix):
                named = await self._client.get(kind.model, kind.path, lookup.psp_id)
                if named is not None:
                    return kind.outcome(mapping.ours(named, lookup))
        for kind in kinds:
            found = await self._client.find(kind.model, kind.path, lookup.reference)
            if found:
                return together([kind.outcome(mapping.ours(item, lookup)) for item in found])
        return None


def _nothing_held() -> Declined:
    return Declined(code=Code.InvalidPreconditions, message="No money is held under this id.")
