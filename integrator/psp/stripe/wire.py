"""Models of Stripe's JSON. Amounts are integers in minor units, times are unix seconds.

Unknown members are ignored and statuses are plain strings, so that Stripe may add to both. Members
that are an id or, if requested by `expand`, the full object have both types. Most objects hold
personal data, so that `repr` shows only their ids.

Members that identify money (ids, references, statuses, amounts, currencies) are strict. All others
are `Bookkeeping`: they never decide whether an object is read.
"""

from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AliasPath, BeforeValidator, ConfigDict, Field

from integrator.psp.toolkit.wire import BOOKKEEPING, Currency, Id, MinorAmount, WireModel

M = TypeVar("M")
Bookkeeping = Annotated[M | None, BOOKKEEPING]
"""Member that no money depends on: None if it is missing or unreadable."""

Seconds = Annotated[int, Field(strict=True, ge=0, le=10**11)]
SignedAmount = Annotated[int, Field(strict=True, ge=-(10**15), le=10**15)]
Rate = Annotated[Decimal, Field(gt=0, lt=10**12, allow_inf_nan=False)]


def _read_id(value: Any) -> Any:
    return value.get("id") if isinstance(value, dict) else value


ExpandableId = Annotated[Id, BeforeValidator(_read_id)]
"""Id of a related object, of which Stripe may send the full object instead."""

REFERENCE = "reference"
CAPTURE = "capture"


def _nested(*path: str) -> Any:
    """Declare a member of a nested object; None if any object on the path is missing."""
    return Field(None, validation_alias=AliasPath(*path))


class WireObject(WireModel):
    """Object with an id."""

    id: Id


T = TypeVar("T", bound=WireObject)


class Page(WireModel, Generic[T]):
    """Page of a list or of a search result, newest first."""

    data: tuple[T, ...]
    has_more: bool = False

    @property
    def last_id(self) -> str | None:
        """Return the id after which the next page begins, if there is one."""
        return self.data[-1].id if self.has_more and self.data else None


class MetadataObject(WireObject):
    """Object with our reference in its metadata."""

    metadata: dict[str, str] | None = None

    def metadata_value(self, name: str) -> str | None:
        """Return our transaction id under `name` in the metadata; None if it is missing."""
        return (self.metadata or {}).get(name)

    @property
    def reference(self) -> str | None:
        """Return our transaction id; None if the object is not ours."""
        return self.metadata_value(REFERENCE)


ErrorCode = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,100}$")]


class ErrorDetail(WireModel):
    """Detail of an error response or of a failed attempt.

    Stripe's own errors always have a `type`, but not always a `code`.
    """

    type: str = Field(pattern=r"^[a-z_]{1,40}$")
    code: Bookkeeping[ErrorCode] = None
    decline_code: Bookkeeping[ErrorCode] = None
    message: Bookkeeping[str] = None
    param: Bookkeeping[str] = None
    payment_intent: Bookkeeping[WireObject] = None

    @property
    def code_or_type(self) -> str:
        """Return the code, or the type if there is none."""
        return self.code or self.type


class ErrorBody(WireModel):
    """Error body; a body that does not fit is not Stripe's."""

    error: ErrorDetail


class Account(WireObject):
    """Account of an API key; `capabilities` are missing if the key may not read them."""

    capabilities: Bookkeeping[dict[str, str]] = None


class PaymentMethod(WireObject):
    """Stored card or bank account; Stripe never returns the whole IBAN.

    Without `customer` it cannot be charged again.
    """

    type: str
    customer: Bookkeeping[ExpandableId] = None
    holder: Bookkeeping[str] = _nested("billing_details", "name")
    brand: Bookkeeping[str] = _nested("card", "brand")
    card_country: Bookkeeping[str] = _nested("card", "country")
    exp_month: Bookkeeping[int] = _nested("card", "exp_month")
    exp_year: Bookkeeping[int] = _nested("card", "exp_year")
    card_last4: Bookkeeping[str] = _nested("card", "last4")
    bank_country: Bookkeeping[str] = _nested("sepa_debit", "country")
    iban_last4: Bookkeeping[str] = _nested("sepa_debit", "last4")


class Mandate(WireObject):
    """Mandate for direct debits; `reference` is shown on the payer's bank statement."""

    reference: Bookkeeping[str] = _nested("payment_method_details", "sepa_debit", "reference")


class BookingEntry(WireModel):
    """What the balance transaction of a charge or refund adds to it: when and as what it counts."""

    created: Bookkeeping[Seconds] = None
    reporting_category: Bookkeeping[str] = None


class BalanceTransaction(BookingEntry, WireObject):
    """Movement on the merchant's Stripe balance, in the currency of that balance.

    `source` is the object that moved the money. `exchange_rate` converts that object's currency to
    the balance's: amounts there are its multiples.
    """

    amount: SignedAmount
    currency: Currency
    fee: Bookkeeping[Annotated[int, Field(strict=True)]] = None
    type: Bookkeeping[str] = None
    exchange_rate: Bookkeeping[Rate] = None
    source: Bookkeeping[ExpandableId] = None


