"""Operations of the port at GoCardless."""

from datetime import datetime
from typing import TypeVar

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.errors import ProtocolError, PspUnavailable
from integrator.psp.gocardless import (
    authorize,
    charging,
    listing,
    mandates,
    mapping,
    request_bodies,
)
from integrator.psp.gocardless import lookup as object_lookup
from integrator.psp.gocardless.client import GoCardlessClient
from integrator.psp.gocardless.error_codes import CREDITOR_SCHEMES, SCHEMES
from integrator.psp.gocardless.mapping import MANDATE
from integrator.psp.gocardless.payment_history import ContradictoryEvents
from integrator.psp.gocardless.wire import (
    BillingRequest,
    Creditor,
    Payment,
    Resource,
)
from integrator.psp.gocardless.wire import Refund as WireRefund
from integrator.psp.toolkit.client import (
    RefusedError,
    recover_by_read,
    treat_unavailable_as_unknown,
)
from integrator.psp.toolkit.connection import PspConnection, returns_declines
from integrator.psp.toolkit.instruments import stored_token
from integrator.psp.toolkit.money import to_minor
from integrator.psp.toolkit.outcomes import require, verify_reference
from integrator.psp.types import (
    Absent,
    Authorize,
    Call,
    Capture,
    Charge,
    Declined,
    EventPage,
    Lookup,
    LookupAnswer,
    MovementPage,
    Outcome,
    Refund,
    SettingsCheck,
    Void,
)

R = TypeVar("R", bound=Resource)

_MAX_HISTORY_READS = 3
_TOTAL_MISMATCH = "total_amount_confirmation_invalid"


