"""The port's operations for one merchant of Billwerk+ Pay."""

from datetime import datetime
from functools import partial

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.billwerk_pay import authorize, listing, mapping, request_bodies
from integrator.psp.billwerk_pay import lookup as object_lookup
from integrator.psp.billwerk_pay.client import Client
from integrator.psp.billwerk_pay.settings import BillwerkPaySettings
from integrator.psp.billwerk_pay.wire import Account, Charge, Invoice, WebhookSettings
from integrator.psp.billwerk_pay.wire import Refund as WireRefund
from integrator.psp.toolkit.client import RefusedError, recover_by_read
from integrator.psp.toolkit.connection import PspConnection, returns_declines
from integrator.psp.toolkit.instruments import METHOD, stored
from integrator.psp.toolkit.outcomes import require
from integrator.psp.toolkit.secrets import is_known, split
from integrator.psp.types import (
    Approved,
    Authorize,
    Call,
    Capture,
    Declined,
    Lookup,
    MovementPage,
    Outcome,
    Pending,
    Refund,
    SettingsCheck,
    Void,
)
from integrator.psp.types import Charge as ChargeCall


class BillwerkPayConnection(PspConnection):
    """An account at Billwerk+ Pay.

    A repetition is recognised without the PSP's memory of keys: only one charge exists per handle,
    and what was settled or given back with our reference in its text is not asked for again. After
    a refusal, too, the PSP's object decides, if there is one.
    """

    def __init__(self, client: Client, settings: BillwerkPaySettings) -> None:
        self._client = client
        self._settings = settings

    @returns_declines
    async def authorize(self, call: Authorize) -> Outcome:
        """Open a checkout, reserve on a stored card or take a stored card over."""

        async def held() -> Outcome | None:
            found = await self._charge(call.reference, "authorized", "settled", "pending")
            if found is None:
                return None
            return mapping.authorization(mapping.ours(found, call.currency, call.reference))

        methods = self._settings.payment_methods
        return await recover_by_read(authorize.authorize(self._client, call, methods), held)

    @returns_declines
    async def void(self, call: Void) -> Outcome:
        """Cancel a reservation, or close a hosted page (`cs_`) and cancel what it has reserved."""
        handle = call.authorization_id
        if handle.startswith(authorize.SESSION):
            await self._client.checkout.close(handle)
            found = await self._client.get(Charge, "charge", call.reference)
            if found is None or found.state in ("created", "failed", "cancelled"):
                return Approved(psp_id=handle)
            handle = call.reference
        attempt = self._client.ask(Charge, "POST", "charge", handle, "cancel")
        charge = await recover_by_read(attempt, partial(self._charge, handle, "cancelled"))
        return mapping.cancelled(charge)

    @returns_declines
    async def capture(self, call: Capture) -> Outcome:
        """Settle a reservation, in whole or in part."""
        handle, amount = call.authorization_id, request_bodies.money(call)["amount"]
        own = await self._settled(handle, call)
        if own is not None:
            return own
        body = {
            "key": call.idempotency_key,
            "amount": amount,
            "ordertext": request_bodies.text(call),
        }
        try:
            charge = await self._client.ask(Charge, "POST", "charge", handle, "settle", body=body)
        except RefusedError as refusal:
            return await self._settled(handle, call) or refusal.declined
        charge = mapping.ours(charge, call.currency, handle)
        troubled = charge.error is not None or charge.error_state is not None
        if charge.state == "settled" and (troubled or charge.amount != amount):
            # Not the first settle of this charge: only the list of all tells about ours.
            own = await self._settled(handle, call)
            if own is not None or not troubled:
                return own or Pending(psp_id=None)
        return mapping.failed(None, charge) if troubled else mapping.payment(charge)

    @returns_declines
    async def charge(self, call: ChargeCall) -> Outcome:
        """Take money from a stored card."""
        token = stored(call)
        require(METHOD in token, Code.BearerInvalid, "No stored card is known.")
        body = request_bodies.charge_body(call, token, settle=True)
        attempt = self._client.ask(Charge, "POST", "charge", body=body)
        taken = partial(self._charge, call.reference, "settled", "pending")
        charge = await recover_by_read(attempt, taken)
        return mapping.payment(mapping.ours(charge, call.currency, call.reference))

    @returns_declines
    async def refund(self, call: Refund) -> Outcome:
        """Give money of a payment back."""
        handle, _, id = call.payment_psp_id.partition("/")
        body = {
            "invoice": handle,
            "key": call.idempotency_key,
            "amount": request_bodies.money(call)["amount"],
            "text": request_bodies.text(call),
        }
        invoice = await object_lookup.invoice(self._client, handle)
        known = {moved.id for moved in invoice.transactions} if invoice else set()
        require(id in known, Code.InvalidData, "The PSP has no such payment.")
        made = await self._given_back(invoice, call)
        if made is None:

            async def read() -> WireRefund | None:
                return await self._given_back(
                    await object_lookup.invoice(self._client, handle), call
                )

            attempt = self._client.ask(WireRefund, "POST", "refund", body=body)
            made = await recover_by_read(attempt, read)
        return mapping.refund(mapping.ours(made, call.currency, handle), call.currency)

    async def fetch_authorization(self, lookup: Lookup) -> Outcome | None:
        """What a hosted page or a reservation has come to."""
        return await authorize.fetch(self._client, lookup)

    async def fetch_payment(self, lookup: Lookup) -> Outcome | None:
        """What a charge or capture has come to, with its chargebacks."""
        return await object_lookup.payment(self._client, lookup)

    async def fetch_refund(self, lookup: Lookup) -> Outcome | None:
        """What a refund has come to."""
        return await object_lookup.refund(self._client, lookup)

    async def verify_settings(self) -> SettingsCheck:
        """Both secrets: the PSP shows the one its webhooks are signed with."""
        hooks = await self._client.require(WebhookSettings, "account", "webhook_settings")
        account = await self._client.require(Account, "account")
        if not is_known(hooks.secret, split(self._settings.webhook_secret)):
            return SettingsCheck()
        return SettingsCheck(roles=frozenset({Role.CreditCard}), account=account.id)

    async def list_movements(
        self, since: datetime, until: datetime, cursor: str | None
    ) -> MovementPage:
        """Every transaction made in the window, then the payments charged back in it."""
        return await listing.movements(self._client, since, until, cursor)

    def declined(self, refusal: RefusedError, call: Call) -> Declined:
        """The PSP's codes say which object is not there."""
        return refusal.declined

    async def _charge(self, handle: str, *states: str) -> Charge | None:
        """The charge of a handle, if it is in one of the states."""
        found = await self._client.get(Charge, "charge", handle)
        return found if found and found.state in states else None

    async def _settled(self, handle: str, call: Capture) -> Outcome | None:
        invoice = await object_lookup.invoice(self._client, handle)
        own = mapping.settle_of(invoice, call.reference) if invoice else None
        return mapping.movement(mapping.ours(own, call.currency), call.currency) if own else None

    async def _given_back(self, invoice: Invoice | None, call: Refund) -> WireRefund | None:
        id = mapping.refund_of(invoice.credit_notes if invoice else (), call.reference)
        return await self._client.get(WireRefund, "refund", id) if id else None
