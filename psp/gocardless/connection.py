"""The port's operations for one merchant of GoCardless."""

from datetime import UTC, date, datetime
from typing import TypeVar

from contract.enums import PaymentErrorCode as Code
from psp.common.money import to_minor
from psp.common.outcomes import declining
from psp.errors import PspUnavailable
from psp.gocardless import bodies, listing, mapping, signing
from psp.gocardless.answers import RefusedError
from psp.gocardless.client import GoCardlessClient, afterwards
from psp.gocardless.mapping import MANDATE
from psp.gocardless.wire import (
    BillingRequest,
    Creditor,
    Event,
    Mandate,
    Payment,
    Resource,
)
from psp.gocardless.wire import Refund as WireRefund
from psp.gocardless.words import CREDITOR_SCHEMES, SCHEMES
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

R = TypeVar("R", bound=Resource)

_RACE = "total_amount_confirmation_invalid"


def _declined(refusal: RefusedError, call: Call) -> Declined:
    missing = Code.BearerInvalid if isinstance(call, Charge) else Code.InvalidData
    return mapping.refused(refusal, missing=missing)


class GoCardlessConnection:
    """An account at GoCardless."""

    def __init__(self, client: GoCardlessClient) -> None:
        self._client = client

    @declining(RefusedError, _declined)
    async def authorize(self, call: Authorize) -> Outcome:
        """Set up a mandate, by the hosted page or by IBAN, or see whether one is still good."""
        return await signing.authorize(self._client, call)

    @declining(RefusedError, _declined)
    async def void(self, call: Void) -> Outcome:
        """Call an open sign-up off.

        A mandate is no reservation and is left alone: it may serve other payments by now, and
        ending it would end those as well.
        """
        try:
            request = await self._client.act(BillingRequest, call.authorization_id, "cancel")
        except RefusedError:
            found = await self._client.get(BillingRequest, call.authorization_id)
            if found is None or found.status in signing.OPEN:
                raise
            request = found
        return mapping.void_outcome(request)

    @declining(RefusedError, _declined)
    async def capture(self, call: Capture) -> Outcome:
        """A mandate holds no money: there is never anything to capture."""
        message = "No money is held under a mandate."
        return Declined(code=Code.InvalidPreconditions, message=message)

    @declining(RefusedError, _declined)
    async def charge(self, call: Charge) -> Outcome:
        """Collect a payment with a mandate."""
        mandate = call.instrument.token.get(MANDATE)
        if mandate is None:
            return mapping.mandate_outcome(None)
        to_minor(call.amount, call.currency)
        body = bodies.payment(call, mandate, await self._charge_date(mandate, call))
        try:
            made = await self._client.create(Payment, body, call.idempotency_key)
        except RefusedError:
            # Perhaps the refusal of a repetition: whether the key goes first is unconfirmed.
            with afterwards():
                earlier = await self._made(Payment, call, mandate=mandate)
            if earlier is None:
                raise
            made = earlier
        with afterwards():
            return await self._outcome(mapping.ours(made, call))

    @declining(RefusedError, _declined)
    async def refund(self, call: Refund) -> Outcome:
        """Give money of a payment back; no two calls may do so without knowing of each other."""
        amount = to_minor(call.amount, call.currency)
        payment = await self._client.get(Payment, call.payment_psp_id)
        if payment is None:
            return Declined(code=Code.InvalidData, message="GoCardless has no such payment.")
        if payment.currency != call.currency:
            message = f"The payment is in {payment.currency}."
            return Declined(code=Code.InvalidCurrency, message=message)
        made = await self._made(WireRefund, call, payment=payment.id)
        if made is None:
            body = bodies.refund(call, amount, payment.amount_refunded)
            made = await self._refund(call, payment.id, body)
        return await self._outcome(mapping.ours(made, call))

    async def fetch_authorization(self, lookup: Lookup) -> Outcome | None:
        """What a sign-up has come to, or whether a mandate is still good."""
        if lookup.psp_id is not None and lookup.psp_id.startswith("MD"):
            mandate = await self._client.get(Mandate, lookup.psp_id)
            return mapping.mandate_outcome(mandate) if mandate else None
        found = await self._find(BillingRequest, lookup)
        return await signing.outcome(self._client, found) if found else None

    async def fetch_payment(self, lookup: Lookup) -> Outcome | None:
        """What a payment has come to, with its chargeback."""
        found = await self._find(Payment, lookup)
        return await self._outcome(found) if found else None

    async def fetch_refund(self, lookup: Lookup) -> Outcome | None:
        """What a refund has come to."""
        found = await self._find(WireRefund, lookup)
        return await self._outcome(found) if found else None

    async def verify_settings(self) -> SettingsCheck:
        """The schemes the creditors may collect in; all, if GoCardless does not show any."""
        creditors = (await self._client.page(Creditor)).items
        if not creditors:
            return SettingsCheck()
        shown = [scheme for creditor in creditors for scheme in creditor.scheme_identifiers]
        ready = {one.scheme for one in shown if one.status != "pending"}
        roles = {role for role, names in CREDITOR_SCHEMES.items() if names & ready}
        account = min(creditor.id for creditor in creditors)
        return SettingsCheck(roles=frozenset(roles if shown else SCHEMES), account=account)

    async def list_events(self, cursor: str | None) -> EventPage:
        """The event list behind a cursor."""
        return await listing.events(self._client, cursor, _now())

    async def list_movements(
        self, since: datetime, until: datetime, cursor: str | None
    ) -> MovementPage:
        """Payments, then refunds."""
        return await listing.movements(self._client, since, until, cursor, self._outcome)

    async def _charge_date(self, mandate: str, call: Charge) -> date | None:
        """The day wanted; one before the mandate's first possible day would be refused."""
        if call.execute_on is None:
            return None
        found = await self._client.get(Mandate, mandate)
        first = found.next_possible_charge_date if found else None
        return max(call.execute_on, first) if first else call.execute_on

    async def _refund(self, call: Refund, payment: str, body: bodies.Body) -> WireRefund:
        try:
            return await self._client.create(WireRefund, body, call.idempotency_key)
        except RefusedError as refusal:
            with afterwards():
                made = await self._made(WireRefund, call, payment=payment)
            if made is None and refusal.reason == _RACE:
                message = "Another refund of the payment came first"
                raise PspUnavailable(message, psp_code=_RACE) from None
            if made is None:
                raise
            return made

    async def _made(self, model: type[R], call: Call, **filters: str) -> R | None:
        """What an earlier attempt of the same call has made after all."""
        found = await listing.named(self._client, model, call.reference, _now(), **filters)
        return found[-1] if found else None

    async def _find(self, model: type[R], lookup: Lookup) -> R | None:
        """By GoCardless' id; by our reference if there is none or GoCardless does not know it."""
        found = await self._client.get(model, lookup.psp_id) if lookup.psp_id else None
        if found is None:
            known = await listing.named(self._client, model, lookup.reference, _now())
            found = known[-1] if known else None
        return mapping.ours(found, lookup) if found else None

    async def _outcome(self, made: Resource) -> Outcome:
        if isinstance(made, WireRefund):
            return mapping.refund_outcome(made)
        if not isinstance(made, Payment):
            raise TypeError(type(made).__name__)
        if not mapping.needs_events(made):
            return mapping.payment_outcome(made)
        events = await self._client.page(Event, payment=made.id)
        return mapping.payment_outcome(made, events.items)


def _now() -> datetime:
    return datetime.now(UTC)
