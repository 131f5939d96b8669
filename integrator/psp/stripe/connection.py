"""Operations of the port at Stripe."""

from datetime import datetime

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.errors import OutcomeUnknown
from integrator.psp.stripe import (
    authorize,
    instruments,
    listing,
    mapping,
    payment_intents,
    request_bodies,
)
from integrator.psp.stripe import lookup as object_lookup
from integrator.psp.stripe.client import StripeClient
from integrator.psp.stripe.object_search import find_refunds
from integrator.psp.stripe.payment_intents import INTENT_EXPAND, INTENTS, REFUND_EXPAND
from integrator.psp.stripe.wire import Account, CheckoutSession, PaymentIntent
from integrator.psp.stripe.wire import Refund as WireRefund
from integrator.psp.toolkit.client import recover_by_read
from integrator.psp.toolkit.connection import PspConnection, returns_declines
from integrator.psp.toolkit.instruments import METHOD, stored_token
from integrator.psp.toolkit.outcomes import NOTHING_HELD, require_match, verify_reference
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

_CAPABILITY_NAMES = {Role.CreditCard: "card_payments", Role.Debit: "sepa_debit_payments"}


class StripeConnection(PspConnection):
    """Connection for one account at Stripe."""

    def __init__(self, client: StripeClient) -> None:
        self._client = client

    @returns_declines
    async def authorize(self, call: Authorize) -> Outcome:
        """Open a checkout, create a mandate, reserve on a stored card or import a customer."""
        return await authorize.authorize(self._client, call)

    @returns_declines
    async def void(self, call: Void) -> Outcome:
        """Cancel a PaymentIntent (`pi_`) or expire an open checkout session (`cs_`)."""
        id, key = call.authorization_id, call.idempotency_key
        if id.startswith("cs_"):
            session = await self._client.post_action(
                CheckoutSession,
                *("checkout", "sessions", id, "expire"),
                body={},
                key=key,
                is_done=lambda session: session.status == "expired",
            )
            return mapping.void_outcome(session)
        if not id.startswith("pi_"):
            return NOTHING_HELD
        intent = await self._client.post_action(
            PaymentIntent,
            *(INTENTS, id, "cancel"),
            body={"cancellation_reason": "requested_by_customer"},
            key=key,
            is_done=lambda intent: intent.status == "canceled",
        )
        return mapping.void_outcome(verify_reference(intent, call))

    @returns_declines
    async def capture(self, call: Capture) -> Outcome:
        """Capture a reservation, once."""
        if not call.authorization_id.startswith("pi_"):
            return NOTHING_HELD
        intent = await self._client.post_action(
            PaymentIntent,
            *(INTENTS, call.authorization_id, "capture"),
            body=request_bodies.capture_body(call),
            key=call.idempotency_key,
            is_done=lambda intent: (
                intent.capture_reference == call.reference and intent.status != "requires_capture"
            ),
            expand=INTENT_EXPAND,
        )
        require_match(call, intent.capture_reference, intent.currency)
        return mapping.payment_outcome(intent)

    @returns_declines
    async def charge(self, call: Charge) -> Outcome:
        """Charge a stored card or a mandate."""
        token = stored_token(call)
        if METHOD not in token:
            return instruments.stored_method_outcome(None)
        return mapping.payment_outcome(
            await payment_intents.create_and_confirm(self._client, call, token)
        )

    @returns_declines
    async def refund(self, call: Refund) -> Outcome:
        """Refund a payment."""
        body, key = request_bodies.refund_body(call), call.idempotency_key

        async def read() -> WireRefund | None:
            refunds = await find_refunds(self._client, call.payment_psp_id, call.reference)
            return refunds[0] if refunds else None

        # Stripe repeats a stored 5xx for as long as it knows the key, so that a read has to decide.
        attempt = self._client.post(WireRefund, "refunds", body=body, key=key, expand=REFUND_EXPAND)
        refund = await recover_by_read(attempt, read, after=OutcomeUnknown)
        return mapping.refund_outcome(verify_reference(refund, call), call.payment_psp_id)

    async def fetch_authorization(self, lookup: Lookup) -> LookupAnswer:
        """Return the outcome of a checkout session, a PaymentIntent or a SetupIntent."""
        return await object_lookup.fetch_authorization(self._client, lookup)

    async def fetch_payment(self, lookup: Lookup) -> LookupAnswer:
        """Return the outcome of a charge or capture, with its chargebacks."""
        return await object_lookup.fetch_payment(self._client, lookup)

    async def fetch_refund(self, lookup: Lookup) -> LookupAnswer:
        """Return the outcome of a refund."""
        return await object_lookup.fetch_refund(self._client, lookup)

    async def verify_settings(self) -> SettingsCheck:
        """Return the account with its active methods; all methods if the key may not read them.

        The webhook secret cannot be verified: if it is wrong, notifications are rejected.
        """
        account = await self._client.get_required(Account, "account")
        capabilities = account.capabilities
        roles = {
            role
            for role, name in _CAPABILITY_NAMES.items()
            if not capabilities or capabilities.get(name) == "active"
        }
        return SettingsCheck(roles=frozenset(roles), account=account.id)

    async def list_events(self, cursor: str | None) -> EventPage:
        """Return a page of the event list."""
        return await listing.list_events(self._client, cursor)

    async def list_movements(
        self, since: datetime, until: datetime, cursor: str | None
    ) -> MovementPage:
        """Return a page of the reservations and payments, then captures, then refunds."""
        return await listing.list_movements(self._client, since, until, cursor)
