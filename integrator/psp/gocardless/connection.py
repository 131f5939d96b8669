"""The port's operations for one merchant of GoCardless."""

from datetime import date, datetime
from functools import partial
from typing import TypeVar

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.errors import PspUnavailable
from integrator.psp.gocardless import authorize, listing, mapping, request_bodies
from integrator.psp.gocardless.client import GoCardlessClient
from integrator.psp.gocardless.error_codes import CREDITOR_SCHEMES, SCHEMES
from integrator.psp.gocardless.mapping import MANDATE
from integrator.psp.gocardless.wire import (
    BillingRequest,
    Creditor,
    Event,
    Mandate,
    Payment,
    Resource,
)
from integrator.psp.gocardless.wire import Refund as WireRefund
from integrator.psp.toolkit.client import RefusedError, afterwards, recover_by_read
from integrator.psp.toolkit.connection import PspConnection, returns_declines
from integrator.psp.toolkit.instruments import stored
from integrator.psp.toolkit.money import to_minor
from integrator.psp.toolkit.outcomes import require, verify_reference
from integrator.psp.types import (
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


class GoCardlessConnection(PspConnection):
    """An account at GoCardless."""

    def __init__(self, client: GoCardlessClient) -> None:
        self._client = client

    @returns_declines
    async def authorize(self, call: Authorize) -> Outcome:
        """Set up a mandate, by the hosted page or by IBAN, or see whether one is still good."""
        return await authorize.authorize(self._client, call)

    @returns_declines
    async def void(self, call: Void) -> Outcome:
        """Call an open sign-up off.

        A mandate is no reservation and is left alone: it may serve other payments by now, and
        ending it would end those as well.
        """
        id = call.authorization_id

        async def ended() -> BillingRequest | None:
            found = await self._client.named(BillingRequest, id)
            return found if found and found.status not in authorize.OPEN else None

        attempt = self._client.act(BillingRequest, id, "cancel")
        return mapping.void_outcome(await recover_by_read(attempt, ended))

    async def capture(self, call: Capture) -> Outcome:
        """A mandate holds no money: there is never anything to capture."""
        message = "No money is held under a mandate."
        return Declined(code=Code.InvalidPreconditions, message=message)

    @returns_declines
    async def charge(self, call: Charge) -> Outcome:
        """Collect a payment with a mandate."""
        mandate = stored(call).get(MANDATE)
        if mandate is None:
            return mapping.mandate_outcome(None)
        to_minor(call.amount, call.currency)
        body = request_bodies.payment(call, mandate, await self._charge_date(mandate, call))
        earlier = partial(self._made, Payment, call, mandate=mandate)
        # A refusal may be that of a repetition: whether the key goes first is unconfirmed.
        made = await recover_by_read(
            self._client.create(Payment, body, call.idempotency_key), earlier
        )
        with afterwards():
            return await self._outcome(verify_reference(made, call))

    @returns_declines
    async def refund(self, call: Refund) -> Outcome:
        """Give money of a payment back; no two calls may do so without knowing of each other."""
        amount = to_minor(call.amount, call.currency)
        payment = await self._client.named(Payment, call.payment_psp_id)
        if payment is None:
            return Declined(code=Code.InvalidData, message="GoCardless has no such payment.")
        message = f"The payment is in {payment.currency}."
        require(payment.currency == call.currency, Code.InvalidCurrency, message)
        made = await self._made(WireRefund, call, payment=payment.id)
        if made is None:
            body = request_bodies.refund(call, amount, payment.amount_refunded)
            made = await self._refund(call, payment.id, body)
        return await self._outcome(verify_reference(made, call))

    async def fetch_authorization(self, lookup: Lookup) -> Outcome | None:
        """What a sign-up has come to, or whether a mandate is still good."""
        if lookup.psp_id is not None and lookup.psp_id.startswith("MD"):
            mandate = await self._client.named(Mandate, lookup.psp_id)
            return mapping.mandate_outcome(mandate) if mandate else None
        found = await self._find(BillingRequest, lookup)
        return await authorize.outcome(self._client, found) if found else None

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
        creditors = (await self._client.listed(Creditor)).items
        if not creditors:
            return SettingsCheck()
        shown = [scheme for creditor in creditors for scheme in creditor.scheme_identifiers]
        ready = {one.scheme for one in shown if one.status != "pending"}
        roles = {role for role, names in CREDITOR_SCHEMES.items() if names & ready}
        account = min(creditor.id for creditor in creditors)
        return SettingsCheck(roles=frozenset(roles if shown else SCHEMES), account=account)

    async def list_events(self, cursor: str | None) -> EventPage:
        """The event list behind a cursor."""
        return await listing.events(self._client, cursor)

    async def list_movements(
        self, since: datetime, until: datetime, cursor: str | None
    ) -> MovementPage:
        """Payments, then refunds."""
        return await listing.movements(self._client, since, until, cursor, self._outcome)

    def declined(self, refusal: RefusedError, call: Call) -> Declined:
        """Only a charge names what may be missing: the mandate."""
        if refusal.missing and not isinstance(call, Charge):
            return refusal.declined.model_copy(update={"code": Code.InvalidData})
        return super().declined(refusal, call)

    async def _charge_date(self, mandate: str, call: Charge) -> date | None:
        """The day wanted; one before the mandate's first possible day would be refused."""
        if call.execute_on is None:
            return None
        found = await self._client.named(Mandate, mandate)
        first = found.next_possible_charge_date if found else None
        return max(call.execute_on, first) if first else call.execute_on

    async def _refund(self, call: Refund, payment: str, body: request_bodies.Body) -> WireRefund:
        try:
            return await self._client.create(WireRefund, body, call.idempotency_key)
        except RefusedError as refusal:
            with afterwards():
                made = await self._made(WireRefund, call, payment=payment)
            if made is None and refusal.psp_code == _RACE:
                message = "Another refund of the payment came first"
                raise PspUnavailable(message, psp_code=_RACE) from None
            if made is None:
                raise
            return made

    async def _made(self, model: type[R], asked: Call | Lookup, **filters: str) -> R | None:
        """The object with our reference, which an earlier attempt has made after all."""
        found = await listing.named(self._client, model, asked.reference, **filters)
        return found[-1] if found else None

    async def _find(self, model: type[R], lookup: Lookup) -> R | None:
        """By GoCardless' id; by our reference if there is none or GoCardless does not know it."""
        found = await self._client.named(model, lookup.psp_id) if lookup.psp_id else None
        found = found or await self._made(model, lookup)
        return verify_reference(found, lookup) if found else None

    async def _outcome(self, made: Payment | WireRefund) -> Outcome:
        if isinstance(made, WireRefund):
            return mapping.refund_outcome(made)
        if not mapping.needs_events(made):
            return mapping.payment_outcome(made)
        events = await self._client.listed(Event, payment=made.id)
        return mapping.payment_outcome(made, events.items)
