"""Value types of the PSP port: the arguments and results of an adapter's operations.

All types are immutable, hold no secret unless the name says so, and use the contract's terms. Only
the adapter knows the PSP's own terms and translates them into these types.
"""

import re
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from integrator.contract.enums import (
    PaymentChargebackReason,
    PaymentErrorCode,
    PaymentTransactionStatus,
    PublicPaymentProviderRole,
)
from integrator.contract.times import UtcTime

MAX_TEXT_LENGTH = 500
"""A PSP's texts are kept with the transaction; a longer one is cut."""

PspText = Annotated[str, AfterValidator(lambda text: text[:MAX_TEXT_LENGTH])]
"""Text that a PSP sends for people to read."""


class Value(BaseModel):
    """Base class of the port's immutable values."""

    model_config = ConfigDict(frozen=True)


class Reported(Value):
    """Base class of values that come from a PSP.

    Characters that cannot be stored are replaced by their codes: no database holds NUL, and no
    message half of a surrogate pair.
    """

    unstorable: ClassVar[re.Pattern[str]] = re.compile("[\x00\ud800-\udfff]")

    @model_validator(mode="before")
    @classmethod
    def _make_storable(cls, values: Any) -> Any:
        return _replace(values, cls.unstorable) if isinstance(values, dict) else values


def _replace(value: Any, unstorable: re.Pattern[str]) -> Any:
    """Return a text, or a container of texts, without the characters."""
    if isinstance(value, str):
        return unstorable.sub(lambda found: f"\\u{ord(found[0]):04x}", value)
    if isinstance(value, dict):
        return {
            _replace(name, unstorable): _replace(one, unstorable) for name, one in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)(_replace(member, unstorable) for member in value)
    return value


class FactKind(StrEnum):
    """Kind of a fact that the PSP reports about one of its objects."""

    AUTHORIZED = "authorized"
    PAID = "paid"
    REFUNDED = "refunded"
    RETURNED = "returned"  # a refund that was returned after it had been completed
    CHARGED_BACK = "charged_back"
    CHARGEBACK_REVERSED = "chargeback_reversed"  # all or part of a chargeback came back


class Fact(Reported):
    """One movement or reservation confirmed by the PSP.

    `id` is the PSP's own stable id of the movement: the same id seen twice is the same fact, so
    order and repetition of reports cannot change a sum. `amount` is in major units of the
    transaction's currency. `description` is the PSP's own text and never repeats ours: the
    merchant's text on a payment may be personal data, and facts are kept indefinitely.
    `reverses` is the id of the chargeback whose money a `CHARGEBACK_REVERSED` returned.

    `currency`, `reference` and `parent_psp_id` are what the movement's own object says at the PSP,
    where it says it: its currency, the transaction id of ours that it carries, and the PSP's id of
    the payment that it takes money from. They are compared with the transaction, and a fact that
    belongs to another one is not booked. `supersedes` are ids under which an earlier version of the
    adapter reported this money: those facts are removed where they are stored.
    """

    kind: FactKind
    id: str
    amount: Decimal
    booked_on: date | None = None
    description: PspText | None = None
    expires_at: UtcTime | None = None
    fee: Decimal | None = None
    reason: PaymentChargebackReason | None = None
    psp_reason_code: PspText | None = None
    psp_reason_message: PspText | None = None
    reverses: str | None = None
    currency: str | None = None
    reference: str | None = None
    parent_psp_id: str | None = None
    supersedes: tuple[str, ...] = ()


class Instrument(Reported):
    """Stored payment method: what later charges need (`token`) and what Billwerk+ sees (`bearer`).

    `token` holds the PSP's references (customer, payment method, mandate) and is never sent to
    Billwerk+. Both are personal data: they stay in the store and never enter a workflow.
    """

    token: dict[str, str] = Field(repr=False)
    bearer: dict[str, str] = Field(repr=False)