class GoCardlessConnection(PspConnection):
    """Connection for one account at GoCardless."""

    def __init__(self, client: GoCardlessClient) -> None:
        self._client = client

    @returns_declines
    async def authorize(self, call: Authorize) -> Outcome:
        """Set up a mandate by hosted page or IBAN, or check that a stored one is still usable."""
        return await authorize.authorize(self._client, call)

    @returns_declines
    async def void(self, call: Void) -> Outcome:
        """Cancel an open sign-up.

        A mandate is not a reservation and is not cancelled: it may already be used by other
        payments, which would end with it.
        """
        id = call.authorization_id

        async def read_ended() -> BillingRequest | None:
            request = await self._client.get_by_id(BillingRequest, id)
            is_ended = request is not None and request.status not in authorize.OPEN_STATUSES
            return request if is_ended else None

        attempt = self._client.perform_action(BillingRequest, id, "cancel")
        return mapping.void_outcome(await recover_by_read(attempt, read_ended))

    async def capture(self, call: Capture) -> Outcome:
        """Decline: a mandate reserves no money, so there is never anything to capture."""
        message = "No money is held under a mandate."
        return Declined(code=Code.InvalidPreconditions, message=message)

    @returns_declines
    async def charge(self, call: Charge) -> Outcome:
        """Collect a payment with a mandate, or with the one that has replaced it."""
        mandate = stored_token(call).get(MANDATE)
        if not mandate:
            return mapping.mandate_outcome(None)
        to_minor(call.amount, call.currency)
        payment, succession = await charging.create_payment(self._client, call, mandate)
        with treat_unavailable_as_unknown():
            outcome = await self._to_outcome(verify_reference(payment, call), never_withdrawn=True)
        return outcome.model_copy(update={"succession": succession})

    @returns_declines
    async def refund(self, call: Refund) -> Outcome:
        """Refund a payment; the total of earlier refunds is confirmed to detect concurrent ones."""
        amount = to_minor(call.amount, call.currency)
        payment = await self._client.get_by_id(Payment, call.payment_psp_id)
        if payment is None:
            return Declined(code=Code.InvalidData, message="GoCardless has no such payment.")
        message = f"The payment is in {payment.currency}."
        require(payment.currency == call.currency, Code.InvalidCurrency, message)
        refund = await self._find_by_reference(WireRefund, call, payment=payment.id)
        if refund is None:
            if payment.amount_refunded is None:
                raise ProtocolError("GoCardless returned no readable total of earlier refunds.")
            body = request_bodies.refund_body(call, amount, payment.amount_refunded)
            refund = await self._create_refund(call, payment.id, body)
        _verify_parent(refund, call.payment_psp_id)
        return await self._to_outcome(verify_reference(refund, call))

    async def fetch_authorization(self, lookup: Lookup) -> LookupAnswer:
        """Return the outcome of a sign-up, or whether a mandate is still usable."""
        if lookup.psp_id is not None and lookup.psp_id.startswith("MD"):
            mandate = await mandates.read_current_mandate(self._client, lookup.psp_id)
            if mandate is None:
                return None
            succession = mandates.build_succession(lookup.psp_id, mandate)
            return mapping.mandate_outcome(mandate, psp_id=lookup.psp_id, succession=succession)
        request = await object_lookup.find(self._client, BillingRequest, lookup)
        if isinstance(request, Absent):
            return request
        return await authorize.fetch_sign_up_outcome(self._client, request)

    async def fetch_payment(self, lookup: Lookup) -> LookupAnswer:
        """Return the outcome of a payment, with its chargebacks and what came back of them."""
        payment = await object_lookup.find(self._client, Payment, lookup)
        return payment if isinstance(payment, Absent) else await self._to_outcome(payment)

    async def fetch_refund(self, lookup: Lookup) -> LookupAnswer:
        """Return the outcome of a refund."""
        refund = await object_lookup.find(self._client, WireRefund, lookup)
        if isinstance(refund, Absent):
            return refund
        _verify_parent(refund, lookup.parent_psp_id)
        return await self._to_outcome(refund)

    async def verify_settings(self) -> SettingsCheck:
        """Return the roles of the creditors' schemes; all if GoCardless returns no schemes."""
        creditors = (await self._client.list_objects(Creditor)).items
        if not creditors:
            return SettingsCheck()
        identifiers = [scheme for creditor in creditors for scheme in creditor.scheme_identifiers]
        ready = {item.scheme for item in identifiers if item.status != "pending"}
        roles = {role for role, names in CREDITOR_SCHEMES.items() if names & ready}
        account = min(creditor.id for creditor in creditors)
        return SettingsCheck(roles=frozenset(roles if identifiers else SCHEMES), account=account)

    async def list_events(self, cursor: str | None) -> EventPage:
        """Return a page of the event list."""
        return await listing.list_events(self._client, cursor)

    async def list_movements(
        self, since: datetime, until: datetime, cursor: str | None
    ) -> MovementPage:
        """Return a page of the payments, then refunds."""

        async def to_outcome(item: Payment | WireRefund, never_withdrawn: bool) -> Outcome:
            return await self._to_outcome(item, never_withdrawn=never_withdrawn)

        return await listing.list_movements(self._client, since, until, cursor, to_outcome)

    def map_refusal(self, refusal: RefusedError, call: Call) -> Declined:
        """Return the decline for a refusal; only a charge depends on a stored mandate.

        A state that forbids a charge and that GoCardless does not name is the mandate's: a charge
        has no other object.
        """
        if isinstance(call, Charge):
            is_unnamed = refusal.psp_code == refusal.error_type == "invalid_state"
            if is_unnamed and refusal.declined.code is Code.InvalidPreconditions:
                return refusal.declined.model_copy(update={"code": Code.BearerInvalid})
            return super().map_refusal(refusal, call)
        if refusal.missing:
            return refusal.declined.model_copy(update={"code": Code.InvalidData})
        return refusal.declined

    async def _create_refund(
        self, call: Refund, payment: str, body: request_bodies.Body
    ) -> WireRefund:
        try:
            return await self._client.create(WireRefund, body, call.idempotency_key)
        except RefusedError as refusal:
            with treat_unavailable_as_unknown():
                refund = await self._find_by_reference(WireRefund, call, payment=payment)
            if refund is None and refusal.psp_code == _TOTAL_MISMATCH:
                message = "Another refund of the payment was created meanwhile"
                raise PspUnavailable(message, psp_code=_TOTAL_MISMATCH) from None
            if refund is None:
                raise
            return refund

    async def _find_by_reference(self, model: type[R], request: Call, **filters: str) -> R | None:
        """Return the object with our reference, created by an earlier attempt."""
        psp_objects = await listing.find_by_reference(
            self._client, model, request.reference, **filters
        )
        return psp_objects[-1] if psp_objects else None

    async def _to_outcome(
        self, psp_object: Payment | WireRefund, *, never_withdrawn: bool = False
    ) -> Outcome:
        if isinstance(psp_object, WireRefund):
            return mapping.refund_outcome(psp_object)
        if not mapping.needs_events(psp_object, never_withdrawn=never_withdrawn):
            return mapping.payment_outcome(psp_object)
        return await self._read_history(psp_object)

    async def _read_history(self, payment: Payment) -> Outcome:
        """Return the outcome of a payment with its events.

        The payment may change between the two reads: then both are read again.
        """
        for _ in range(_MAX_HISTORY_READS - 1):
            try:
                events = await self._client.list_payment_events(payment)
                return mapping.payment_outcome(payment, events)
            except ContradictoryEvents:
                payment = await self._client.get_by_id(Payment, payment.id) or payment
        events = await self._client.list_payment_events(payment)
        return mapping.payment_outcome(payment, events)


def _verify_parent(refund: WireRefund, payment: str | None) -> None:
    """Raise `ProtocolError` for a refund of another payment."""
    if payment is not None and refund.link("payment") not in (None, payment):
        raise ProtocolError("The PSP returned a refund of another payment.")
