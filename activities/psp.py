"""The PSP activities: load what the store keeps, call the adapter, keep what is private.

An activity that is repeated sends the same idempotency key, so whatever happened after the PSP's
answer (a lost worker, a store that was away) is made good by the PSP's own replay of it.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities import psp_requests
from activities.errors import attempt, psp_errors
from activities.reconciliation.psp_account import reference_of
from activities.reservations import Owners
from integrator.contract import PaymentErrorCode
from integrator.observability import log_setup, worker_metrics
from integrator.observability.psp_metrics import InstrumentedConnection
from integrator.psp import registry
from integrator.psp.errors import CredentialsRejected, PspError
from integrator.psp.integration_info import SettingsRefused, parse_settings
from integrator.psp.port import Connection
from integrator.psp.types import (
    Approved,
    Declined,
    Instrument,
    NotificationEvent,
    Outcome,
    RedirectRequired,
)
from integrator.store.database import Store
from integrator.store.errors import NotFound
from integrator.store.models import NotificationRow, PspCallData, TransactionRow
from workflows import activity_plans
from workflows.messages import (
    CredentialsReply,
    NotificationRead,
    NotificationResult,
    PspCall,
    PspFailure,
    PspReply,
    ReserveReply,
)
from workflows.state import EvidenceKind, TransactionKind

NO_INSTRUMENT = PspReply(
    outcome=Declined(
        code=PaymentErrorCode.BearerInvalid, message="The agreement holds no payment method."
    ),
    evidence=EvidenceKind.NOT_SENT,
)

ERASED = PspReply(
    outcome=Declined(
        code=PaymentErrorCode.InvalidPreconditions,
        message="The data of the agreement has been erased.",
    ),
    evidence=EvidenceKind.NOT_SENT,
)

Fetch = Callable[[Any], Awaitable[Outcome | None]]


class PspActivities:
    """All calls to PSPs; `http` is shared, so that connections are reused."""

    def __init__(self, store: Store, http: httpx.AsyncClient, owners: Owners) -> None:
        self._store = store
        self._http = http
        self._owners = owners

    def all(self) -> Sequence[Callable[..., Any]]:
        """The activities to register with a worker."""
        return [
            self.authorize,
            self.void,
            self.capture,
            self.charge,
            self.refund,
            self.fetch_authorization,
            self.fetch_payment,
            self.fetch_refund,
            self.check_credentials,
            self.read_notification,
        ]

    @activity.defn(name=activity_plans.AUTHORIZE.name)
    async def authorize(self, call: PspCall) -> PspReply:
        """Reserve money, store a payment method or take a customer over."""
        order, connection = await self._open(call)
        row, request = order.transaction, order.request
        if request is None:
            return erased()
        instrument = None if request.get("isInitial") else instrument_of(order)
        if instrument is None and not request.get("isInitial"):
            return NO_INSTRUMENT
        with psp_errors():
            outcome = await connection.authorize(
                psp_requests.authorize(call, row, request, instrument)
            )
        return await self._answer(row, outcome)

    @activity.defn(name=activity_plans.CHARGE.name)
    async def charge(self, call: PspCall) -> PspReply:
        """Take a payment with the agreement's instrument."""
        order, connection = await self._open(call)
        row, request = order.transaction, order.request
        if request is None:
            return erased()
        instrument = instrument_of(order)
        if instrument is None:
            return NO_INSTRUMENT
        with psp_errors():
            outcome = await connection.charge(psp_requests.charge(call, row, request, instrument))
        return await self._answer(row, outcome)

    @activity.defn(name=activity_plans.CAPTURE.name)
    async def capture(self, call: PspCall) -> PspReply:
        """Hold the preauth, then take its reservation."""
        order, connection = await self._open(call)
        row = order.transaction
        grant = await self._owners.reserve(TransactionKind.PREAUTH, row)
        if grant.refusal is not None:
            return refused(grant)
        if grant.taken_by is not None:
            return await self._captured_already(row, connection, grant.taken_by)
        with psp_errors():
            outcome = await connection.capture(psp_requests.capture(call, row, target(grant)))
        reply = await self._answer(row, outcome)
        return await self._owners.settle_if_certain(TransactionKind.PREAUTH, row, reply)

    @activity.defn(name=activity_plans.REFUND.name)
    async def refund(self, call: PspCall) -> PspReply:
        """Hold a part of the payment, then give it back."""
        order, connection = await self._open(call)
        row = order.transaction
        grant = await self._owners.reserve(TransactionKind.PAYMENT, row)
        if grant.refusal is not None:
            return refused(grant)
        with psp_errors():
            outcome = await connection.refund(psp_requests.refund(call, row, target(grant)))
        reply = await self._answer(row, outcome)
        return await self._owners.settle_if_certain(TransactionKind.PAYMENT, row, reply)

    @activity.defn(name=activity_plans.VOID.name)
    async def void(self, call: PspCall) -> PspReply:
        """Give a reservation back, or close an open checkout session."""
        order, connection = await self._open(call)
        row = order.transaction
        if call.psp_id is None:
            raise ApplicationError("A void needs its target.", non_retryable=True)
        with psp_errors():
            outcome = await connection.void(psp_requests.void(call, row, call.psp_id))
        return await self._answer(row, outcome)

    @activity.defn(name=activity_plans.FETCH_AUTHORIZATION.name)
    async def fetch_authorization(self, call: PspCall) -> PspReply:
        """Ask for a preauth's state."""
        order, connection = await self._open(call)
        return await self._look_up(call, order.transaction, connection.fetch_authorization)

    @activity.defn(name=activity_plans.FETCH_PAYMENT.name)
    async def fetch_payment(self, call: PspCall) -> PspReply:
        """Ask for a payment's state."""
        order, connection = await self._open(call)
        return await self._look_up(call, order.transaction, connection.fetch_payment)

    @activity.defn(name=activity_plans.FETCH_REFUND.name)
    async def fetch_refund(self, call: PspCall) -> PspReply:
        """Ask for a refund's state."""
        order, connection = await self._open(call)
        return await self._look_up(call, order.transaction, connection.fetch_refund)

    @activity.defn(name=activity_plans.CHECK_CREDENTIALS.name)
    async def check_credentials(self, call: PspCall) -> CredentialsReply:
        """Read-only check whether the PSP accepts the merchant's credentials."""
        _, connection = await self._open(call)
        with psp_errors():
            try:
                await connection.verify_settings()
            except CredentialsRejected:
                return CredentialsReply(accepted=False)
        return CredentialsReply(accepted=True)

    @activity.defn(name=activity_plans.READ_NOTIFICATION.name)
    async def read_notification(self, read: NotificationRead) -> NotificationResult:
        """What a stored notification says of this transaction.

        It was verified before it was stored; it is read again here because its payment data must
        not travel through Temporal. One that cannot be read any more (the webhook secret may have
        been changed since) has the PSP asked instead: failing would hold up all that follows.
        """
        row = await self._row(read.merchant_id, read.transaction_id)
        stored = await self._store.notification(read.notification_id)
        if stored is None or stored.merchant_id != row.merchant_id:
            return NotificationResult(outcome=None, event_id="", fetch=True)
        notice = await self._reread(row, stored)
        if stored.state != "applied":
            worker_metrics.notification_read(row.psp, stored.received_at)
        await self._store.set_notification(stored.id, "applied", transaction_id=row.transaction_id)
        if notice is None or notice.result is None:
            return NotificationResult(outcome=None, event_id=stored.event_id, fetch=True)
        outcome = await self._keep_private(row, notice.result)
        return NotificationResult(outcome=outcome, event_id=stored.event_id)

    async def _captured_already(
        self, row: TransactionRow, connection: Connection, psp_id: str
    ) -> PspReply:
        """Answer from a capture that was made without us; the money must not be taken twice."""
        lookup = psp_requests.lookup(row, psp_id, await reference_of(self._store, row, psp_id))
        with psp_errors():
            outcome = await connection.fetch_payment(lookup)
        if outcome is None:
            raise ApplicationError("The PSP does not show the capture.", type=PspFailure.UNKNOWN)
        reply = PspReply(outcome=await self._keep_private(row, outcome), evidence=EvidenceKind.READ)
        return await self._owners.settle_if_certain(TransactionKind.PREAUTH, row, reply)

    async def _reread(
        self, row: TransactionRow, stored: NotificationRow
    ) -> NotificationEvent | None:
        if stored.erased:
            return None
        adapter = registry.adapter(row.psp)
        values = await self._store.settings(row.merchant_id, row.created_at)
        try:
            if stored.source == "listed":
                notices = adapter.read_event(stored.raw)
            else:
                settings = parse_settings(adapter, values or {})
                notices = adapter.parse_notification(
                    settings, stored.headers or {}, stored.raw, stored.received_at
                )
        except (SettingsRefused, PspError):
            return None
        return next((n for n in notices if n.event_id == stored.event_id), None)

    async def _look_up(self, call: PspCall, row: TransactionRow, fetch: Fetch) -> PspReply:
        if not registry.adapter(row.psp).capabilities.can_read:
            # Only its notifications tell; they are applied as they come, and nothing is proven.
            return PspReply(outcome=None, evidence=EvidenceKind.READ)
        lookup = psp_requests.lookup(
            row, call.psp_id, await reference_of(self._store, row, call.psp_id)
        )
        with psp_errors():
            outcome = await fetch(lookup)
        semantics = registry.adapter(row.psp).capabilities.idempotency
        return PspReply(
            outcome=await self._keep_private(row, outcome) if outcome is not None else None,
            evidence=EvidenceKind.READ,
            # An id of its own means that the PSP did know it: then its absence proves nothing.
            absence_proven=outcome is None and call.psp_id is None and semantics.consistent_lookup,
        )

    async def _open(self, call: PspCall) -> tuple[PspCallData, Connection]:
        try:
            order = await self._store.order(call.merchant_id, call.transaction_id)
        except NotFound:
            raise _unknown_transaction() from None
        psp = order.transaction.psp
        adapter = registry.adapter(psp)
        try:
            settings = parse_settings(adapter, order.settings or {})
        except SettingsRefused as error:
            raise ApplicationError(
                str(error),
                attempt(),
                type=PspFailure.CONFIGURATION,
                non_retryable=True,
            ) from None
        log_setup.bind(psp=psp)
        return order, InstrumentedConnection(adapter.connect(settings, self._http), psp)

    async def _row(self, merchant_id: str, transaction_id: str) -> TransactionRow:
        row = await self._store.transaction(merchant_id, transaction_id)
        if row is None:
            raise _unknown_transaction()
        return row

    async def _answer(self, row: TransactionRow, outcome: Outcome) -> PspReply:
        return PspReply(
            outcome=await self._keep_private(row, outcome), evidence=EvidenceKind.ANSWER
        )

    async def _keep_private(self, row: TransactionRow, outcome: Outcome) -> Outcome:
        """Save payment data and redirect addresses in the store and strip them from the outcome."""
        key = (row.merchant_id, row.transaction_id)
        match outcome:
            case Approved(instrument=Instrument() as instrument):
                await self._store.save_private(*key, instrument=instrument.model_dump())
                return outcome.model_copy(update={"instrument": None})
            case RedirectRequired():
                if outcome.url is not None:
                    redirect = {"url": outcome.url, "data": outcome.data}
                    await self._store.save_private(*key, redirect=redirect)
                return outcome.model_copy(update={"url": None, "data": None})
            case _:
                return outcome


def instrument_of(order: PspCallData) -> Instrument | None:
    """What the transaction's agreement can be charged with."""
    return Instrument.model_validate(order.instrument) if order.instrument else None


def erased() -> PspReply:
    """There is nothing left to send; whether an earlier attempt has sent it, only the PSP knows."""
    if attempt() == 1:
        return ERASED
    raise ApplicationError(
        "The data of the agreement was erased after an attempt whose answer is not known.",
        attempt(),
        type=PspFailure.UNKNOWN,
        non_retryable=True,
    )


def refused(grant: ReserveReply) -> PspReply:
    """The reservation was refused: nothing was sent to the PSP."""
    if grant.refusal is None:
        raise ValueError("The reservation was granted.")
    declined = Declined(code=grant.refusal.code, message=grant.refusal.message)
    return PspReply(outcome=declined, evidence=EvidenceKind.NOT_SENT, settled=True)


def target(grant: ReserveReply) -> str:
    """The PSP's id of what was reserved."""
    if grant.psp_id is None:
        raise ApplicationError("The owner has no id at the PSP.", type="NotFound")
    return grant.psp_id


def _unknown_transaction() -> ApplicationError:
    return ApplicationError("The store does not know the transaction.", type="NotFound")