class Succession(Reported):
    """The PSP continues a stored payment method under another id, as it does with mandates.

    `former_id` is a value of the stored token. Members of token and bearer that equal it become
    `new_id`; then `token` and `bearer` replace or add members. An agreement whose token does not
    hold `former_id` stays as it is, so that an old report changes nothing.
    """

    former_id: str
    new_id: str
    token: dict[str, str] = Field(default={}, repr=False)
    bearer: dict[str, str] = Field(default={}, repr=False)


class HoldCapture(Reported):
    """Capture that has taken an authorization; `reference` is ours if the PSP holds one."""

    psp_id: str
    amount: Decimal
    currency: str
    reference: str | None = None
    booked_on: date | None = None


class Approved(Reported):
    """The PSP has completed the operation; the facts are established.

    `instrument` is the payment method that the operation stored, `succession` what became of one
    stored before. `capture` is what has taken a looked up authorization, where the PSP names it.
    """

    outcome: Literal["approved"] = "approved"
    psp_id: str | None
    facts: tuple[Fact, ...] = ()
    instrument: Instrument | None = None
    succession: Succession | None = None
    capture: HoldCapture | None = None


class Pending(Reported):
    """The PSP has accepted the operation and not decided yet; some facts may be known already."""

    outcome: Literal["pending"] = "pending"
    psp_id: str | None
    facts: tuple[Fact, ...] = ()
    succession: Succession | None = None


class RedirectRequired(Reported):
    """The customer must visit `url`; `psp_id` is the PSP's session until there is a result."""

    outcome: Literal["redirect"] = "redirect"
    psp_id: str
    url: str | None = Field(default=None, repr=False)
    data: dict[str, str] | None = Field(default=None, repr=False)
    expires_at: UtcTime


class Declined(Reported):
    """Definite refusal: no money was moved, and none will be for this object.

    `status` is Failed after an error, Cancelled after a cancellation, Expired after a timeout.
    """

    outcome: Literal["declined"] = "declined"
    psp_id: str | None = None
    code: PaymentErrorCode = PaymentErrorCode.UnmappedError
    psp_code: PspText | None = None
    message: PspText | None = None
    status: PaymentTransactionStatus = PaymentTransactionStatus.Failed
    facts: tuple[Fact, ...] = ()
    succession: Succession | None = None


Outcome = Annotated[
    Approved | Pending | RedirectRequired | Declined, Field(discriminator="outcome")
]
"""Result of one operation at the PSP. Outages are never outcomes: they are exceptions."""


class Absent(Value):
    """A look-up found no object. `proven`: none was created, so that no money has moved.

    Not proven are an index that may lag, a list that was not read to its end, and a search in
    which the object could be missing for any other reason.
    """

    proven: bool


LookupAnswer = Outcome | Absent | None
"""Answer to a look-up: found, proven absent, cannot say.

None is the short form of `Absent`, proven by an adapter that declares `consistent_lookup`.
`integrator.psp.lookup_result` interprets it.
"""


class Address(Value):
    """Postal address; `Payer.country` is its country. Every field may be missing, none is blank."""

    line1: str | None = None
    line2: str | None = None
    postal_code: str | None = None
    city: str | None = None
    state: str | None = None


class Payer(Value):
    """Customer data sent by Billwerk+; every field may be missing.

    `name` is the company's name if there is one (then also in `company_name`), else the person's.
    `country` is an ISO 3166-1 alpha-2 code.
    """

    name: str | None = None
    email: str | None = None
    language: str | None = None
    country: str | None = None
    company_name: str | None = None
    address: Address = Field(default=Address(), repr=False)


class Call(Value):
    """Arguments common to all operations.

    `reference` is Billwerk+'s transaction id, to be stored at the PSP so that the transaction can
    be found by it. `idempotency_key` is the same in every retry of the same operation.
    """

    reference: str
    idempotency_key: str
    amount: Decimal
    currency: str
    role: PublicPaymentProviderRole
    text: str | None = None


