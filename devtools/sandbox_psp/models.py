"""Stored objects: amounts in minor units, times ISO 8601 UTC, days yyyy-MM-dd."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel


class Record(BaseModel):
    """Base of every stored object; `hidden_fields` names the fields that never leave the PSP.

    `extra` holds the data of an emulator.
    """

    kind: ClassVar[str]
    hidden_fields: ClassVar[set[str]] = {"account"}

    id: str
    account: str
    reference: str | None
    extra: dict[str, Any] = {}

    def public_fields(self) -> dict[str, Any]:
        """Return the object's own public fields, JSON-ready; related objects appear as ids."""
        return self.model_dump(mode="json", exclude=self.hidden_fields | {"extra"})


class Failure(BaseModel):
    """Reason of a failure: a code for programs, a sentence for readers."""

    code: str
    message: str


class CardDetails(BaseModel):
    """A card without its number; `masked` keeps the first six and last four digits."""

    brand: str
    country: str
    exp_month: str
    exp_year: str
    holder: str
    last4: str
    masked: str


class DebitDetails(BaseModel):
    """A bank account."""

    holder: str
    iban: str
    bic: str | None


class PaymentMethod(Record):
    """A stored card. `decline` is the issuer's answer to every later use, None if it pays."""

    kind: ClassVar[str] = "payment_method"
    hidden_fields: ClassVar[set[str]] = {"account", "reference", "decline"}

    type: Literal["card", "sepa_debit"] = "card"
    currency: str | None = None
    customer: str
    status: Literal["active"] = "active"
    card: CardDetails | None = None
    sepa_debit: DebitDetails | None = None
    decline: Failure | None = None


class Mandate(Record):
    """A signed SEPA direct debit mandate; chargeable like a payment method."""

    kind: ClassVar[str] = "mandate"

    status: Literal["active"] = "active"
    holder: str
    iban: str
    bic: str | None = None
    currency: str = "EUR"
    customer: str

    def as_payment_method(self) -> PaymentMethod:
        """Return the mandate as a payment method."""
        details = DebitDetails(holder=self.holder, iban=self.iban, bic=self.bic)
        return PaymentMethod(
            id=self.id,
            account=self.account,
            reference=None,
            type="sepa_debit",
            currency=self.currency,
            customer=self.customer,
            sepa_debit=details,
        )


class Authorization(Record):
    """Money held on a card until captured, voided or expired. `payment_method` is an id here."""

    kind: ClassVar[str] = "authorization"

    status: Literal["authorized", "pending", "declined", "voided", "captured", "expired"]
    amount: int
    amount_captured: int = 0
    currency: str
    expires_at: str
    payment_method: str
    failure: Failure | None = None
    created_at: str


class ChargebackReversal(BaseModel):
    """Money of a chargeback that the payer's bank returned, as after a dispute that was won."""

    id: str
    amount: int
    booked_on: str


class Chargeback(BaseModel):
    """Money the payer's bank took back, the fee it charged, and what it returned later."""

    id: str
    amount: int
    fee_amount: int
    booked_on: str
    reason_code: str
    reason_message: str
    reversals: list[ChargebackReversal] = []

    @property
    def remaining_amount(self) -> int:
        """Return what did not come back."""
        return self.amount - sum(reversal.amount for reversal in self.reversals)


class Charge(Record):
    """Money taken from a payment method; `authorization` is set for captures."""

    kind: ClassVar[str] = "charge"

    status: Literal["succeeded", "pending", "failed", "declined"]
    amount: int
    currency: str
    payment_method: str
    authorization: str | None = None
    booked_on: str | None = None
    execute_on: str | None = None
    description: str | None = None
    amount_refunded: int = 0
    chargebacks: list[Chargeback] = []
    failure: Failure | None = None
    created_at: str


class Refund(Record):
    """A refund of a charge; `charge` is its id."""

    kind: ClassVar[str] = "refund"

    status: Literal["succeeded", "pending", "failed"]
    charge: str
    amount: int
    currency: str
    booked_on: str | None = None
    description: str | None = None
    failure: Failure | None = None
    created_at: str


class Customer(BaseModel):
    """The payer, as far as the merchant named one."""

    name: str | None = None
    email: str | None = None


class CheckoutSession(Record):
    """One visit to the hosted page. `authorization` and `payment_method` are ids here.

    `challenged` is the payment method waiting for its 3-D Secure confirmation.
    """

    kind: ClassVar[str] = "checkout_session"
    hidden_fields: ClassVar[set[str]] = {"account", "challenged"}

    status: Literal["open", "completed", "failed", "cancelled", "expired"] = "open"
    mode: Literal["authorize", "setup"]
    url: str
    amount: int
    currency: str
    success_url: str
    error_url: str
    cancel_url: str
    description: str | None = None
    language: str | None = None
    customer: Customer | None = None
    line: dict[str, Any] | None = None
    authorization: str | None = None
    payment_method: str | None = None
    failure: Failure | None = None
    challenged: str | None = None
    expires_at: str
    created_at: str
