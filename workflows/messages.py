"""Every input and output of the workflows and of their activities, and the names they go by.

Nothing here is secret or personal: payment data, customer data, redirect and webhook addresses
stay in the store, from where activities read them by transaction id.
"""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from integrator.contract.enums import (
    PaymentCancellationStatus,
    PaymentTransactionStatus,
    PublicPaymentProviderRole,
)
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
SETTLE = "settle"
NOTIFY = "notify"
CALLER_LEFT = "caller_left"
REDELIVER = "redeliver"
LOOK_UP = "look_up"
ADOPT = "adopt"
RESOLVE = "resolve"
STATE = "state"
DELIVERY = "delivery"

WORKFLOW_NAMES = {
    TransactionKind.PREAUTH: "PreauthWorkflow",
    TransactionKind.PAYMENT: "PaymentWorkflow",
    TransactionKind.REFUND: "RefundWorkflow",
}


class Message(BaseModel):
    """Base of everything that travels through Temporal."""

    model_config = ConfigDict(frozen=True)


def workflow_id(merchant_id: str, kind: TransactionKind, transaction_id: str) -> str:
    """The one workflow of a transaction."""
    return f"{merchant_id}/{kind.value}/{transaction_id}"


class TransactionInput(Message):
    """What a transaction's workflow is told at its start; amounts in major units.

    `key_window_seconds` is how long the PSP remembers an idempotency key. `agreement_id` is for
    finding the workflow; None where the store does not know it either.
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


class PreauthInput(TransactionInput):
    """Start of a PreauthWorkflow; `resume` continues or reopens one."""

    resume: PreauthState | None = None


class PaymentInput(TransactionInput):
    """Start of a PaymentWorkflow: a capture if `preauth_id` is given, else a charge."""

    preauth_id: str | None = None
    execute_on: date | None = None
    resume: PaymentState | None = None


class RefundInput(TransactionInput):
    """Start of a RefundWorkflow."""

    payment_id: str
    resume: RefundState | None = None


AnyInput = PreauthInput | PaymentInput | RefundInput


def kind_of(start: AnyInput) -> TransactionKind:
    """The kind of transaction an input starts."""
    if isinstance(start, PreauthInput):
        return TransactionKind.PREAUTH
    return TransactionKind.PAYMENT if isinstance(start, PaymentInput) else TransactionKind.REFUND


class NotificationSignal(BaseModel):
    """Envelope of a stored PSP notification; tolerant: a signal that does not parse is lost."""

    model_config = ConfigDict(frozen=True, extra="allow")

    notification_id: int
    event_id: str = ""


class LookUpSignal(BaseModel):
    """Reconciliation saw at the PSP what the state does not show, under `psp_id` if given."""

    model_config = ConfigDict(frozen=True, extra="allow")

    psp_id: str | None = None


class CancelReply(Message):
    """Answer to a cancel: the contract's status, or why the state forbids it."""

    status: PaymentCancellationStatus
    refusal: Refusal | None = None


class ResolveReply(Message):
    """Answer to a decision: the state's status and version after it, or why it was refused."""

    status: PaymentTransactionStatus
    version: int
    refusal: Refusal | None = None


class ReserveRequest(Message):
    """A capture asks its preauth, or a refund its payment, to hold `amount` for it.

    `at` orders the attempts of one transaction: when this one was scheduled.
    """

    by: str
    amount: Decimal
    currency: str
    at: datetime | None = None


