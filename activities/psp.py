"""PSP activities: load the transaction, call the adapter, store private data.

A repeated activity sends the same idempotency key, so a failure after the PSP's response (a lost
worker, an unavailable store) is repaired by the PSP's replay of that response.
"""

from collections.abc import Callable, Sequence
from typing import Any

import httpx
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities import psp_requests
from activities.errors import psp_errors
from activities.external_captures import ExternalCaptures
from activities.outcomes import OutcomeIntake
from activities.psp_lookups import Fetch, build_lookup, look_up, marking_failure
from activities.reservations import Reservations
from activities.send_attempt import SendAttempt
from integrator.contract import PaymentErrorCode, PublicPaymentProviderRole
from integrator.observability import log_setup, worker_metrics
from integrator.observability.psp_metrics import InstrumentedConnection
from integrator.psp import registry
from integrator.psp.connecting import open_connection
from integrator.psp.errors import CredentialsRejected, PspError
from integrator.psp.integration_info import SettingsRefused, parse_settings
from integrator.psp.port import Connection
from integrator.psp.types import DateWindow, Declined, Instrument, NotificationEvent, Outcome
from integrator.store.database import Store
from integrator.store.errors import NotFound
from integrator.store.models import NotificationRow, PspCallData, TransactionRow
from integrator.transactions.workflow_inputs import read_state
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
from workflows.state import EvidenceKind, PreauthState, TransactionKind

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


