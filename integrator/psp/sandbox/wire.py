"""The PSP's own objects. Amounts are integers in minor units, times ISO 8601 with an offset.

Unknown members are ignored and statuses are plain text, so that the PSP may add to both. Most
objects hold personal data: `repr` shows their ids only.
"""

from datetime import date
from typing import Any, Generic, Literal, TypeVar

from pydantic import AwareDatetime, Field

from integrator.psp.toolkit.wire import Id, Minor, Wire

T = TypeVar("T", bound="WireObject")


class WireObject(Wire):
    """An object with an id of its own. `reference` is ours, if the PSP was told one."""

    id: Id
    reference: str | None = None


class Failure(Wire):
    """Why something did not work."""

    code: str
    message: str | None = None


class ErrorDetail(Wire):
    """The heart of an error body; anything that does not fit this is not the PSP's error."""

    type: Literal[
        "authentication_error",
        "invalid_request",
        "card_error",
        "rate_limit",
        "conflict",
        "api_error",
    ]
    code: str = Field(pattern=r"^[a-z0-9_]{1,64}$")
    message: str | None = None


class ErrorBody(Wire):
    """An error; `object` is the record of a declined attempt."""

    error: ErrorDetail
    object: WireObject | None = None


class Listed(Wire, Generic[T]):
    """What a search by reference answers."""

    data: list[T]


class EventList(Wire):
    """A part of the event list, oldest first; `next` is the cursor to go on with."""

    data: list[dict[str, Any]]
    next: str | None = None
    has_more: bool = False


class Window(Wire, Generic[T]):
    """A part of what was made in a time window; `next` is the cursor to go on with."""

    data: list[T]
    next: str | None = None
    has_more: bool = False


class Account(Wire):
    """The merchant's account; of the webhook secret only its SHA-256 in hex."""

    id: str
    webhook_secret_sha256: str | None = None


class Card(Wire):
    """A stored card, without its number."""

    brand: str | None = None
    country: str | None = None
    exp_month: str | int | None = None
    exp_year: str | int | None = None
    holder: str | None = None
    last4: str | None = None
    masked: str | None = None


class BankAccount(Wire):
    """The account a mandate is for."""

    holder: str
    iban: str
    bic: str | None = None


class PaymentMethod(WireObject):
    """A stored card, or a mandate seen as a payment method; bound to `currency` if it has one."""

    type: str
    currency: str | None = None
    customer: str | None = None
    status: str
    card: Card | None = None
    sepa_debit: BankAccount | None = None


class Mandate(WireObject):
    """A mandate for direct debits."""

    status: str
    holder: str
    iban: str
    bic: str | None = None
    currency: str
    customer: str | None = None


class Authorization(WireObject):
    """Money held on a card."""

    status: str
    amount: Minor
    currency: str
    expires_at: AwareDatetime
    payment_method: PaymentMethod | None = None
    failure: Failure | None = None
    created_at: AwareDatetime | None = None


class CheckoutSession(WireObject):
    """One visit to the hosted page. `authorization` is missing after a mere set-up."""

    status: str
    mode: Literal["authorize", "setup"] | None = None
    url: str
    currency: str | None = None
    expires_at: AwareDatetime
    authorization: Authorization | None = None
    payment_method: PaymentMethod | None = None
    failure: Failure | None = None


class Chargeback(Wire):
    """Money the payer's bank took back, and what it charged for that."""

    id: Id
    amount: Minor
    fee_amount: Minor = 0
    booked_on: date | None = None
    reason_code: str | None = None
    reason_message: str | None = None


class Charge(WireObject):
    """Money taken, by charge or capture; `authorization` is the id of what was captured."""

    status: str
    amount: Minor
    currency: str
    booked_on: date | None = None
    chargebacks: tuple[Chargeback, ...] = ()
    failure: Failure | None = None
    authorization: str | None = None
    created_at: AwareDatetime | None = None


class Refund(WireObject):
    """Money given back; `charge` is the id of what it was taken from."""

    status: str
    amount: Minor
    currency: str
    booked_on: date | None = None
    failure: Failure | None = None
    charge: str | None = None
    created_at: AwareDatetime | None = None


class Event(Wire):
    """The envelope of a notification; what `data` is depends on `type`."""

    id: Id
    type: str
    data: dict[str, Any]
