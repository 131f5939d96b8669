"""Request bodies of Billwerk+ Pay. Unknown members are rejected, to catch clients' mistakes."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Units = Annotated[int, Field(strict=True, gt=0, le=10**15)]
Handle = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.\-@]{1,255}$")]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Url = Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=2000)]
Text = Annotated[str, Field(max_length=512, pattern=r"\S")]
NotBlank = Annotated[str, Field(pattern=r"\S", max_length=255)]
Key = Annotated[str, Field(min_length=1, max_length=255)]


class Strict(BaseModel):
    """Base of the bodies; rejects unknown members."""

    model_config = ConfigDict(extra="forbid")


class Customer(Strict):
    """The payer."""

    handle: Handle
    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    first_name: NotBlank | None = None
    last_name: NotBlank | None = None
    phone: NotBlank | None = None
    company: NotBlank | None = None
    vat: NotBlank | None = None
    address: NotBlank | None = None
    address2: NotBlank | None = None
    city: NotBlank | None = None
    postal_code: NotBlank | None = None
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    metadata: dict[str, Any] | None = None


class Order(Strict):
    """The payment of a hosted page."""

    handle: Handle
    key: Key | None = None
    amount: Units
    currency: Currency
    customer: Customer | None = None
    customer_handle: Handle | None = None
    metadata: dict[str, Any] | None = None
    ordertext: Text | None = None


class Session(Strict):
    """Members common to all hosted pages."""

    locale: Annotated[str, Field(pattern=r"^[a-z]{2}_[A-Z]{2}$")] | None = None
    ttl: Annotated[str, Field(pattern=r"^PT[0-9]+[HMS]$")] | None = None
    accept_url: Url
    cancel_url: Url
    payment_methods: list[str] | None = None
    button_text: Annotated[str, Field(max_length=32)] | None = None
    configuration: str | None = None


class ChargeSession(Session):
    """A hosted page that authorizes, or takes the money at once."""

    order: Order
    settle: bool = False
    recurring: bool = False


class RecurringSession(Session):
    """A hosted page that stores a card."""

    currency: Currency = "EUR"
    customer: Handle | None = None
    create_customer: Customer | None = None


class Charge(Strict):
    """A charge of a stored card, settled at once or authorized."""

    handle: Handle
    key: Key | None = None
    amount: Units
    currency: Currency
    source: str
    settle: bool = False
    customer_handle: Handle | None = None
    ordertext: Text | None = None
    metadata: dict[str, Any] | None = None


class Settle(Strict):
    """A settle of an authorized charge; without an amount in full."""

    key: Key | None = None
    amount: Units | None = None
    ordertext: Text | None = None


class Refund(Strict):
    """A refund; without an amount of all that is left."""

    invoice: Handle
    key: Key | None = None
    amount: Units | None = None
    text: Text | None = None