class PspActivities:
    """All calls to PSPs; `http` is shared to reuse connections."""

    def __init__(
        self,
        store: Store,
        http: httpx.AsyncClient,
        reservations: Reservations,
        external_captures: ExternalCaptures,
    ) -> None:
        self._store = store
        self._http = http
        self._reservations = reservations
        self._external_captures = external_captures
        self._intake = OutcomeIntake(store)

    def all(self) -> Sequence[Callable[..., Any]]:
        """Return the activities to register with a worker."""
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
        """Reserve money, store a payment method or migrate a customer."""
        call_data, connection = await self._load_and_connect(call)
        row, request = call_data.transaction, call_data.request
        attempt = SendAttempt(self._store, call, row)
        if is_answered(row):
            return stored_reply(row)
        if request is None:
            return refusal(attempt, ERASED)
        instrument = None if request.get("isInitial") else agreement_instrument(call_data)
        if instrument is None and not request.get("isInitial"):
            return refusal(attempt, NO_INSTRUMENT)
        async with attempt.sending():
            outcome = await connection.authorize(
                psp_requests.authorize(call, row, request, instrument)
            )
        return await self._build_reply(row, outcome)

    @activity.defn(name=activity_plans.CHARGE.name)
    async def charge(self, call: PspCall) -> PspReply:
        """Charge the agreement's instrument."""
        call_data, connection = await self._load_and_connect(call)
        row, request = call_data.transaction, call_data.request
        attempt = SendAttempt(self._store, call, row)
        if is_answered(row):
            return stored_reply(row)
        if request is None:
            return refusal(attempt, ERASED)
        instrument = agreement_instrument(call_data)
        if attempt.needs_lookup:
            reply = await self._look_up(call, row, connection.fetch_payment)
            if reply.outcome is not None:
                return reply
            if reply.absence_proven:
                attempt.confirm_absence()
        if instrument is None:
            return refusal(attempt, NO_INSTRUMENT)
        async with attempt.sending():
            charge = psp_requests.charge(
                call, row, request, instrument, debit_date_window(row), attempt.began_at
            )
            outcome = await connection.charge(charge)
        return await self._build_reply(row, outcome)

    @activity.defn(name=activity_plans.CAPTURE.name)
    async def capture(self, call: PspCall) -> PspReply:
        """Reserve the preauth, then capture its authorization."""
        call_data, connection = await self._load_and_connect(call)
        row = call_data.transaction
        attempt = SendAttempt(self._store, call, row)
        if is_answered(row):
            return stored_reply(row)
        reservation = await self._reservations.reserve(TransactionKind.PREAUTH, row)
        if reservation.refusal is not None:
            return refusal(attempt, refusal_reply(reservation))
        if reservation.taken_by is not None:
            return await self._read_external_capture(row, connection, reservation.taken_by)
        async with attempt.sending():
            outcome = await connection.capture(
                psp_requests.capture(call, row, reserved_psp_id(reservation))
            )
        reply = await self._build_reply(row, outcome)
        return await self._reservations.close_if_final(TransactionKind.PREAUTH, row, reply)

    @activity.defn(name=activity_plans.REFUND.name)
    async def refund(self, call: PspCall) -> PspReply:
        """Reserve a part of the payment, then refund it."""
        call_data, connection = await self._load_and_connect(call)
        row = call_data.transaction
        attempt = SendAttempt(self._store, call, row)
        if is_answered(row):
            return stored_reply(row)
        reservation = await self._reservations.reserve(TransactionKind.PAYMENT, row)
        if reservation.refusal is not None:
            return refusal(attempt, refusal_reply(reservation))
        async with attempt.sending():
            outcome = await connection.refund(
                psp_requests.refund(call, row, reserved_psp_id(reservation))
            )
        reply = await self._build_reply(row, outcome)
        return await self._reservations.close_if_final(TransactionKind.PAYMENT, row, reply)

    @activity.defn(name=activity_plans.VOID.name)
    async def void(self, call: PspCall) -> PspReply:
        """Void an authorization, or close an open checkout session."""
        call_data, connection = await self._load_and_connect(call)
        row = call_data.transaction
        if call.psp_id is None:
            raise ApplicationError("The void has no PSP id to cancel.", non_retryable=True)
        if not permits_void(call, row):
            return stored_reply(row)
        with psp_errors():
            outcome = await connection.void(psp_requests.void(call, row, call.psp_id))
        if isinstance(outcome, Declined):
            await self._external_captures.record_after_refused_void(row, connection, call.psp_id)
        return await self._build_reply(row, outcome)

    @activity.defn(name=activity_plans.FETCH_AUTHORIZATION.name)
    async def fetch_authorization(self, call: PspCall) -> PspReply:
        """Look up a preauth's state at the PSP."""
        call_data, connection = await self._load_and_connect(call)
        return await self._look_up(call, call_data.transaction, connection.fetch_authorization)

    @activity.defn(name=activity_plans.FETCH_PAYMENT.name)
    async def fetch_payment(self, call: PspCall) -> PspReply:
        """Look up a payment's state at the PSP."""
        call_data, connection = await self._load_and_connect(call)
        return await self._look_up(call, call_data.transaction, connection.fetch_payment)

    @activity.defn(name=activity_plans.FETCH_REFUND.name)
    async def fetch_refund(self, call: PspCall) -> PspReply:
        """Look up a refund's state at the PSP."""
        call_data, connection = await self._load_and_connect(call)
        return await self._look_up(call, call_data.transaction, connection.fetch_refund)

    @activity.defn(name=activity_plans.CHECK_CREDENTIALS.name)
    async def check_credentials(self, call: PspCall) -> CredentialsReply:
        """Check, without changing anything, whether the PSP accepts the merchant's credentials."""
        _, connection = await self._load_and_connect(call)
        with psp_errors():
            try:
                await connection.verify_settings()
            except CredentialsRejected:
                return CredentialsReply(accepted=False)
        return CredentialsReply(accepted=True)

    @activity.defn(name=activity_plans.READ_NOTIFICATION.name)
    async def read_notification(self, read: NotificationRead) -> NotificationResult:
        """Return what a stored notification says about this transaction.

        It was verified before it was stored; it is parsed again here because its payment data must
        not travel through Temporal. If it cannot be parsed any more (the webhook secret may have
        changed), the workflow looks the transaction up at the PSP instead: failing would block all
        later notifications.
        """
        row = await self._load_transaction(read.merchant_id, read.transaction_id)
        stored = await self._store.notifications.get(read.notification_id)
        if stored is None or stored.merchant_id != row.merchant_id:
            return NotificationResult(outcome=None, event_id="", fetch=True)
        newer = newer_version(read.version, row)
        event = await self._parse_stored(row, stored)
        if stored.state != "applied":
            worker_metrics.observe_notification_lag(row.psp, stored.received_at)
        await self._store.notifications.set_state(
            stored.id, "applied", transaction_id=row.transaction_id
        )
        if event is None or event.result is None:
            return NotificationResult(
                outcome=None, event_id=stored.event_id, fetch=True, stored_version=newer
            )
        accepted = await self._intake.accept(row, event.result)
        return NotificationResult(
            outcome=accepted.outcome,
            event_id=stored.event_id,
            fetch=bool(accepted.incomplete),
            stored_version=newer,
            doubts=accepted.doubts,
        )

    async def _read_external_capture(
        self, row: TransactionRow, connection: Connection, psp_id: str
    ) -> PspReply:
        """Build the reply from a capture made outside the integrator: never capture twice."""
        lookup = await build_lookup(self._store, row, psp_id)
        with psp_errors():
            result = await look_up(registry.get_adapter(row.psp), connection.fetch_payment, lookup)
        outcome = result.outcome
        if outcome is None:
            raise ApplicationError("The PSP does not return the capture.", type=PspFailure.UNKNOWN)
        accepted = await self._intake.accept_read(row, outcome, lookup)
        reply = PspReply(
            outcome=accepted.outcome, evidence=EvidenceKind.READ, doubts=accepted.doubts
        )
        return await self._reservations.close_if_final(TransactionKind.PREAUTH, row, reply)

    async def _parse_stored(
        self, row: TransactionRow, stored: NotificationRow
    ) -> NotificationEvent | None:
        if stored.erased:
            return None
        adapter = registry.get_adapter(row.psp)
        values = await self._store.merchants.get_settings(row.merchant_id, row.created_at)
        try:
            if stored.headers is None:
                # The event's own JSON, verified when it arrived, or an entry of the list.
                events = adapter.read_event(stored.raw)
            else:
                settings = parse_settings(adapter, values or {})
                events = adapter.parse_notification(
                    settings, stored.headers or {}, stored.raw, stored.received_at
                )
        except (SettingsRefused, PspError):
            return None
        return next((event for event in events if event.event_id == stored.event_id), None)

    async def _look_up(self, call: PspCall, row: TransactionRow, fetch: Fetch) -> PspReply:
        adapter = registry.get_adapter(row.psp)
        if not adapter.capabilities.can_read:
            # Only its notifications report; they are applied as they come, nothing is proven.
            return PspReply(
                outcome=None,
                evidence=EvidenceKind.READ,
                stored_version=newer_version(call.version, row),
            )
        lookup = await build_lookup(self._store, row, call.psp_id)
        with psp_errors(read=True):
            async with marking_failure(self._store, row):
                result = await look_up(adapter, fetch, lookup)
        reply = PspReply(
            outcome=None,
            evidence=EvidenceKind.READ,
            absence_proven=result.absence_proven,
            stored_version=newer_version(call.version, row),
        )
        if result.outcome is None:
            return reply
        await self._external_captures.record_after_lookup(row, result.outcome)
        accepted = await self._intake.accept_read(row, result.outcome, lookup)
        return reply.model_copy(update={"outcome": accepted.outcome, "doubts": accepted.doubts})

    async def _load_and_connect(self, call: PspCall) -> tuple[PspCallData, Connection]:
        try:
            call_data = await self._store.transactions.get_psp_call_data(
                call.merchant_id, call.transaction_id
            )
        except NotFound:
            raise _unknown_transaction() from None
        psp = call_data.transaction.psp
        adapter = registry.get_adapter(psp)
        try:
            settings = parse_settings(adapter, call_data.settings or {})
        except SettingsRefused as error:
            raise ApplicationError(
                str(error),
                SendAttempt(self._store, call, call_data.transaction).nothing_sent,
                type=PspFailure.CONFIGURATION,
                non_retryable=True,
            ) from None
        log_setup.bind(psp=psp)
        return call_data, InstrumentedConnection(
            open_connection(adapter, settings, self._http), psp
        )

    async def _load_transaction(self, merchant_id: str, transaction_id: str) -> TransactionRow:
        row = await self._store.transactions.get(merchant_id, transaction_id)
        if row is None:
            raise _unknown_transaction()
        return row

    async def _build_reply(self, row: TransactionRow, outcome: Outcome) -> PspReply:
        accepted = await self._intake.accept(row, outcome)
        return PspReply(
            outcome=accepted.outcome, evidence=EvidenceKind.ANSWER, doubts=accepted.doubts
        )