class Charge(MetadataObject):
    """Payment attempt of a PaymentIntent; with manual capture first a reservation.

    `capture_before` is the time at which the reservation ends.
    """

    status: str
    amount_captured: MinorAmount
    captured: bool
    currency: Currency
    disputed: bool
    failure_code: Bookkeeping[str] = None
    failure_message: Bookkeeping[str] = None
    payment_intent: "PaymentIntent | Id | None" = None
    capture_before: Bookkeeping[Seconds] = _nested(
        "payment_method_details", "card", "capture_before"
    )
    balance_transaction: BookingEntry | str | None = None

    @property
    def intent_id(self) -> str | None:
        """Return the id of the PaymentIntent."""
        intent = self.payment_intent
        return intent.id if isinstance(intent, PaymentIntent) else intent


class PaymentIntent(MetadataObject):
    """Payment or reservation; `latest_charge` is its latest attempt."""

    status: str
    amount: MinorAmount
    amount_received: MinorAmount
    currency: Currency
    capture_method: str
    created: Bookkeeping[Seconds] = None
    customer: Bookkeeping[ExpandableId] = None
    latest_charge: Charge | Id | None = None
    payment_method: Bookkeeping[PaymentMethod | str] = None
    last_payment_error: Bookkeeping[ErrorDetail] = None
    cancellation_reason: Bookkeeping[str] = None
    setup_future_usage: Bookkeeping[str] = None

    @property
    def is_manual_capture(self) -> bool:
        """Return whether it reserves first and is captured later."""
        return self.capture_method == "manual"

    @property
    def capture_reference(self) -> str | None:
        """Return our transaction id of the capture; None if we have not captured it."""
        return self.metadata_value(CAPTURE)

    @property
    def payment_reference(self) -> str | None:
        """Return our transaction id of the payment, which with a reservation is the capture's."""
        return self.capture_reference if self.is_manual_capture else self.reference

    @property
    def charge_id(self) -> str | None:
        """Return the id of the latest charge."""
        charge = self.latest_charge
        return charge.id if isinstance(charge, Charge) else charge


class SetupIntent(MetadataObject):
    """Storing of a payment method without a payment."""

    status: str
    customer: Bookkeeping[ExpandableId] = None
    mandate: Bookkeeping[Mandate | str] = None
    payment_method: PaymentMethod | str | None = None
    last_setup_error: Bookkeeping[ErrorDetail] = None


class CheckoutSession(WireObject):
    """Session of the hosted page. Both intents are missing until the customer confirms."""

    status: str | None
    url: str | None = None
    client_reference_id: str | None = None
    currency: Currency | None = None
    expires_at: Bookkeeping[Seconds] = None
    payment_intent: PaymentIntent | str | None = None
    setup_intent: SetupIntent | str | None = None

    @property
    def reference(self) -> str | None:
        """Return our transaction id; None if the object is not ours."""
        return self.client_reference_id


class Refund(MetadataObject):
    """Refund; `payment_intent` is the full object wherever its capture method matters.

    Stripe also creates one for the released part of a reservation, cancelled or captured in part.
    """

    status: str | None
    amount: MinorAmount
    currency: Currency
    created: Bookkeeping[Seconds] = None
    charge: Annotated[Id | None, BeforeValidator(_read_id)] = None
    payment_intent: PaymentIntent | Id | None = None
    failure_reason: Bookkeeping[str] = None
    balance_transaction: BookingEntry | str | None = None

    @property
    def intent_id(self) -> str | None:
        """Return the id of the PaymentIntent."""
        intent = self.payment_intent
        return intent.id if isinstance(intent, PaymentIntent) else intent

    @property
    def payment_id(self) -> str | None:
        """Return the payment's id on the port: a capture's is its charge; None if not expanded."""
        intent = self.payment_intent
        if isinstance(intent, str):
            return None
        return self.charge if intent is None or intent.is_manual_capture else intent.id

    @property
    def is_released_hold(self) -> bool:
        """Return whether it only releases reserved money, which its balance transaction shows.

        https://docs.stripe.com/reports/reporting-categories, "partial-capture reversals"
        """
        transaction = self.balance_transaction
        if isinstance(transaction, BookingEntry):
            return transaction.reporting_category == "partial_capture_reversal"
        return transaction is None and self.status == "succeeded"


class Dispute(WireObject):
    """Dispute by the payer's bank.

    The money that moved is in the balance transactions. `amount` is what the payer claims, which
    is not always what was withdrawn.
    """

    currency: Currency
    charge: ExpandableId
    payment_intent: Annotated[Id | None, BeforeValidator(_read_id)] = None
    balance_transactions: tuple[BalanceTransaction, ...] = ()
    amount: Bookkeeping[MinorAmount] = None
    status: Bookkeeping[str] = None
    reason: Bookkeeping[str] = None


class ChargeEntry(BookingEntry, WireObject):
    """Balance transaction of a charge, with the full charge."""

    created: Seconds
    source: Charge


class Event(WireObject):
    """Envelope of a notification; the type of `data["object"]` depends on `type`.

    `account` is the connected account of a platform, whose objects are not the merchant's own.
    """

    type: str
    data: dict[str, Any] = Field(default_factory=dict)
    created: Bookkeeping[Seconds] = None
    api_version: Bookkeeping[str] = None
    account: Bookkeeping[str] = None


class ThinEvent(WireObject):
    """Notification of an event destination with thin events: names its object, shows none."""

    type: str
    related_id: Bookkeeping[Id] = _nested("related_object", "id")
    related_type: Bookkeeping[str] = _nested("related_object", "type")


class RawEvent(WireObject):
    """Entry of the event list with all its members."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)
