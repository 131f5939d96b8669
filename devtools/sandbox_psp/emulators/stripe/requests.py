"""Parameters of the supported calls; other parameters are rejected."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError


def _require_digits(text: str) -> str:
    # Without this, pydantic accepts "10.00" as an integer.
    if not text.isdigit():
        raise PydanticCustomError("int_parsing", "digits only")
    return text


Integer = Annotated[int, BeforeValidator(_require_digits)]
Amount = Annotated[Integer, Field(gt=0, le=99_999_999)]
Metadata = Annotated[dict[str, Annotated[str, Field(max_length=500)]], Field(max_length=50)]
Text = Annotated[str, Field(max_length=1000)]
Url = Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=5000)]
Email = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]
Type = Literal["card", "sepa_debit", "link"]
Types = Annotated[tuple[Type, ...], Field(min_length=1)]


class Params(BaseModel):
    """Base of all parameters; unknown names are rejected."""

    model_config = ConfigDict(extra="forbid")

    expand: list[str] = []


class NestedParams(BaseModel):
    """Base of nested parameters."""

    model_config = ConfigDict(extra="forbid")


class Address(NestedParams):
    """A postal address."""

    line1: str | None = None
    line2: str | None = None
    postal_code: str | None = None
    city: str | None = None
    state: str | None = None
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None


class CustomerParams(Params):
    """POST customers."""

    name: str | None = None
    email: Email | None = None
    address: Address | None = None
    metadata: Metadata = Field(default_factory=dict)


class ProductData(NestedParams):
    """The product of a line item."""

    name: Annotated[str, Field(min_length=1)]


class PriceData(NestedParams):
    """The price of a line item."""

    currency: str
    unit_amount: Annotated[Integer, Field(ge=0, le=99_999_999)]
    product_data: ProductData


class LineItem(NestedParams):
    """A line item of the page."""

    price_data: PriceData
    quantity: Annotated[Integer, Field(ge=1)]


class PaymentIntentData(NestedParams):
    """Data of the PaymentIntent that Checkout creates."""

    capture_method: Literal["manual"]
    setup_future_usage: Literal["off_session"] | None = None
    metadata: Metadata = Field(default_factory=dict)
    description: Text | None = None


class SetupIntentData(NestedParams):
    """Data of the SetupIntent that Checkout creates."""

    metadata: Metadata = Field(default_factory=dict)
    description: Text | None = None


class SessionParams(Params):
    """POST checkout/sessions."""

    mode: Literal["payment", "setup"]
    success_url: Url
    cancel_url: Url
    client_reference_id: Annotated[str, Field(max_length=200)] | None = None
    allowed_payment_method_types: Types = ("card",)
    currency: str | None = None
    customer_creation: Literal["always", "if_required"] | None = None
    customer_email: Email | None = None
    line_items: list[LineItem] = Field(default_factory=list)
    locale: Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Z0-9]{2,3})?$|^auto$")] | None = None
    payment_intent_data: PaymentIntentData | None = None
    setup_intent_data: SetupIntentData | None = None


class PaymentIntentParams(Params):
    """POST payment_intents, without `confirm`."""

    amount: Amount
    currency: str
    customer: str | None = None
    payment_method: str | None = None
    allowed_payment_method_types: Types = ("card",)
    capture_method: Literal["automatic", "automatic_async", "manual"] = "automatic_async"
    metadata: Metadata = Field(default_factory=dict)
    description: Text | None = None


class SepaDebitOptions(NestedParams):
    """The requested date of the debit."""

    target_date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None


class PaymentMethodOptions(NestedParams):
    """Options by payment method."""

    sepa_debit: SepaDebitOptions = SepaDebitOptions()


class ConfirmParams(Params):
    """POST payment_intents/{id}/confirm, off session only."""

    off_session: Literal["true"]
    payment_method_options: PaymentMethodOptions = PaymentMethodOptions()


class CaptureParams(Params):
    """POST payment_intents/{id}/capture."""

    amount_to_capture: Amount | None = None
    metadata: Metadata = Field(default_factory=dict)


class CancelParams(Params):
    """POST payment_intents/{id}/cancel."""

    cancellation_reason: (
        Literal["duplicate", "fraudulent", "requested_by_customer", "abandoned"] | None
    ) = None


class SepaDebitData(NestedParams):
    """A bank account."""

    iban: str


class BillingDetails(NestedParams):
    """The account holder: SEPA debits need name and e-mail, outside the EEA also the address."""

    name: Annotated[str, Field(min_length=1)]
    email: Email
    address: Address | None = None


class PaymentMethodData(NestedParams):
    """A payment method to create."""

    type: Literal["sepa_debit"]
    sepa_debit: SepaDebitData
    billing_details: BillingDetails


class CustomerAcceptance(NestedParams):
    """How the customer accepted the mandate."""

    type: Literal["offline"]


class MandateData(NestedParams):
    """The mandate to create."""

    customer_acceptance: CustomerAcceptance


class SetupIntentParams(Params):
    """POST setup_intents, confirmed at once."""

    confirm: Literal["true"]
    customer: str
    allowed_payment_method_types: Types
    payment_method_data: PaymentMethodData
    mandate_data: MandateData
    usage: Literal["off_session"] = "off_session"
    metadata: Metadata = Field(default_factory=dict)
    description: Text | None = None


class RefundParams(Params):
    """POST refunds."""

    charge: str | None = None
    payment_intent: str | None = None
    amount: Amount | None = None
    reason: Literal["duplicate", "fraudulent", "requested_by_customer"] | None = None
    metadata: Metadata = Field(default_factory=dict)


class CreatedRange(NestedParams):
    """A range of unix times."""

    gt: Integer | None = None
    gte: Integer | None = None
    lt: Integer | None = None
    lte: Integer | None = None


class ListParams(Params):
    """GET of a list, newest first."""

    limit: Annotated[Integer, Field(ge=1, le=100)] = 10
    starting_after: str | None = None
    ending_before: str | None = None
    created: CreatedRange = CreatedRange()


class RefundListParams(ListParams):
    """GET refunds."""

    charge: str | None = None
    payment_intent: str | None = None


class DisputeListParams(ListParams):
    """GET disputes."""

    charge: str | None = None
    payment_intent: str | None = None


class Evidence(NestedParams):
    """What decides a dispute in test mode."""

    uncategorized_text: Literal["winning_evidence", "losing_evidence"]


class DisputeParams(Params):
    """POST disputes/{id}, submitted at once."""

    evidence: Evidence
    submit: Literal["true"] = "true"


class BalanceTransactionListParams(ListParams):
    """GET balance_transactions."""

    type: str | None = None


class EventListParams(ListParams):
    """GET events."""

    type: str | None = None
    types: Annotated[list[str], Field(max_length=20)] = Field(default_factory=list)


class SearchParams(Params):
    """GET payment_intents/search."""

    query: Annotated[str, Field(min_length=1)]
    limit: Annotated[Integer, Field(ge=1, le=100)] = 10
    page: str | None = None


class ExpandParams(Params):
    """Parameters of a call that takes only `expand`."""
