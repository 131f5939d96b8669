"""The value types of the PSP port: what an adapter is told and what it answers.

Everything here is immutable, carries no secret unless its name says so, and speaks the contract's
words. An adapter turns its PSP's words into these; nobody else knows the PSP's words.
"""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from integrator.contract.enums import (
    PaymentChargebackReason,
    PaymentErrorCode,
    PaymentTransactionStatus,
    PublicPaymentProviderRole,
)


class Value(BaseModel):
    """Base of the port's immutable values."""

    model_config = ConfigDict(frozen=True)


class FactKind(StrEnum):
    """What a PSP can be certain of about one of its objects."""

    AUTHORIZED = "authorized"
    PAID = "paid"
    REFUNDED = "refunded"
    RETURNED = "returned"  # a refund that came back, though it had been done
    CHARGED_BACK = "charged_back"


class Fact(Value):
    """One movement or reservation that the PSP vouches for.

    `id` is the PSP's own stable id of the movement: the same id seen twice is the same fact, so
    order and repetition of reports cannot change a sum. `amount` is in major units of the
    transaction's currency. `description` is the PSP's own words and never an echo of ours: what
    the merchant writes on a payment may be personal, and facts are kept for ever.
    """

    kind: FactKind
    id: str
    amount: Decimal
    booked_on: date | None = None
    description: str | None = None
    expires_at: datetime | None = None
    fee: Decimal | None = None
    reason: PaymentChargebackReason | None = None
    psp_reason_code: str | None = None
    psp_reason_message: str | None = None


class Instrument(Value):
    """What later charges need (`token`) and what Billwerk+ may see of it (`bearer`).

    `token` holds the PSP's references (customer, payment method, mandate); it never goes on the
    wire. Both are personal data: they stay in the store and never enter a workflow.
    """

    token: dict[str, str] = Field(repr=False)
    bearer: dict[str, str] = Field(repr=False)


class Approved(Value):
    """The PSP says it is done: the facts hold from now on."""

    outcome: Literal["approved"] = "approved"
    psp_id: str | None
    facts: tuple[Fact, ...] = ()
    instrument: Instrument | None = None


class Pending(Value):
    """The PSP has it and has not decided; facts known so far may already be there."""

    outcome: Literal["pending"] = "pending"
    psp_id: str | None
    facts: tuple[Fact, ...] = ()


class RedirectRequired(Value):
    """The customer must visit `url`; `psp_id` names the PSP's session until there is a result."""

    outcome: Literal["redirect"] = "redirect"
    psp_id: str
    url: str | None = Field(default=None, repr=False)
    data: dict[str, str] | None = Field(default=None, repr=False)
    expires_at: datetime


class Declined(Value):
    """A definite no: no money moved, and none will for this object.

    `status` is Failed for an error, Cancelled when somebody withdrew, Expired when time ran out.
    """

    outcome: Literal["declined"] = "declined"
    psp_id: str | None = None
    code: PaymentErrorCode = PaymentErrorCode.UnmappedError
    psp_code: str | None = None
    message: str | None = None
    status: PaymentTransactionStatus = PaymentTransactionStatus.Failed
    facts: tuple[Fact, ...] = ()


Outcome = Annotated[
    Approved | Pending | RedirectRequired | Declined, Field(discriminator="outcome")
]
"""What a PSP says of one transaction. Outages are never outcomes: they are exceptions."""


class Payer(Value):
    """The customer as Billwerk+ describes it; every member may be missing."""

    name: str | None = None
    email: str | None = None
    language: str | None = None
    country: str | None = None


class Call(Value):
    """What every operation is told.

    `reference` is Billwerk+'s transaction id, to be stored at the PSP so that the transaction can
    be found by it. `idempotency_key` is the same in every repetition of the same operation.
    """

    reference: str
    idempotency_key: str
    amount: Decimal
    currency: str
    role: PublicPaymentProviderRole
    text: str | None = None


class Authorize(Call):
    """Reserve `amount` (0: only store the payment method), or take over an existing customer.

    `instrument` is present for an upgrade; `initial_bearer` for a sign-up with payment data typed
    at Billwerk+; `migration_token` names an existing customer; else the customer is redirected.
    """

    initial: bool
    payer: Payer = Payer()
    instrument: Instrument | None = None
    initial_bearer: dict[str, str] | None = Field(default=None, repr=False)
    migration_token: str | None = Field(default=None, repr=False)
    success_url: str | None = None
    error_url: str | None = None
    abort_url: str | None = None


class Capture(Call):
    """Take `amount` of the reservation `authorization_id`."""

    authorization_id: str


class Charge(Call):
    """Take `amount` with a stored payment method, on `execute_on` if given."""

    instrument: Instrument
    execute_on: date | None = None


class Refund(Call):
    """Give `amount` of the payment `payment_psp_id` back."""

    payment_psp_id: str


class Void(Call):
    """Give the reservation back (or close the open checkout session) named `authorization_id`."""

    authorization_id: str


class Lookup(Value):
    """Ask for the state of a transaction by the PSP's id, or by our reference if there is none."""

    reference: str
    psp_id: str | None
    currency: str
    role: PublicPaymentProviderRole


