"""Models of Stripe's JSON. Amounts are integers in minor units, times are unix seconds.

Unknown members are ignored and statuses are plain strings, so that Stripe may add to both. Members
that are an id or, if requested by `expand`, the full object have both types. Most objects hold
personal data, so that `repr` shows only their ids.
"""

from typing import Annotated, Any, Generic, TypeVar

from pydantic import AliasPath, ConfigDict, Field

from integrator.psp.toolkit.wire import Currency, Id, MinorAmount, WireModel

Seconds = Annotated[int, Field(strict=True, ge=0, le=10**11)]

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


class ErrorDetail(WireModel):
    """Detail of an error response or of a failed attempt.

    Stripe's own errors always have a `type`, but not always a `code`.
    """

    type: str = Field(pattern=r"^[a-z_]{1,40}$")
    code: str | None = Field(None, pattern=r"^[a-z0-9_]{1,100}$")
    decline_code: str | None = Field(None, pattern=r"^[a-z0-9_]{1,100}$")
    message: str | None = None
    param: str | None = None
    payment_intent: WireObject | None = None

    @property
    def code_or_type(self) -> str:
        """Return the code, or the type if there is none."""
        return self.code or self.type


class ErrorBody(WireModel):
    """Error body; a body that does not fit is not Stripe's."""

    error: ErrorDetail


class Account(WireObject):
    """Account of an API key; `capabilities` are missing if the key may not read them."""

    capabilities: dict[str, str] | None = None


class PaymentMethod(WireObject):
    """Stored card or bank account; Stripe never returns the whole IBAN.

    Without `customer` it cannot be charged again.
    """

    type: str
    customer: str | None = None
    holder: str | None = _nested("billing_details", "name")
    brand: str | None = _nested("card", "brand")
    card_country: str | None = _nested("card", "country")
    exp_month: int | None = _nested("card", "exp_month")
    exp_year: int | None = _nested("card", "exp_year")
    card_last4: str | None = _nested("card", "last4")
    bank_country: str | None = _nested("sepa_debit", "country")
    iban_last4: str | None = _nested("sepa_debit", "last4")


class Mandate(WireObject):
    """Mandate for direct debits; `reference` is shown on the payer's bank statement."""

    status: str
    reference: str | None = _nested("payment_method_details", "sepa_debit", "reference")


class BalanceTransaction(WireObject):
    """Movement on the merchant's Stripe balance, in the currency of that balance."""

    amount: int = Field(strict=True)
    fee: MinorAmount = 0
    currency: Currency
    created: Seconds
    reporting_category: str | None = None


class Charge(MetadataObject):
    """Payment attempt of a PaymentIntent; with manual capture first a reservation.

    `capture_before` is the time at which the reservation ends.
    """

    status: str
    amount_captured: MinorAmount
    captured: bool
    currency: Currency
    created: Seconds
    disputed: bool
    failure_code: str | None = None
    failure_message: str | None = None
    payment_intent: "PaymentIntent | str | None" = None
    capture_before: Seconds | None = _nested("payment_method_details", "card", "capture_before")
    balance_transaction: BalanceTransaction | str | None = None


class PaymentIntent(MetadataObject):
    """Payment or reservation; `latest_charge` is its latest attempt."""

    status: str
    amount: MinorAmount
    amount_received: MinorAmount
    currency: Currency
    capture_method: str
    created: Seconds
    customer: str | None = None
    latest_charge: Charge | str | None = None
    payment_method: PaymentMethod | str | None = None
    last_payment_error: ErrorDetail | None = None
    cancellation_reason: str | None = None
    setup_future_usage: str | None = None

    @property
    def is_manual_capture(self) -> bool:
        """Return whether it reserves first and is captured later."""
        return self.capture_method == "manual"

    @property
    def capture_reference(self) -> str | None:
        """Return our transaction id of the capture; None if we have not captured it."""
        return self.metadata_value(CAPTURE)

    @property
    def charge_id(self) -> str | None:
        """Return the id of the latest charge."""
        charge = self.latest_charge
        return charge.id if isinstance(charge, Charge) else charge


class SetupIntent(MetadataObject):
    """Storing of a payment method without a payment."""

    status: str
    customer: str | None = None
    mandate: Mandate | str | None = None
    payment_method: PaymentMethod | str | None = None
    last_setup_error: ErrorDetail | None = None


class CheckoutSession(WireObject):
    """Session of the hosted page. Both intents are missing until the customer confirms."""

    status: str | None
    mode: str
    url: str | None = None
    client_reference_id: str | None = None
    currency: Currency | None = None
    expires_at: Seconds
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
    created: Seconds
    charge: str | None = None
    payment_intent: PaymentIntent | str | None = None
    failure_reason: str | None = None
    balance_transaction: BalanceTransaction | str | None = None

    @property
    def is_released_hold(self) -> bool:
        """Return whether it only releases reserved money, which its balance transaction shows.

        https://docs.stripe.com/reports/reporting-categories, "partial-capture reversals"
        """
        transaction = self.balance_transaction
        if isinstance(transaction, BalanceTransaction):
            return transaction.reporting_category == "partial_capture_reversal"
        return transaction is None and self.status == "succeeded"


class Dispute(WireObject):
    """Dispute by the payer's bank; the balance transactions show whether money was withdrawn."""

    status: str
    amount: MinorAmount
    currency: Currency
    created: Seconds
    reason: str | None = None
    charge: str
    payment_intent: str | None = None
    balance_transactions: tuple[BalanceTransaction, ...] = ()


class ChargeBalanceTransaction(BalanceTransaction):
    """Balance transaction of a charge, with the full charge."""

    source: Charge


class Event(WireObject):
    """Envelope of a notification; the type of `data["object"]` depends on `type`."""

    type: str
    data: dict[str, Any]


class RawEvent(WireObject):
    """Entry of the event list with all its members."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)
