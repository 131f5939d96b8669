"""What customers and the platform can do, and how it may end.

Every operation carries the outcomes it may end with; `Waiting` is one that stays open because
the customer never comes back.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Kind = Literal["preauth", "payment", "refund"]
Role = Literal["CreditCard", "Debit"]
Visit = Literal["pay", "confirm", "fail", "cancel", "abandon", "none"]

SUCCEEDED = "Succeeded"
CANCELLED = "Cancelled"
EXPIRED = "Expired"
WAITING = "Waiting"
POOR = "Failed:InsufficientBalance"
EXPIRED_CARD = "Failed:BearerExpired"
REJECTED = "Failed:Rejected"
TOO_MUCH = "Failed:InvalidAmount"
FORBIDDEN = "Failed:InvalidPreconditions"

GOOD_CARD = "4242424242424242"
SECURE_CARD = "4000002500003155"
BAD_CARDS = {
    "4000000000000002": REJECTED,
    "4000000000009995": POOR,
    "4000000000000069": EXPIRED_CARD,
}
GOOD_IBAN = "DE89370400440532013000"
FAILING_IBAN = "DE62370400440532013001"
RETURNED_IBAN = "DE35370400440532013002"
WRONG_IBAN = "DE00370400440532013000"

CARD_ENDINGS = {"01": POOR, "02": EXPIRED_CARD, "06": REJECTED}
DEBIT_ENDINGS = {"01": POOR, "02": REJECTED, "05": SUCCEEDED, "06": REJECTED, "07": SUCCEEDED}
ENDINGS = tuple(f"{number:02}" for number in range(12))


@dataclass(frozen=True)
class Manner:
    """How the platform asks: `copies` at once, giving up the first attempt after `patience`.

    `clash`: once more afterwards, with another amount.
    """

    copies: int = 1
    patience: float | None = None
    clash: bool = False


@dataclass(frozen=True)
class Refund:
    """Money to be given back."""

    id: str
    payment: str
    amount: Decimal
    expected: frozenset[str]
    manner: Manner = Manner()


@dataclass(frozen=True)
class Payment:
    """A capture (of `preauth`) or a charge; `together`: its refunds are asked for at once."""

    id: str
    agreement: str
    role: Role
    amount: Decimal
    expected: frozenset[str]
    preauth: str | None = None
    manner: Manner = Manner()
    refunds: tuple[Refund, ...] = ()
    together: bool = False


@dataclass(frozen=True)
class Preauth:
    """A sign-up or an upgrade and what follows, one payment after the other.

    `cancel`: before anything else, at the same time as the first payment (`race`), or never.
    """

    id: str
    agreement: str
    role: Role
    amount: Decimal
    expected: frozenset[str]
    initial: bool = True
    visit: Visit = "none"
    card: str = GOOD_CARD
    iban: str | None = None
    finalize: bool = True
    manner: Manner = Manner()
    cancel: Literal["no", "alone", "race"] = "no"
    payments: tuple[Payment, ...] = ()
    upgrades: tuple["Preauth", ...] = ()

    @property
    def transactions(self) -> int:
        """How many transactions this is, with all that follows."""
        refunds = sum(len(payment.refunds) for payment in self.payments)
        return 1 + len(self.payments) + refunds + sum(u.transactions for u in self.upgrades)
