"""Inputs and outputs of the workflows and their activities, and the names of their messages.

Nothing here is secret or personal: payment data, customer data, redirect and webhook addresses
stay in the store; activities read them from there by transaction id.
"""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from integrator.contract.enums import (
    PaymentCancellationStatus,
    PaymentTransactionStatus,
    PublicPaymentProviderRole,
)
from integrator.contract.money import BoundedAmount
from integrator.contract.times import UtcTime
from integrator.psp.types import Outcome
from workflows.state import (
    AttemptCheck,
    BookedRefund,
    EvidenceKind,
    PaymentState,
    PreauthState,
    RefundState,
    Refusal,
    TransactionKind,
)

CREATE = "create"
FINALIZE = "finalize"
CANCEL = "cancel"
RESERVE = "reserve"
CLOSE_RESERVATION = "settle"
NOTIFY = "notify"
CALLER_DETACHED = "caller_left"
REDELIVER = "redeliver"
LOOK_UP = "look_up"
RECORD_EXTERNAL_MOVEMENT = "adopt"
RESOLVE = "resolve"
STATE = "state"
DELIVERY = "delivery"

WORKFLOW_NAMES = {
    TransactionKind.PREAUTH: "PreauthWorkflow",
    TransactionKind.PAYMENT: "PaymentWorkflow",
    TransactionKind.REFUND: "RefundWorkflow",
}


class Message(BaseModel):
    """Base of the data sent through Temporal."""

    model_config = ConfigDict(frozen=True)


def workflow_id(merchant_id: str, kind: TransactionKind, transaction_id: str) -> str:
    """Return the id of a transaction's workflow; a transaction has exactly one."""
    return f"{merchant_id}/{kind.value}/{transaction_id}"


class TransactionInput(Message):
    """Input of a transaction's workflow; amounts in major units.

    `key_window_seconds` is the PSP's idempotency window: for how long it remembers a key.
    `announce_version` is the version whose change notification is due since an earlier run, and
    `parent_due` says that it had not informed the parent transaction.
    `agreement_id` is a search attribute; None where the store does not hold it either.
    `currency_exponent` is the number of decimals of the currency; None in older inputs, and for a
    currency that is not in our table. `durable_reads`: the stored state is read by a regular
    activity, and messages that depend on it are applied after it was merged; workflows from before
    read it by a local activity, and decide by patches.
    """

    merchant_id: str
    psp: str
    psp_settings_id: str
    transaction_id: str
    external_id: str
    role: PublicPaymentProviderRole
    currency: str
    requested_amount: Decimal
    key_window_seconds: int
    agreement_id: str | None = None
    currency_exponent: int | None = None
    announce_version: int | None = None
    parent_due: bool = False
    durable_reads: bool = False


class PreauthInput(TransactionInput):
    """Input of a PreauthWorkflow; `resume` is the state to continue or reopen it from."""

    resume: PreauthState | None = None


class PaymentInput(TransactionInput):
    """Input of a PaymentWorkflow: a capture if `preauth_id` is set, else a charge.

    `send_at` is that of `PaymentState`; without it a charge is sent at once.
    """

    preauth_id: str | None = None
    execute_on: date | None = None
    send_at: datetime | None = None
    resume: PaymentState | None = None


class RefundInput(TransactionInput):
    """Input of a RefundWorkflow."""

    payment_id: str
    resume: RefundState | None = None


AnyInput = PreauthInput | PaymentInput | RefundInput


def kind_of(start: AnyInput) -> TransactionKind:
    """Return the kind of transaction that an input starts."""
    if isinstance(start, PreauthInput):
        return TransactionKind.PREAUTH
    return TransactionKind.PAYMENT if isinstance(start, PaymentInput) else TransactionKind.REFUND


class NotificationSignal(BaseModel):
    """Reference to a stored PSP notification.

    Unknown fields are allowed: a signal that fails validation would be lost.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    notification_id: int = Field(ge=0, lt=2**63)
    event_id: str = ""


class LookUpSignal(BaseModel):
    """Request of reconciliation to ask the PSP again, also under `psp_id` if it is set."""

    model_config = ConfigDict(frozen=True, extra="allow")

    psp_id: str | None = None


class CancelReply(Message):
    """Result of a cancel: the contract's status, or why the state forbids it."""

    status: PaymentCancellationStatus
    refusal: Refusal | None = None


class ResolveReply(Message):
    """Result of a decision: the status and version after it, or why it was refused."""

    status: PaymentTransactionStatus
    version: int
    refusal: Refusal | None = None


class ReserveRequest(Message):
    """Request of a capture to its preauth, or of a refund to its payment, to hold `amount`.

    `at` is when this attempt was scheduled; it orders the attempts of one transaction.
    `stored_version` is the parent transaction's version in the store.
    """

    by: str
    amount: BoundedAmount
    currency: str
    at: UtcTime | None = None
    stored_version: int | None = None


class ReserveReply(Message):
    """Result of a reservation: the PSP's id to use, or why it was refused.

    `undecided` means that the parent transaction has no outcome yet. `taken_by` is the PSP's id of
    an external capture that took the money already: nothing more may be captured, and that
    movement is the capture. `superseded` means that a later attempt is known, or that this one has
    ended: the caller must stop.
    """

    # An alias is the field's name in stored histories and snapshots.
    model_config = ConfigDict(
        validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )

    psp_id: str | None = None
    refusal: Refusal | None = None
    taken_by: str | None = None
    undecided: bool = False
    superseded: bool = Field(default=False, alias="overtaken")

    @classmethod
    def from_attempt_check(cls, check: AttemptCheck) -> "ReserveReply":
        """Return the reply to an attempt that was not granted."""
        return cls(
            undecided=check is AttemptCheck.UNDECIDED,
            superseded=check is AttemptCheck.SUPERSEDED,
        )