class ReserveReply(Message):
    """The PSP's id to work on, or why not; `undecided` means that it is too early to say.

    `taken_by` is the PSP's id of a capture made without us that took the money already: then
    nothing may be captured any more, and that one is the capture. `superseded` means that a later
    attempt is known, or that this one has ended: it must not go on.
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
    def turned_away(cls, admission: AttemptCheck) -> "ReserveReply":
        """The answer to an attempt that may not ask now, or not any more."""
        return cls(
            undecided=admission is AttemptCheck.UNDECIDED,
            superseded=admission is AttemptCheck.OVERTAKEN,
        )


class ReservationResult(Message):
    """How a reservation ended; `refund` carries the movement when a refund was booked.

    `at` is the time of the attempt that ended it; the sending activity fills it in.
    """

    by: str
    booked: bool
    refund: BookedRefund | None = None
    at: datetime | None = None


class DeliveryState(StrEnum):
    """Where the change notifications of a transaction stand."""

    IDLE = "idle"
    DELIVERING = "delivering"
    UNDELIVERED = "undelivered"


class Delivery(Message):
    """Answer of the delivery query: versions are those of the transaction's state."""

    state: DeliveryState = DeliveryState.IDLE
    to_announce: int = 0
    announced: int = 0
    since: datetime | None = None
    delivered_at: datetime | None = None
    gives_up_at: datetime | None = None
    last_error: str | None = None


class PspCall(Message):
    """One operation of a transaction at its PSP; the rest is read from the store.

    `psp_id` names the object to work on, where one is known; `owner_id` the preauth of a capture
    or the payment of a refund, which must grant the reservation first.
    """

    merchant_id: str
    transaction_id: str
    idempotency_key: str
    psp_id: str | None = None
    owner_id: str | None = None


class PspReply(Message):
    """What the PSP said.

    `outcome` is None when the PSP knows nothing of the transaction; `absence_proven` says that
    this proves that nothing ever arrived. `evidence` is what the outcome rests on. `settled` is
    True when the reservation behind it has been settled already.
    """

    outcome: Outcome | None
    evidence: EvidenceKind
    absence_proven: bool = False
    settled: bool = False


class CredentialsReply(Message):
    """Result of the read-only check of a merchant's credentials at the PSP."""

    accepted: bool


class NotificationRead(Message):
    """A stored notification to be read for one transaction."""

    merchant_id: str
    transaction_id: str
    notification_id: int


class NotificationResult(Message):
    """What the notification says; None and `fetch` when the PSP has to be asked instead."""

    outcome: Outcome | None
    event_id: str
    fetch: bool = False


class Record(Message):
    """The state to be kept in the store, as JSON text of its model."""

    merchant_id: str
    kind: TransactionKind
    transaction_id: str
    snapshot: str
    activate_agreement: bool = False


class WebhookCall(Message):
    """Tell Billwerk+ that a transaction changed."""

    merchant_id: str
    transaction_id: str
    version: int


class WebhookReply(Message):
    """A delivered change notification."""

    delivered_at: datetime
    attempt: int


class CloseReservationCall(Message):
    """Tell the owner of a reservation how it ended."""

    merchant_id: str
    owner_kind: TransactionKind
    owner_id: str
    settlement: ReservationResult


class ReconcileInput(Message):
    """Whose books are to be compared with the PSP's; with `since` and `until` only the movements
    booked in between.
    """

    merchant_id: str
    since: datetime | None = None
    until: datetime | None = None


class StepReport(Message):
    """What one step of reconciliation did, as counts; `more` when there is more to do at once.

    `reached` is how far a span of time was crossed.
    """

    counts: dict[str, int] = {}
    more: bool = False
    reached: datetime | None = None


class ReconcileReport(Message):
    """The result of a whole run: counts by step, and why a step stopped early.

    `reached` is how far the span of time was crossed that was asked for, and `more` whether it
    goes on from there.
    """

    events: dict[str, int] = {}
    movements: dict[str, int] = {}
    sample: dict[str, int] = {}
    problems: dict[str, str] = {}
    reached: datetime | None = None
    more: bool = False


class PspFailure(StrEnum):
    """Types of the application errors that PSP activities raise."""

    UNAVAILABLE = "PspUnavailable"
    UNKNOWN = "OutcomeUnknown"
    TIMEOUT = "PspTimeout"
    CREDENTIALS = "CredentialsRejected"
    CONFIGURATION = "InvalidConfiguration"


def reopened(start: AnyInput, snapshot: dict[str, Any]) -> AnyInput:
    """The same start, continuing from a stored snapshot."""
    return type(start).model_validate(start.model_dump() | {"resume": snapshot})