class Authorize(Call):
    """Reserve `amount` (0: only store the payment method), or import an existing customer.

    `instrument` is set for an upgrade; `initial_bearer` for a sign-up with payment data typed at
    Billwerk+; `migration_token` for an existing customer. Otherwise the customer is redirected.
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
    """Capture `amount` of the reservation `authorization_id`."""

    authorization_id: str


class Charge(Call):
    """Charge `amount` to a stored payment method, on `execute_on` if set."""

    instrument: Instrument
    execute_on: date | None = None


class Refund(Call):
    """Refund `amount` of the payment `payment_psp_id`."""

    payment_psp_id: str


class Void(Call):
    """Release the reservation `authorization_id`, or close the open checkout session of this id."""

    authorization_id: str


class Lookup(Value):
    """Look-up of a transaction's state by the PSP's id, or by our reference if there is no id.

    `parent_psp_id` is the PSP's id of the authorization that a capture takes from, or of the
    payment that a refund returns. `created_at` is when the transaction was created here, or, for a
    movement of another system, when the PSP created it: lists are searched around that time. Both
    may be unknown; `has_parent` says of a capture or refund that there is a parent nevertheless.
    """

    reference: str
    psp_id: str | None
    currency: str
    role: PublicPaymentProviderRole
    parent_psp_id: str | None = None
    created_at: datetime | None = None
    has_parent: bool = False


class SettingsCheck(Reported):
    """Result of a settings verification: the roles that may be offered; empty if none.

    `account` is the PSP's own id of the account that the settings give access to.
    """

    roles: frozenset[PublicPaymentProviderRole] = frozenset()
    account: str | None = None


class NotificationEvent(Reported):
    """One event of a PSP's notification, already verified.

    `reference` is our transaction id if the PSP repeats it; `psp_ids` are the PSP's ids by which
    the transaction can be found otherwise. `result` is None if the notification's content cannot
    be trusted and the state must be fetched. An event to be ignored has `relevant` False.

    `raw` is the event's own JSON, which `Adapter.read_event` reads again: it is stored instead of
    the whole body. None: the whole body is stored, and `Adapter.parse_notification` reads it again.
    An entry that is the PSP's but cannot be read is `unreadable` and not relevant: its JSON is
    kept, counted and shown to operators, and the other events are processed.

    An event whose id has NUL is treated as unreadable, since it names no object of the PSP.
    """

    unstorable = re.compile("[\ud800-\udfff]")

    event_id: str
    relevant: bool = True
    reference: str | None = None
    psp_ids: tuple[str, ...] = ()
    result: Outcome | None = None
    raw: bytes | None = Field(default=None, repr=False)
    unreadable: bool = False


class ListedEvent(Value):
    """One entry of the PSP's event list; `raw` can be read again by `Adapter.read_event`."""

    raw: bytes = Field(repr=False)
    notices: tuple[NotificationEvent, ...] = ()


class EventPage(Reported):
    """Page of the PSP's event list, oldest first, with the cursor of the next page.

    `cursor` is unchanged if there was nothing new; `more` says that the next page can be read now.
    """

    events: tuple[ListedEvent, ...] = ()
    cursor: str | None = None
    more: bool = False


class MovementKind(StrEnum):
    """Kind of a movement in a PSP's list."""

    AUTHORIZATION = "authorization"
    PAYMENT = "payment"
    REFUND = "refund"


class Movement(Reported):
    """Authorization, payment or refund listed by the PSP, created by us or by another system.

    `parent_psp_id` is the authorization of a capture or the payment of a refund. `outcome` is what
    a look-up of the same object would return; `amount` is in major units of `currency`.
    """

    kind: MovementKind
    psp_id: str
    reference: str | None
    parent_psp_id: str | None
    amount: Decimal
    currency: str
    booked_at: datetime
    outcome: Outcome = Field(repr=False)


class MovementPage(Reported):
    """Page of the movements in a time window; `cursor` of the next page, None after the last."""

    movements: tuple[Movement, ...] = ()
    cursor: str | None = None


