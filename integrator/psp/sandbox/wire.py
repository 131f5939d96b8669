"""Models of the PSP's JSON. Amounts are integers in minor units, times ISO 8601 with an offset.

Unknown members are ignored and statuses are plain strings, so that the PSP may add to both. Most
objects hold personal data, so that `repr` shows only their ids.
"""

from datetime import date
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AwareDatetime, Field

from integrator.psp.toolkit.wire import BOOKKEEPING, Id, MinorAmount, WireModel

T = TypeVar("T", bound="WireObject")


class WireObject(WireModel):
    """Object with an id. `reference` is ours, if we sent one."""

    id: Id
    reference: str | None = None


class Failure(WireModel):
    """Reason of a failure."""

    code: str
    message: str | None = None


class ErrorDetail(WireModel):
    """Detail of an error; a body that does not fit is not the PSP's error."""

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


class ErrorBody(WireModel):
    """Error body; `object` is the record of a declined attempt."""

    error: ErrorDetail
    object: WireObject | None = None


class ObjectList(WireModel, Generic[T]):
    """Result of a search by reference."""

    data: list[T]


class EventList(WireModel):
    """Page of the event list, oldest first; `next` is the cursor of the next page."""

    data: list[dict[str, Any]]
    next: str | None = None
    has_more: bool = False


class ObjectPage(WireModel, Generic[T]):
    """Page of the objects created in a time window; `next` is the cursor of the next page."""

    data: list[T]
    next: str | None = None
    has_more: bool = False


class Account(WireModel):
    """The merchant's account, with the SHA-256 of the webhook secret in hex."""

    id: str
    webhook_secret_sha256: str | None = None


class Card(WireModel):
    """Stored card, without its number."""

    brand: str | None = None
    country: str | None = None
    exp_month: str | int | None = None
    exp_year: str | int | None = None
    holder: str | None = None
    last4: str | None = None
    masked: str | None = None


class BankAccount(WireModel):
    """Bank account of a mandate."""

    holder: str
    iban: str
    bic: str | None = None


class PaymentMethod(WireObject):
    """Stored card, or a mandate as a payment method; limited to `currency` if it has one."""

    type: str
    currency: str | None = None
    customer: str | None = None
    status: str
    card: Card | None = None
    sepa_debit: BankAccount | None = None


class Mandate(WireObject):
    """Mandate for direct debits."""

    status: str
    holder: str
    iban: str
    bic: str | None = None
    currency: str
    customer: str | None = None


class Authorization(WireObject):
    """Reservation on a card."""

    status: str
    amount: MinorAmount
    currency: str
    expires_at: AwareDatetime
    payment_method: PaymentMethod | None = None
    failure: Failure | None = None
    created_at: AwareDatetime | None = None


class CheckoutSession(WireObject):
    """Session of the hosted page. There is no `authorization` if the card was only stored."""

    status: str
    mode: Literal["authorize", "setup"] | None = None
    url: str
    currency: str | None = None
    expires_at: AwareDatetime
    authorization: Authorization | None = None
    payment_method: PaymentMethod | None = None
    failure: Failure | None = None


class ChargebackReversal(WireModel):
    """Money of a chargeback that came back."""

    id: Id
    amount: MinorAmount
    booked_on: Annotated[date | None, BOOKKEEPING] = None


class Chargeback(WireModel):
    """Chargeback by the payer's bank, its fee and what came back of it."""

    id: Id
    amount: MinorAmount
    fee_amount: Annotated[MinorAmount | None, BOOKKEEPING] = None
    booked_on: Annotated[date | None, BOOKKEEPING] = None
    reason_code: Annotated[str | None, BOOKKEEPING] = None
    reason_message: Annotated[str | None, BOOKKEEPING] = None
    reversals: tuple[ChargebackReversal, ...] = ()


class Charge(WireObject):
    """Charge or capture; `authorization` is the id of the captured authorization."""

    status: str
    amount: MinorAmount
    currency: str
    booked_on: Annotated[date | None, BOOKKEEPING] = None
    chargebacks: tuple[Chargeback, ...] = ()
    failure: Failure | None = None
    authorization: str | None = None
    created_at: Annotated[AwareDatetime | None, BOOKKEEPING] = None


class Refund(WireObject):
    """Refund; `charge` is the id of the refunded charge."""

    status: str
    amount: MinorAmount
    currency: str
    booked_on: Annotated[date | None, BOOKKEEPING] = None
    failure: Failure | None = None
    charge: str | None = None
    created_at: Annotated[AwareDatetime | None, BOOKKEEPING] = None


class Event(WireModel):
    """Envelope of a notification; the type of `data` depends on `type`."""

    id: Id
    type: str
    data: dict[str, Any]
