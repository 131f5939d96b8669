"""The port's operations for one merchant's Stripe account."""

from datetime import datetime

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.errors import OutcomeUnknown
from integrator.psp.stripe import (
    authorize,
    instruments,
    listing,
    lookup,
    mapping,
    payment_intents,
    request_bodies,
)
from integrator.psp.stripe.client import StripeClient
from integrator.psp.stripe.payment_intents import INTENT_EXPAND, INTENTS
from integrator.psp.stripe.wire import Account, CheckoutSession, PaymentIntent
from integrator.psp.stripe.wire import Refund as WireRefund
from integrator.psp.toolkit.client import recover_by_read
from integrator.psp.toolkit.connection import PspConnection, returns_declines
from integrator.psp.toolkit.instruments import METHOD, stored
from integrator.psp.toolkit.outcomes import NOTHING_HELD, require_ours, verify_reference
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

_CAPABILITIES = {Role.CreditCard: "card_payments", Role.Debit: "sepa_debit_payments"}


class StripeConnection(PspConnection):
    """An account at Stripe."""

    def __init__(self, client: StripeClient) -> None:
        self._client = client

    @returns_declines
    async def authorize(self, call: Authorize) -> Outcome:
        """Open a checkout, sign a mandate, reserve on a stored card or take a customer over."""
        return await authorize.authorize(self._client, call)

    @returns_declines
    async def void(self, call: Void) -> Outcome:
        """Cancel a PaymentIntent (`pi_`) or expire an open checkout session (`cs_`)."""
        id, key = call.authorization_id, call.idempotency_key
        if id.startswith("cs_"):
            session = await self._client.act(
                CheckoutSession,
                *("checkout", "sessions", id, "expire"),
                body={},
                key=key,
                done=lambda found: found.status == "expired",
            )
            return mapping.void_outcome(session)
        if not id.startswith("pi_"):
            return NOTHING_HELD
        intent = await self._client.act(
            PaymentIntent,
            *(INTENTS, id, "cancel"),
            body={"cancellation_reason": "requested_by_customer"},
            key=key,
            done=lambda found: found.status == "canceled",
        )
        return mapping.void_outcome(verify_reference(intent, call))

    @returns_declines
    async def capture(self, call: Capture) -> Outcome:
        """Take money of a reservation, once."""
        if not call.authorization_id.startswith("pi_"):
            return NOTHING_HELD
        intent = await self._client.act(
            PaymentIntent,
            *(INTENTS, call.authorization_id, "capture"),
            body=request_bodies.capture_body(call),
            key=call.idempotency_key,
            done=lambda found: (
                found.captured_for == call.reference and found.status != "requires_capture"
            ),
            expand=INTENT_EXPAND,
        )
        require_ours(call, intent.captured_for, intent.currency)
        return mapping.payment_outcome(intent)

    @returns_declines
    async def charge(self, call: Charge) -> Outcome:
        """Take money from a stored card or with a mandate."""
        token = stored(call)
        if METHOD not in token:
            return instruments.still_usable(None)
        return mapping.payment_outcome(await payment_intents.take(self._client, call, token))

    @returns_declines
    async def refund(self, call: Refund) -> Outcome:
        """Give money of a payment back."""
        body, key = request_bodies.refund_body(call), call.idempotency_key

        async def read() -> WireRefund | None:
            of = {name: id for name, id in body.items() if name in ("charge", "payment_intent")}
            page = await self._client.page(WireRefund, "refunds", **of)
            named = (refund for refund in page.data if refund.reference == call.reference)
            return next(named, None)

        # Stripe repeats a stored 5xx for as long as it knows the key: a read may decide.
        attempt = self._client.post(WireRefund, "refunds", body=body, key=key)
        given = await recover_by_read(attempt, read, after=OutcomeUnknown)
        return mapping.refund_outcome(verify_reference(given, call))

    async def fetch_authorization(self, find: Lookup) -> Outcome | None:
        """What a checkout session, a PaymentIntent or a SetupIntent has come to."""
        return await lookup.authorization(self._client, find)

    async def fetch_payment(self, find: Lookup) -> Outcome | None:
        """What a charge or capture has come to, with its chargebacks."""
        return await lookup.payment(self._client, find)

    async def fetch_refund(self, find: Lookup) -> Outcome | None:
        """What a refund has come to."""
        return await lookup.refund(self._client, find)

    async def verify_settings(self) -> SettingsCheck:
        """The account of the key, with the methods it may take; all if the key may not see them.

        The webhook secret cannot be asked for: a wrong one shows when notifications are rejected.
        """
        account = await self._client.require(Account, "account")
        may = account.capabilities
        roles = {
            role for role, name in _CAPABILITIES.items() if not may or may.get(name) == "active"
        }
        return SettingsCheck(roles=frozenset(roles), account=account.id)

    async def list_events(self, cursor: str | None) -> EventPage:
        """The event list behind a cursor."""
        return await listing.events(self._client, cursor)

    async def list_movements(
        self, since: datetime, until: datetime, cursor: str | None
    ) -> MovementPage:
        """Reservations and payments, then captures, then refunds."""
        return await listing.movements(self._client, since, until, cursor)
