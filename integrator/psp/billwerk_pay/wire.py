"""The PSP's own objects, as far as they are read; sources: its generated SDKs and API reference.

Amounts are integers in units of `money.factor`, times ISO 8601 with an offset. Unknown members are
ignored and states are plain text, so that the PSP may add to both. Most objects hold personal
data: `repr` shows their ids only.
"""

from datetime import UTC, datetime
from typing import Generic, TypeVar

from pydantic import AwareDatetime, Field, RootModel

from integrator.psp.errors import NotificationRejected
from integrator.psp.toolkit.wire import Id, Minor, Wire

T = TypeVar("T")


class ErrorBody(Wire):
    """The PSP's own error format; `http_status` repeats the answer's status."""

    code: int = Field(strict=True, ge=1)
    error: str
    message: str | None = None
    http_status: int
    transaction_error: str | None = None


class Listed(Wire, Generic[T]):
    """A page of a list, newest first; without a token it is the last."""

    content: list[T]
    next_page_token: str | None = None


class Account(Wire):
    """The merchant's account; lists are asked for in its local time."""

    id: Id
    currency: str
    timezone: str


class WebhookSettings(Wire):
    """How the account's notifications are signed."""

    secret: str


class Session(Wire):
    """A visit to the hosted page, just opened."""

    id: Id
    url: str


class SessionInfo(Wire):
    """A visit to the hosted page, looked at again."""

    id: Id
    expires: AwareDatetime
    url: str | None = None


class SessionInfos(RootModel[list[SessionInfo]]):
    """All visits to the hosted page for one purpose."""


class CardDetails(Wire):
    """A card without its number; `exp_date` is MM-YY."""

    card_type: str | None = None
    card_country: str | None = None
    exp_date: str | None = None
    masked_card: str | None = None


class PaymentMethod(CardDetails):
    """A stored card; read by id its details are in `card`, among a customer's in itself.

    `reference` is the id of the session that stored it.
    """

    id: Id
    state: str
    customer: str | None = None
    reference: str | None = None
    card: CardDetails | None = None


class PaymentMethods(Wire):
    """Everything a customer has stored."""

    cards: list[PaymentMethod] = Field(default=[])


class Source(CardDetails):
    """What was charged; `card` is the id of a stored card."""

    card: str | None = None
    acquirer_message: str | None = None


class OrderLine(Wire):
    """What was sold, or settled, in the merchant's words."""

    ordertext: str | None = None
    amount: int = Field(strict=True)


class Charge(Wire):
    """One handle's payment; once settled, `amount` is what all its settles took."""

    handle: Id
    state: str
    amount: Minor
    currency: str
    created: AwareDatetime
    customer: str | None = None
    authorized: AwareDatetime | None = None
    settled: AwareDatetime | None = None
    authorized_amount: Minor | None = None
    transaction: str | None = None
    error: str | None = None
    error_state: str | None = None
    recurring_payment_method: str | None = None
    source: Source = Source()
    order_lines: list[OrderLine] = Field(default=[])


class CardTransaction(Wire):
    """The acquirer's side of a transaction."""

    error: str | None = None
    error_state: str | None = None
    acquirer_message: str | None = None
    ref_transaction: str | None = None


class Transaction(Wire):
    """One movement or reservation under a handle: `authorization`, `settle` or `refund`."""

    id: Id
    state: str
    type: str
    invoice: Id
    amount: Minor
    created: AwareDatetime
    currency: str | None = None
    authorized: AwareDatetime | None = None
    settled: AwareDatetime | None = None
    card_transaction: CardTransaction = CardTransaction()


class CreditNoteLine(Wire):
    """Why money was given back, in the merchant's words."""

    text: str | None = None


class CreditNote(Wire):
    """Made by every successful refund; `transaction` is the refund's id."""

    amount: Minor
    transaction: str | None = None
    credit_note_lines: list[CreditNoteLine] = Field(default=[])


class Invoice(Wire):
    """Everything under a handle, transactions oldest first."""

    handle: Id
    currency: str
    transactions: list[Transaction] = Field(default=[])
    order_lines: list[OrderLine] = Field(default=[])
    credit_notes: list[CreditNote] = Field(default=[])


class Refund(Wire):
    """Money given back; its id is that of its transaction, too."""

    id: Id
    state: str
    invoice: Id
    amount: Minor
    currency: str
    created: AwareDatetime
    error: str | None = None
    error_state: str | None = None
    acquirer_message: str | None = None


class Dispute(Wire):
    """A payer's complaint about a charge."""

    id: Id
    state: str
    invoice: Id
    amount: Minor
    outcome: str | None = None
    outcome_amount: Minor | None = None
    reason: str | None = None
    resolved: AwareDatetime | None = None


class Notification(Wire):
    """What has been signed, and what has not; `timestamp` is signed as it was sent."""

    id: Id
    timestamp: str
    signature: str
    event_type: str = ""
    invoice: str | None = None
    transaction: str | None = None
    customer: str | None = None

    @property
    def at(self) -> datetime:
        """Raises `NotificationRejected`."""
        try:
            sent = datetime.fromisoformat(self.timestamp)
        except ValueError:
            raise NotificationRejected("The notification's time cannot be read") from None
        return sent if sent.tzinfo else sent.replace(tzinfo=UTC)
