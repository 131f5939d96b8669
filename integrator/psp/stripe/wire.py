"""Stripe's own objects, as far as they are read. Amounts are integers in minor units, times unix.

Unknown members are ignored and statuses are plain text, so that Stripe may add to both. What Stripe
names by its id or, if asked to `expand` it, shows in full, has both types. Most objects hold
personal data: `repr` shows their ids only.
"""

from typing import Annotated, Any, Generic, TypeVar

from pydantic import AliasPath, ConfigDict, Field

from integrator.psp.toolkit.wire import Currency, Id, Minor, Wire

Seconds = Annotated[int, Field(strict=True, ge=0, le=10**11)]

REFERENCE = "reference"
CAPTURE = "capture"


def _inside(*path: str) -> Any:
    """A member of a nested object, None if anything on the way to it is missing."""
    return Field(None, validation_alias=AliasPath(*path))


class WireObject(Wire):
    """An object with an id of its own."""

    id: Id


T = TypeVar("T", bound=WireObject)


class Page(Wire, Generic[T]):
    """A part of a list or of what a search found, newest first."""

    data: tuple[T, ...]
    has_more: bool = False

    @property
    def last_id(self) -> str | None:
        """The place where the next part begins, if there is one."""
        return self.data[-1].id if self.has_more and self.data else None


class Named(WireObject):
    """An object that carries our reference in its metadata."""

    metadata: dict[str, str] | None = None

    def named(self, name: str) -> str | None:
        """Our transaction id under a name of the metadata, if it was us who made it."""
        return (self.metadata or {}).get(name)

    @property
    def reference(self) -> str | None:
        """The transaction it was made for."""
        return self.named(REFERENCE)


class Problem(Wire):
    """Why something did not work: the heart of an error body, and of a failed attempt.

    `type` is missing nowhere in Stripe's own errors, `code` in some.
    """

    type: str = Field(pattern=r"^[a-z_]{1,40}$")
    code: str | None = Field(None, pattern=r"^[a-z0-9_]{1,100}$")
    decline_code: str | None = Field(None, pattern=r"^[a-z0-9_]{1,100}$")
    message: str | None = None
    param: str | None = None
    payment_intent: WireObject | None = None

    @property
    def word(self) -> str:
        """The code, or what there is of it."""
        return self.code or self.type


class ErrorBody(Wire):
    """Every error of Stripe's own; anything else is somebody else's."""

    error: Problem


class Account(WireObject):
    """The account an API key opens; `capabilities` are missing if the key may not see them."""

    capabilities: dict[str, str] | None = None


class PaymentMethod(WireObject):
    """A stored card, or a bank account of which Stripe never shows the whole IBAN.

    Without `customer` it cannot be charged again.
    """

    type: str
    customer: str | None = None
    holder: str | None = _inside("billing_details", "name")
    brand: str | None = _inside("card", "brand")
    card_country: str | None = _inside("card", "country")
    exp_month: int | None = _inside("card", "exp_month")
    exp_year: int | None = _inside("card", "exp_year")
    card_last4: str | None = _inside("card", "last4")
    bank_country: str | None = _inside("sepa_debit", "country")
    iban_last4: str | None = _inside("sepa_debit", "last4")


class Mandate(WireObject):
    """A mandate for direct debits; `reference` is what the payer reads on the statement."""

    status: str
    reference: str | None = _inside("payment_method_details", "sepa_debit", "reference")


class BalanceTransaction(WireObject):
    """Money moved on the merchant's Stripe balance, in the currency of that balance."""

    amount: int = Field(strict=True)
    fee: Minor = 0
    currency: Currency
    created: Seconds
    reporting_category: str | None = None


class Charge(Named):
    """One attempt at money, made by a PaymentIntent; with manual capture first a mere hold.

    `capture_before` is when a hold ends.
    """

    status: str
    amount_captured: Minor
    captured: bool
    currency: Currency
    created: Seconds
    disputed: bool
    failure_code: str | None = None
    failure_message: str | None = None
    payment_intent: "PaymentIntent | str | None" = None
    capture_before: Seconds | None = _inside("payment_method_details", "card", "capture_before")
    balance_transaction: BalanceTransaction | str | None = None


class PaymentIntent(Named):
    """A payment or a reservation from its beginning; `latest_charge` is what it came to."""

    status: str
    amount: Minor
    amount_received: Minor
    currency: Currency
    capture_method: str
    created: Seconds
    customer: str | None = None
    latest_charge: Charge | str | None = None
    payment_method: PaymentMethod | str | None = None
    last_payment_error: Problem | None = None
    cancellation_reason: str | None = None
    setup_future_usage: str | None = None

    @property
    def manual(self) -> bool:
        """Whether it reserves first."""
        return self.capture_method == "manual"

    @property
    def captured_for(self) -> str | None:
        """The payment that took the reservation, if it was us who took it."""
        return self.named(CAPTURE)

    @property
    def charge_id(self) -> str | None:
        """The id of what it came to."""
        made = self.latest_charge
        return made.id if isinstance(made, Charge) else made


class SetupIntent(Named):
    """A payment method stored without money."""

    status: str
    customer: str | None = None
    mandate: Mandate | str | None = None
    payment_method: PaymentMethod | str | None = None
    last_setup_error: Problem | None = None


class CheckoutSession(WireObject):
    """One visit to the hosted page. Both intents are missing until the customer confirms."""

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
        """The transaction it was made for."""
        return self.client_reference_id


class Refund(Named):
    """Money given back; `payment_intent` is in full wherever its kind matters.

    Stripe makes one, too, for what is let go of a reservation, cancelled or captured in part.
    """

    status: str | None
    amount: Minor
    currency: Currency
    created: Seconds
    charge: str | None = None
    payment_intent: PaymentIntent | str | None = None
    failure_reason: str | None = None
    balance_transaction: BalanceTransaction | str | None = None

    @property
    def let_go(self) -> bool:
        """Whether it is about money that was held and never taken; told by its balance only.

        https://docs.stripe.com/reports/reporting-categories, "partial-capture reversals"
        """
        moved = self.balance_transaction
        if isinstance(moved, BalanceTransaction):
            return moved.reporting_category == "partial_capture_reversal"
        return moved is None and self.status == "succeeded"


class Dispute(WireObject):
    """The payer's bank wants money back; the balance transactions say whether it got it."""

    status: str
    amount: Minor
    currency: Currency
    created: Seconds
    reason: str | None = None
    charge: str
    payment_intent: str | None = None
    balance_transactions: tuple[BalanceTransaction, ...] = ()


class Capture(BalanceTransaction):
    """The movement on the balance that a charge has caused, with the charge in full."""

    source: Charge


class Event(WireObject):
    """The envelope of a notification; what `object` is depends on `type`."""

    type: str
    data: dict[str, Any]


class Listed(WireObject):
    """An entry of the event list, kept as it is."""

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)