class ReservationResult(Message):
    """How a reservation ended; `refund` is the movement if a refund was booked.

    `at` is the time of the attempt that ended it; the sending activity sets it.
    """

    by: str
    booked: bool
    refund: BookedRefund | None = None
    at: UtcTime | None = None


class DeliveryState(StrEnum):
    """Status of a transaction's change notifications."""

    IDLE = "idle"
    DELIVERING = "delivering"
    UNDELIVERED = "undelivered"


class Delivery(Message):
    """Result of the delivery query; versions are those of the transaction's state."""

    state: DeliveryState = DeliveryState.IDLE
    to_announce: int = 0
    announced: int = 0
    since: datetime | None = None
    delivered_at: datetime | None = None
    gives_up_at: datetime | None = None
    last_error: str | None = None


class PspCall(Message):
    """Input of a PSP activity; everything else is read from the store.

    `psp_id` is the PSP's object to operate on, where one is known; `owner_id` is the parent
    transaction (the preauth of a capture, the payment of a refund), which must grant the
    reservation first. `version` is that of the workflow's state. `first_run_id` is the id of the
    transaction's first run; None in a run that continues from a stored state.
    """

    merchant_id: str
    transaction_id: str
    idempotency_key: str
    psp_id: str | None = None
    owner_id: str | None = None
    version: int | None = None
    first_run_id: str | None = None


class PspReply(Message):
    """Result of a PSP activity.

    `outcome` is None when the PSP has no such transaction; `absence_proven` is True when that
    proves that the request never arrived. `evidence` is what the outcome rests on. `settled` is
    True when the reservation has been closed already. `stored_version` is set when the store has
    another version than the call: then a write has not been sent. `doubts` are the texts for
    operators about reported facts that are not part of `outcome`.
    """

    outcome: Outcome | None
    evidence: EvidenceKind
    absence_proven: bool = False
    settled: bool = False
    stored_version: int | None = None
    doubts: tuple[str, ...] = ()


class CredentialsReply(Message):
    """Result of the read-only check of a merchant's credentials at the PSP."""

    accepted: bool


class NotificationRead(Message):
    """Input of the activity that reads a stored notification for one transaction.

    `version` is that of the workflow's state.
    """

    merchant_id: str
    transaction_id: str
    notification_id: int
    version: int | None = None


class NotificationResult(Message):
    """Outcome in a notification; None with `fetch` when the PSP must be asked instead.

    With an outcome `fetch` asks for what the notification leaves open. `stored_version` is set when
    the store has a newer version than the workflow. `doubts` are those of `PspReply`.
    """

    outcome: Outcome | None
    event_id: str
    fetch: bool = False
    stored_version: int | None = None
    doubts: tuple[str, ...] = ()


class Record(Message):
    """State to be written to the store; `snapshot` is the JSON text of its model.

    `announce_version` is the version whose change notification is not delivered yet; `parent_due`
    says that the parent transaction has not been informed of the result.
    """

    merchant_id: str
    kind: TransactionKind
    transaction_id: str
    snapshot: str
    activate_agreement: bool = False
    announce_version: int | None = None
    parent_due: bool = False


class RecordReply(RootModel[bool | Literal["no"]]):
    """Reply to a record: true, or "no" if the store holds another state that counts.

    Versions before wrote false, and read "no" as false.
    """

    REFUSED: ClassVar[Literal["no"]] = "no"

    @property
    def refused(self) -> bool:
        """Return whether the store has refused the state."""
        return self.root is not True


class ReadStored(Message):
    """Input of the activity that reads a transaction's state from the store."""

    merchant_id: str
    transaction_id: str


class StoredState(Message):
    """State of a transaction in the store; `snapshot` is the JSON text of its model.

    `announce_version` and `parent_due` are those of `Record`.
    """

    snapshot: str
    announce_version: int | None = None
    parent_due: bool = False


class WebhookCall(Message):
    """Input of the activity that sends Billwerk+ a change notification."""

    merchant_id: str
    transaction_id: str
    version: int


class WebhookReply(Message):
    """Result of a delivered change notification."""

    delivered_at: datetime
    attempt: int


class CloseReservationCall(Message):
    """Input of the activity that reports a closed reservation to the parent transaction."""

    merchant_id: str
    owner_kind: TransactionKind
    owner_id: str
    settlement: ReservationResult


class ReconcileInput(Message):
    """Merchant to reconcile with its PSP; with `since` and `until` only the movements booked in
    between.
    """

    merchant_id: str
    since: datetime | None = None
    until: datetime | None = None


class StepReport(Message):
    """Counts of one step of reconciliation; `more` is True when it must be called again.

    `reached` is the time up to which the requested period was compared.
    """

    counts: dict[str, int] = {}
    more: bool = False
    reached: datetime | None = None


class ReconcileReport(Message):
    """Result of a reconciliation run: counts by step, and why a step stopped early.

    `reached` is the time up to which the requested period was compared; `more` is True when the
    rest of it has not been compared.
    """

    events: dict[str, int] = {}
    movements: dict[str, int] = {}
    sample: dict[str, int] = {}
    problems: dict[str, str] = {}
    reached: datetime | None = None
    more: bool = False


class PspFailure(StrEnum):
    """Types of the application errors raised by PSP activities."""

    UNAVAILABLE = "PspUnavailable"
    UNKNOWN = "OutcomeUnknown"
    TIMEOUT = "PspTimeout"
    CREDENTIALS = "CredentialsRejected"
    CONFIGURATION = "InvalidConfiguration"
    KEY_EXPIRED = "IdempotencyKeyExpired"