class DateWindow(Value):
    """Days ahead, counted from the day of the call, on which a PSP accepts a debit's date.

    0 is the day of the call. A PSP that takes no dates at all has the window from 0 to 0: it
    collects at once. Nearer than `earliest_days` a debit is sent without a date. One that is
    further ahead than `latest_days` waits here. `zone` is the time zone in which the PSP counts
    days.
    """

    earliest_days: int = Field(ge=0)
    latest_days: int = Field(ge=0)
    zone: str = "UTC"

    @field_validator("zone")
    @classmethod
    def _check_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"zone {zone!r} is no time zone; use an IANA name.") from error
        return zone

    @model_validator(mode="after")
    def _check_order(self) -> "DateWindow":
        if self.latest_days < self.earliest_days:
            raise ValueError("latest_days must not be below earliest_days.")
        return self


class MethodCapability(Value):
    """Capabilities of one payment role; become the role's part of IntegrationInfo.

    `debit_date_window` is where the PSP accepts `Charge.execute_on`, which is set within it only.
    None if it declares no limits: every date is passed on at once.
    """

    capture: bool = False
    cancel: bool = False
    initial_bearer: bool = False
    redirect: bool = False
    default_preauth_amount: Decimal | None = None
    backend_payments: bool = False
    unconfirmed_ledger: bool = False
    unconfirmed_ledger_for_refund: bool = False
    external_mandate_reference_size: int = 0
    debit_date_window: DateWindow | None = None


class Operation(StrEnum):
    """Operation of a connection that changes something at the PSP."""

    AUTHORIZE = "authorize"
    VOID = "void"
    CAPTURE = "capture"
    CHARGE = "charge"
    REFUND = "refund"


class IdempotencyMode(StrEnum):
    """Mechanism by which the PSP recognises a repeated call."""

    KEY = "key"  # an idempotency key, in a header or in the body
    NATURAL = "natural"  # the object's unique name, which is derived from our reference
    NONE = "none"  # none: a call whose outcome is unknown is never sent again


class ReplayBehavior(StrEnum):
    """Result of a repeated call."""

    SAME_ANSWER = "same_answer"  # the first call's outcome, replayed by the PSP
    EXISTING = "existing"  # the outcome of the first call's object, read by the adapter
    UNKNOWN = "unknown"  # OutcomeUnknown: the PSP refuses without naming an object; look it up


class IdempotencySemantics(Value):
    """How the PSP treats a repetition of the same operation.

    `window_seconds` is the minimum time for which it recognises a repetition; after that only
    look-ups are made. 0 if it never does (`IdempotencyMode.NONE`). `consistent_lookup` says
    whether "not found by reference" proves that the request never arrived, unless the answer is an
    `Absent`, which says it for itself.
    """

    style: IdempotencyMode = IdempotencyMode.KEY
    on_repeat: ReplayBehavior = ReplayBehavior.SAME_ANSWER
    window_seconds: int
    consistent_lookup: bool

    @model_validator(mode="after")
    def _check_window(self) -> "IdempotencySemantics":
        if (self.style is IdempotencyMode.NONE) != (self.window_seconds == 0):
            raise ValueError("window_seconds must be 0 with style NONE and above 0 with any other.")
        return self


class CallRate(Value):
    """Calls per second allowed for one account; see `integrator.psp.toolkit.rate_limit`."""

    reads: int
    writes: int


class Capabilities(Value):
    """Declared capabilities of an adapter.

    `event_list` and `movement_list` say whether the PSP lists events and movements, `can_read`
    whether a transaction's state can be looked up: if not, `fetch_*` are never called and the
    state is known only from responses and notifications. `asynchronous` are the operations that
    the PSP only accepts and decides later: for a void, "still held" is then not final.
    `max_notification_bytes` is above the largest notification that the PSP sends.
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
    max_notification_bytes: int = 2**20
    idempotency: IdempotencySemantics
