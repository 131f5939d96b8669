"""Models of the PSP's JSON; sources: its generated SDKs and API reference.

Amounts are integers in the units of the `money` module, times ISO 8601 with an offset. Unknown
members are ignored and states are plain strings, so that the PSP may add to both. Most objects hold
personal data, so that `repr` shows only their ids.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AwareDatetime, BeforeValidator, Field, RootModel

from integrator.psp.toolkit.wire import BOOKKEEPING, Id, MinorAmount, WireModel

T = TypeVar("T")

Text = Annotated[str | None, BOOKKEEPING]
Time = Annotated[AwareDatetime | None, BOOKKEEPING]


def _read_empty_list(value: Any) -> Any:
    return {} if value == [] else value


def _drop_nulls(value: Any) -> Any:
    return [item for item in value if item is not None] if isinstance(value, list) else value


EMPTY_LIST_IS_OBJECT = BeforeValidator(_read_empty_list)
"""Annotation of an object that may be sent as an empty list if it has no members."""

WITHOUT_NULLS = BeforeValidator(_drop_nulls)
"""Annotation of a list whose entries may be null."""


class ErrorBody(WireModel):
    """Error body; `http_status` repeats the status of the response."""

    code: int = Field(strict=True, ge=1)
    error: str
    message: str | None = None
    http_status: int
    transaction_error: str | None = None


class ListPage(WireModel, Generic[T]):
    """Page of a list, newest first; the last one has no token."""

    content: list[T]
    next_page_token: str | None = None


class Account(WireModel):
    """The merchant's account; lists are queried in its local time."""

    id: Id
    currency: str
    timezone: str


class WebhookSettings(WireModel):
    """Webhook settings of the account, with the secret that signs its notifications."""

    secret: str


class Session(WireModel):
    """Session of the hosted page that was just opened."""

    id: Id
    url: str


class SessionInfo(WireModel):
    """Session of the hosted page, looked up."""

    id: Id
    expires: AwareDatetime
    url: str | None = None


class SessionInfos(RootModel[list[SessionInfo]]):
    """All sessions of one charge or customer."""


class CardDetails(WireModel):
    """Card without its number; `exp_date` is MM-YY."""

    card_type: Text = None
    card_country: Text = None
    exp_date: Text = None
    masked_card: Text = None


class PaymentMethod(CardDetails):
    """Stored card; its details are in `card` if read by id, else in the object itself.

    `reference` is the id of the session that stored it.
    """

    id: Id
    state: str
    customer: str | None = None
    reference: str | None = None
    card: Annotated[CardDetails | None, BOOKKEEPING] = None


class PaymentMethods(WireModel):
    """Stored payment methods of a customer."""

    cards: list[PaymentMethod] = Field(default=[])


class Source(CardDetails):
    """Source of a charge; `card` is the id of a stored card."""

    card: Text = None
    acquirer_message: Text = None


class OrderLine(WireModel):
    """Order line of a charge or settle, with the merchant's text."""

    ordertext: Text = None
    amount: Annotated[int | None, BOOKKEEPING] = None


class Charge(WireModel):
    """Charge of one handle; once settled, `amount` is the total of its settles.

    The source is null as long as no card was used.
    """

    handle: Id
    state: str
    amount: MinorAmount
    currency: str
    created: Time = None
    customer: Text = None
    authorized: Time = None
    settled: Time = None
    authorized_amount: MinorAmount | None = None
    transaction: str | None = None
    error: Text = None
    error_state: Text = None
    recurring_payment_method: Text = None
    source: Annotated[Source, EMPTY_LIST_IS_OBJECT] = Source()
    order_lines: Annotated[list[OrderLine], WITHOUT_NULLS] = Field(default=[])


class CardTransaction(WireModel):
    """The acquirer's data of a transaction; null if it did not go to a card's acquirer."""

    error: Text = None
    error_state: Text = None
    acquirer_message: Text = None
    ref_transaction: Text = None


class Transaction(WireModel):
    """One movement or reservation under a handle: `authorization`, `settle` or `refund`.

    Other types are bookkeeping, so that the amount's sign is checked where it is used.
    """

    id: Id
    state: str
    type: str
    invoice: Id
    amount: int = Field(strict=True, ge=-(10**15), le=10**15)
    created: Time = None
    currency: str | None = None
    authorized: Time = None
    settled: Time = None
    card_transaction: Annotated[CardTransaction, EMPTY_LIST_IS_OBJECT] = CardTransaction()


class CreditNoteLine(WireModel):
    """Line of a credit note, with the merchant's text."""

    text: Text = None


class CreditNote(WireModel):
    """Credit note of a successful refund; `transaction` is the refund's id."""

    amount: Annotated[int | None, BOOKKEEPING] = None
    transaction: str | None = None
    invoice: str | None = None
    credit_note_lines: Annotated[list[CreditNoteLine], WITHOUT_NULLS] = Field(default=[])


class Invoice(WireModel):
    """Invoice of a handle with all its transactions, oldest first; `id` is the PSP's own."""

    handle: Id
    id: Text = None
    currency: str
    transactions: list[Transaction] = Field(default=[])
    order_lines: Annotated[list[OrderLine], WITHOUT_NULLS] = Field(default=[])
    credit_notes: Annotated[list[CreditNote], WITHOUT_NULLS] = Field(default=[])


class Refund(WireModel):
    """Refund; its id is also that of its transaction."""

    id: Id
    state: str
    invoice: Id
    amount: MinorAmount
    currency: str
    created: Time = None
    ref_transaction: Text = None
    error: Text = None
    error_state: Text = None
    acquirer_message: Text = None


class Dispute(WireModel):
    """Dispute of a charge by the payer.

    The documented members hold neither a currency nor a transaction; both are read if sent.
    """

    id: Id
    state: str
    invoice: Id
    amount: MinorAmount
    currency: str | None = None
    transaction: str | None = None
    outcome: str | None = None
    outcome_amount: MinorAmount | None = None
    reason: Text = None
    resolved: Time = None


class UnreadableTimestamp(ValueError):
    """The timestamp that a notification's signature covers is not a time."""


class Notification(WireModel):
    """Notification; only id and timestamp are signed, the timestamp as it was sent."""

    id: Id
    timestamp: str
    signature: str
    event_type: Annotated[str | None, BOOKKEEPING] = None
    invoice: Annotated[Id | None, BOOKKEEPING] = None
    transaction: Annotated[Id | None, BOOKKEEPING] = None
    customer: Annotated[Id | None, BOOKKEEPING] = None

    @property
    def at(self) -> datetime:
        """Return the timestamp as a time. Raises `UnreadableTimestamp`."""
        try:
            sent = datetime.fromisoformat(self.timestamp)
        except ValueError:
            raise UnreadableTimestamp("The notification's timestamp is not readable") from None
        return sent if sent.tzinfo else sent.replace(tzinfo=UTC)
