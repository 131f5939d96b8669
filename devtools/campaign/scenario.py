"""Planned operations of customers and Billwerk+, each with its possible outcomes.

The outcome `Waiting` is that of a transaction that stays open because the customer never returns.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

TransactionKind = Literal["preauth", "payment", "refund"]
Role = Literal["CreditCard", "Debit"]
CheckoutAction = Literal["pay", "confirm", "fail", "cancel", "abandon", "none"]

SUCCEEDED = "Succeeded"
CANCELLED = "Cancelled"
EXPIRED = "Expired"
WAITING = "Waiting"
INSUFFICIENT_FUNDS = "Failed:InsufficientBalance"
EXPIRED_CARD = "Failed:BearerExpired"
REJECTED = "Failed:Rejected"
AMOUNT_TOO_HIGH = "Failed:InvalidAmount"
PRECONDITION_FAILED = "Failed:InvalidPreconditions"
NEVER_SENT = "Failed:PSPConnectionTimeout"
"""Outcome of a transaction that was not sent, once the PSP proves that.

Either it was interrupted before, or it was refused by the integrator, but so late that only the
PSP could prove that no earlier attempt had been sent.
"""
OWN_REFUSALS = frozenset({AMOUNT_TOO_HIGH, PRECONDITION_FAILED})
"""Outcomes of transactions that the integrator may refuse by itself."""

GOOD_CARD = "4242424242424242"
SECURE_CARD = "4000002500003155"
BAD_CARDS = {
    "4000000000000002": REJECTED,
    "4000000000009995": INSUFFICIENT_FUNDS,
    "4000000000000069": EXPIRED_CARD,
}
GOOD_IBAN = "DE89370400440532013000"
FAILING_IBAN = "DE62370400440532013001"
RETURNED_IBAN = "DE35370400440532013002"
WRONG_IBAN = "DE00370400440532013000"

CARD_ENDINGS = {"01": INSUFFICIENT_FUNDS, "02": EXPIRED_CARD, "06": REJECTED}
DEBIT_ENDINGS = {
    "01": INSUFFICIENT_FUNDS,
    "02": REJECTED,
    "05": SUCCEEDED,
    "06": REJECTED,
    "07": SUCCEEDED,
}
ENDINGS = tuple(f"{number:02}" for number in range(12))


@dataclass(frozen=True)
class RequestPattern:
    """How Billwerk+ sends a request: `copies` concurrently, the first with `timeout`.

    `conflicting_repeat`: once more afterwards, with another amount.
    """

    copies: int = 1
    timeout: float | None = None
    conflicting_repeat: bool = False


@dataclass(frozen=True)
class PlannedRefund:
    """Planned refund."""

    id: str
    payment: str
    amount: Decimal
    expected: frozenset[str]
    pattern: RequestPattern = RequestPattern()


@dataclass(frozen=True)
class PlannedPayment:
    """Planned capture (of `preauth`) or charge; `concurrent_refunds`: send its refunds at once."""

    id: str
    agreement: str
    role: Role
    amount: Decimal
    expected: frozenset[str]
    preauth: str | None = None
    pattern: RequestPattern = RequestPattern()
    refunds: tuple[PlannedRefund, ...] = ()
    concurrent_refunds: bool = False


@dataclass(frozen=True)
class PlannedPreauth:
    """Planned sign-up or upgrade and the payments that follow one after the other.

    `cancel`: before the payments (`alone`), concurrently with the first (`race`), or never (`no`).
    """

    id: str
    agreement: str
    role: Role
    amount: Decimal
    expected: frozenset[str]
    initial: bool = True
    checkout_action: CheckoutAction = "none"
    card: str = GOOD_CARD
    iban: str | None = None
    finalize: bool = True
    pattern: RequestPattern = RequestPattern()
    cancel: Literal["no", "alone", "race"] = "no"
    payments: tuple[PlannedPayment, ...] = ()
    upgrades: tuple["PlannedPreauth", ...] = ()

    @property
    def transaction_count(self) -> int:
        """Return the number of transactions of this plan, including all that follow."""
        refunds = sum(len(payment.refunds) for payment in self.payments)
        return 1 + len(self.payments) + refunds + sum(u.transaction_count for u in self.upgrades)