def agreement_instrument(call_data: PspCallData) -> Instrument | None:
    """Return the instrument of the transaction's agreement."""
    return Instrument.model_validate(call_data.instrument) if call_data.instrument else None


def debit_date_window(row: TransactionRow) -> DateWindow | None:
    """Return where the transaction's PSP takes dates of debits; None if it declares no limits."""
    methods = registry.get_adapter(row.psp).capabilities.methods
    method = methods.get(PublicPaymentProviderRole[row.role])
    return method.debit_date_window if method is not None else None


def is_answered(row: TransactionRow) -> bool:
    """Return whether the store has an outcome, so that nothing may be sent."""
    return row.version > 0 and read_state(row.kind, row.snapshot).answered


def stored_reply(row: TransactionRow) -> PspReply:
    """Return the reply that refers to the state in the store: nothing was sent."""
    return PspReply(outcome=None, evidence=EvidenceKind.READ, stored_version=row.version)


def newer_version(version: int | None, row: TransactionRow) -> int | None:
    """Return the stored version if it is newer than the workflow's."""
    return row.version if version is not None and row.version > version else None


def permits_void(call: PspCall, row: TransactionRow) -> bool:
    """Return whether the workflow may void: not if the store holds a state that it lacks.

    That is one of a newer version, or of the same version without this void: a workflow that was
    rewound counts on from an older state.
    """
    if call.version is None or row.version < call.version:
        return True
    if row.version > call.version:
        return False
    state = read_state(row.kind, row.snapshot)
    return isinstance(state, PreauthState) and state.void_open and state.void_target == call.psp_id


def refusal(attempt: SendAttempt, reply: PspReply) -> PspReply:
    """Return a refusal of our own; raises if an earlier attempt may have reached the PSP."""
    reason = reply.outcome.message if isinstance(reply.outcome, Declined) else None
    attempt.require_nothing_sent(reason or "The operation was refused.")
    return reply


def refusal_reply(reservation: ReserveReply) -> PspReply:
    """Return the reply for a refused reservation: nothing was sent to the PSP."""
    if reservation.refusal is None:
        raise ValueError("The reservation was granted.")
    declined = Declined(code=reservation.refusal.code, message=reservation.refusal.message)
    return PspReply(outcome=declined, evidence=EvidenceKind.NOT_SENT, settled=True)


def reserved_psp_id(reservation: ReserveReply) -> str:
    """Return the PSP's id of the reserved transaction."""
    if reservation.psp_id is None:
        raise ApplicationError("The parent transaction has no PSP id.", type="NotFound")
    return reservation.psp_id


def _unknown_transaction() -> ApplicationError:
    return ApplicationError("The transaction is not in the store.", type="NotFound")