class SettingsCheck(Value):
    """Result of a settings verification: the roles that may be offered; empty: none.

    `account` is the PSP's own id of the account the settings open.
    """

    roles: frozenset[PublicPaymentProviderRole] = frozenset()
    account: str | None = None


class NotificationEvent(Value):
    """One event out of a PSP's notification, already verified.

    `reference` is our transaction id if the PSP repeats it; `psp_ids` are the PSP's ids by which
    the transaction can be found otherwise. `result` is None when the PSP's body is not to be
    trusted and the state must be fetched. An event of no interest has `relevant` False.
    """

    event_id: str
    relevant: bool = True
    reference: str | None = None
    psp_ids: tuple[str, ...] = ()
    result: Outcome | None = None


class ListedEvent(Value):
    """One entry of the PSP's event list; `raw` is what `Adapter.read_event` reads again."""

    raw: bytes = Field(repr=False)
    notices: tuple[NotificationEvent, ...] = ()


class EventPage(Value):
    """A part of the PSP's event list, oldest first, and where the next part begins.

    `cursor` is as given when there was nothing new; `more` says that the next part is there.
    """

    events: tuple[ListedEvent, ...] = ()
    cursor: str | None = None
    more: bool = False


class MovementKind(StrEnum):
    """What a PSP's list of movements holds."""

    AUTHORIZATION = "authorization"
    PAYMENT = "payment"
    REFUND = "refund"


class Movement(Value):
    """Money held, taken or given back, as the PSP lists it, whoever caused it.

    `parent_psp_id` is the authorization of a capture or the payment of a refund. `outcome` is what
    a look-up of the same object would answer; `amount` is in major units of `currency`.
    """

    kind: MovementKind
    psp_id: str
    reference: str | None
    parent_psp_id: str | None
    amount: Decimal
    currency: str
    booked_at: datetime
    outcome: Outcome = Field(repr=False)


class MovementPage(Value):
    """A part of the movements of a time window; `cursor` leads to the next, None after the last."""

    movements: tuple[Movement, ...] = ()
    cursor: str | None = None


class MethodCapability(Value):
    """What the PSP can do for one payment role; becomes the role's part of IntegrationInfo."""

    capture: bool = False
    cancel: bool = False
    initial_bearer: bool = False
    redirect: bool = False
    default_preauth_amount: Decimal | None = None
    backend_payments: bool = False
    unconfirmed_ledger: bool = False
    unconfirmed_ledger_for_refund: bool = False
    external_mandate_reference_size: int = 0


class Operation(StrEnum):
    """The operations of a connection that change something at the PSP."""

    AUTHORIZE = "authorize"
    VOID = "void"
    CAPTURE = "capture"
    CHARGE = "charge"
    REFUND = "refund"


class IdempotencyMode(StrEnum):
    """What protects a repeated call at the PSP."""

    KEY = "key"  # a key of its own, in a header or in the body
    NATURAL = "natural"  # the object's own unique name, which is derived from our reference
    NONE = "none"  # nothing: a call whose outcome is unknown is never sent again


class ReplayBehavior(StrEnum):
    """What a repeated call gets from the adapter."""

    SAME_ANSWER = "same_answer"  # the first call's outcome, replayed by the PSP
    EXISTING = "existing"  # the outcome of the object the first call made, read by the adapter
    UNKNOWN = "unknown"  # OutcomeUnknown: the PSP refuses and names nothing; a look-up finds it


class IdempotencySemantics(Value):
    """How the PSP treats a repetition of the same operation.

    `window_seconds` is how long it recognises one at least; later than that only look-ups are
    made. 0 says that it recognises none (`KeyStyle.NONE`). `consistent_lookup` says whether "not
    found by reference" is proof that the request never arrived.
    """

    style: IdempotencyMode = IdempotencyMode.KEY
    on_repeat: ReplayBehavior = ReplayBehavior.SAME_ANSWER
    window_seconds: int
    consistent_lookup: bool

    @model_validator(mode="after")
    def _unprotected_calls_have_no_window(self) -> "IdempotencySemantics":
        if (self.style is IdempotencyMode.NONE) != (self.window_seconds == 0):
            raise ValueError("A window of 0 seconds belongs to the style NONE, and to it alone.")
        return self


class CallRate(Value):
    """What the PSP allows one account per second; kept by `integrator.psp.toolkit.rate_limit`."""

    reads: int
    writes: int


class Capabilities(Value):
    """The declared capability sheet of an adapter.

    `event_list` and `movement_list` say whether the PSP can be asked for what has happened,
    `can_read` whether it can be asked for one transaction's state: if not, `fetch_*` are never
    called and only its answers and notifications tell. `asynchronous` names the operations it
    merely accepts, to tell the outcome later: for a void, "still held" is then no answer yet.
    """

    methods: dict[PublicPaymentProviderRole, MethodCapability]
    refunds: bool
    partial_capture: bool = True
    can_read: bool = True
    asynchronous: frozenset[Operation] = frozenset()
    rate: CallRate | None = None
    migration: bool = False
    order_data_in_preauth: bool = False
    invoice_data: bool = False
    event_list: bool = False
    movement_list: bool = False
    idempotency: IdempotencySemantics
