"""Operations of the port at Billwerk+ Pay."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.billwerk_pay import authorize, listing, mapping, money, request_bodies
from integrator.psp.billwerk_pay import lookup as object_lookup
from integrator.psp.billwerk_pay.client import BillwerkPayClient
from integrator.psp.billwerk_pay.settings import BillwerkPaySettings
from integrator.psp.billwerk_pay.wire import Account, Charge, Invoice, WebhookSettings
from integrator.psp.billwerk_pay.wire import Refund as WireRefund
from integrator.psp.toolkit.client import RefusedError, recover_by_read
from integrator.psp.toolkit.connection import PspConnection, returns_declines
from integrator.psp.toolkit.instruments import METHOD, stored_token
from integrator.psp.toolkit.outcomes import require
from integrator.psp.toolkit.secrets import matches_any, split_secrets
from integrator.psp.types import (
    Absent,
    Approved,
    Authorize,
    Call,
    Capture,
    Declined,
    Lookup,
    LookupAnswer,
    MovementPage,
    Outcome,
    Pending,
    Refund,
    SettingsCheck,
    Void,
)
from integrator.psp.types import Charge as ChargeCall


class BillwerkPayConnection(PspConnection):
    """Connection for one account at Billwerk+ Pay.

    A repetition is recognised without the PSP's idempotency keys: there is only one charge per
    handle, and a settle or refund with our reference in its text is not requested again. After a
    refusal, too, the existing object decides, if there is one.
    """

    def __init__(self, client: BillwerkPayClient, settings: BillwerkPaySettings) -> None:
        self._client = client
        self._settings = settings

    @returns_declines
    async def authorize(self, call: Authorize) -> Outcome:
        """Open a checkout, reserve on a stored card or import a stored card."""
        if not money.is_unit_certain(call.currency):
            return await self._read_earlier(call, self.fetch_authorization)

        async def read_existing() -> Outcome | None:
            charge = await self._get_charge(call.reference, "authorized", "settled", "pending")
            if charge is None:
                return None
            return mapping.authorization_outcome(
                mapping.verify_handle(charge, call.currency, call.reference)
            )

        methods = self._settings.payment_methods
        return await recover_by_read(
            authorize.authorize(self._client, call, methods), read_existing
        )

    @returns_declines
    async def void(self, call: Void) -> Outcome:
        """Cancel a reservation, or close a hosted page (`cs_`) and cancel its reservation."""
        handle = call.authorization_id
        if handle.startswith(authorize.SESSION_PREFIX):
            await self._client.checkout.close_session(handle)
            existing = await self._client.get(Charge, "charge", call.reference)
            if existing is None or existing.state in ("created", "failed", "cancelled"):
                return Approved(psp_id=handle)
            handle = call.reference
        attempt = self._client.request(Charge, "POST", "charge", handle, "cancel")
        charge = await recover_by_read(attempt, partial(self._get_charge, handle, "cancelled"))
        return mapping.void_outcome(mapping.verify_handle(charge, call.currency, handle))

    @returns_declines
    async def capture(self, call: Capture) -> Outcome:
        """Settle (capture) a reservation, in whole or in part."""
        handle, amount = call.authorization_id, request_bodies.amount_fields(call)["amount"]
        existing = await self._find_settle(handle, call)
        if existing is not None:
            return existing
        body = {
            "key": call.idempotency_key,
            "amount": amount,
            "ordertext": request_bodies.reference_text(call),
        }
        try:
            charge = await self._client.send_reduced(
                self._client, Charge, "charge", handle, "settle", body=body
            )
        except RefusedError as refusal:
            return await self._find_settle(handle, call) or refusal.declined
        charge = mapping.verify_handle(charge, call.currency, handle)
        has_error = charge.error is not None or charge.error_state is not None
        if charge.state == "settled" and (has_error or charge.amount != amount):
            # Not the first settle of this charge: ours is identified in the list of all settles.
            existing = await self._find_settle(handle, call)
            if existing is not None or not has_error:
                return existing or Pending(psp_id=None)
        return mapping.failed_outcome(None, charge) if has_error else mapping.charge_outcome(charge)

    @returns_declines
    async def charge(self, call: ChargeCall) -> Outcome:
        """Charge a stored card."""
        if not money.is_unit_certain(call.currency):
            return await self._read_earlier(call, self.fetch_payment)
        token = stored_token(call)
        require(token.get(METHOD), Code.BearerInvalid, "No stored card is known.")
        body = request_bodies.charge_body(call, token, settle=True)
        attempt = self._client.send_reduced(self._client, Charge, "charge", body=body)
        find_existing = partial(self._get_charge, call.reference, "settled", "pending")
        charge = await recover_by_read(attempt, find_existing)
        return mapping.charge_outcome(mapping.verify_handle(charge, call.currency, call.reference))

    @returns_declines
    async def refund(self, call: Refund) -> Outcome:
        """Refund a payment."""
        handle, _, id = call.payment_psp_id.partition("/")
        body = {
            "invoice": handle,
            "key": call.idempotency_key,
            "amount": request_bodies.amount_fields(call)["amount"],
            "text": request_bodies.reference_text(call),
        }
        invoice = await object_lookup.get_invoice(self._client, handle)
        transaction_ids = {moved.id for moved in invoice.transactions} if invoice else set()
        require(id in transaction_ids, Code.InvalidData, "The PSP has no such payment.")
        refund = await self._find_refund(invoice, call)
        if refund is None:

            async def read() -> WireRefund | None:
                return await self._find_refund(
                    await object_lookup.get_invoice(self._client, handle), call
                )

            attempt = self._client.send_reduced(self._client, WireRefund, "refund", body=body)
            refund = await recover_by_read(attempt, read)
        return mapping.refund_outcome(
            mapping.verify_handle(refund, call.currency, handle), call.currency
        )

    async def fetch_authorization(self, lookup: Lookup) -> LookupAnswer:
        """Return the outcome of a hosted page or a reservation."""
        outcome = await authorize.fetch_authorization(self._client, lookup)
        # Handles of charges and customers are exact.
        return outcome or object_lookup.absent(lookup, complete=lookup.psp_id is None)

    async def fetch_payment(self, lookup: Lookup) -> LookupAnswer:
        """Return the outcome of a charge or capture, with its chargebacks."""
        return await object_lookup.fetch_payment(self._client, lookup)

    async def fetch_refund(self, lookup: Lookup) -> LookupAnswer:
        """Return the outcome of a refund."""
        return await object_lookup.fetch_refund(self._client, lookup)

    async def verify_settings(self) -> SettingsCheck:
        """Verify both secrets; the PSP returns the webhook secret."""
        hooks = await self._client.get_required(WebhookSettings, "account", "webhook_settings")
        account = await self._client.get_required(Account, "account")
        if not matches_any(hooks.secret, split_secrets(self._settings.webhook_secret)):
            return SettingsCheck()
        return SettingsCheck(roles=frozenset({Role.CreditCard}), account=account.id)

    async def list_movements(
        self, since: datetime, until: datetime, cursor: str | None
    ) -> MovementPage:
        """Return a page of the transactions in the window, then the payments charged back in it."""
        return await listing.list_movements(self._client, since, until, cursor)

    def map_refusal(self, refusal: RefusedError, call: Call) -> Declined:
        """Return the decline; most of the PSP's codes already name the missing object.

        What is "not found" without a name is the stored card, if the call uses one.
        """
        if refusal.missing and refusal.declined.code is Code.UnmappedError:
            uses_card = getattr(call, "instrument", None) is not None
            code = Code.BearerInvalid if uses_card else Code.InvalidData
            return refusal.declined.model_copy(update={"code": code})
        return refusal.declined

    async def _read_earlier(
        self, call: Call, read: Callable[[Lookup], Awaitable[LookupAnswer]]
    ) -> Outcome:
        """Return the outcome of an earlier attempt; decline a new one, which is not sent.

        An earlier version of this adapter may have sent it with units that are not certain.
        """
        lookup = Lookup(
            reference=call.reference, psp_id=None, currency=call.currency, role=call.role
        )
        invoice = await object_lookup.get_invoice(self._client, call.reference)
        earlier = await read(lookup) if invoice else None
        if earlier is None or isinstance(earlier, Absent):
            raise money.uncertain_unit_error(call.currency)
        return earlier

    async def _get_charge(self, handle: str, *states: str) -> Charge | None:
        """Return the charge of a handle if it is in one of the states."""
        charge = await self._client.get(Charge, "charge", handle)
        return charge if charge and charge.state in states else None

    async def _find_settle(self, handle: str, call: Capture) -> Outcome | None:
        invoice = await object_lookup.get_invoice(self._client, handle)
        settle = mapping.find_settle(invoice, call.reference) if invoice else None
        return (
            mapping.settle_outcome(mapping.verify_handle(settle, call.currency), call.currency)
            if settle
            else None
        )

    async def _find_refund(self, invoice: Invoice | None, call: Refund) -> WireRefund | None:
        id = mapping.find_refund_id(invoice.credit_notes if invoice else (), call.reference)
        return await self._client.get(WireRefund, "refund", id) if id else None
