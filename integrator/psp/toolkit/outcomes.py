"""What adapters do with outcomes, whatever the PSP."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Protocol, TypeVar

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.errors import ProtocolError
from integrator.psp.toolkit.redaction import sentence
from integrator.psp.types import Call, Declined, Fact, FactKind, Lookup, Outcome, RedirectRequired

_RANKS = ("declined", "pending", "redirect", "approved")

NOTHING_HELD = Declined(code=Code.InvalidPreconditions, message="No money is held under this id.")


class UnsupportedRequestError(ValueError):
    """What the PSP can never be asked for; nothing was sent. `code` says why."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


def require(condition: object, code: Code, message: str) -> None:
    """Raise `ImpossibleError` unless the condition is true; `declining` makes a decline of it."""
    if not condition:
        raise UnsupportedRequestError(code, message)


class Referenced(Protocol):
    """An object of the PSP's that carries our reference, if it was us who made it."""

    @property
    def reference(self) -> str | None:
        """Our transaction id."""


R = TypeVar("R", bound=Referenced)


def verify_reference(found: R, asked: Call | Lookup) -> R:
    """`found`, if it is what was asked for; raises `ProtocolError` for somebody else's object."""
    require_ours(asked, found.reference, getattr(found, "currency", None))
    return found


def require_ours(asked: Call | Lookup, reference: str | None, currency: str | None) -> None:
    """Raise `ProtocolError` for an object of another transaction or in another currency.

    The amounts of another currency would be read with the wrong number of decimals.
    """
    if reference not in (None, asked.reference):
        raise ProtocolError("The PSP answered with an object of another transaction.")
    if currency not in (None, asked.currency):
        raise ProtocolError("The PSP answered in another currency.")


def merge_outcomes(outcomes: Sequence[Outcome]) -> Outcome | None:
    """One outcome for all objects of one reference: the furthest, with the facts of all.

    There is more than one only after a repetition the PSP did not recognise; then every movement
    has to show. None without any.
    """
    if not outcomes:
        return None
    best = max(outcomes, key=lambda outcome: _RANKS.index(outcome.outcome))
    if isinstance(best, RedirectRequired):
        return best
    facts = tuple(fact for outcome in outcomes for fact in getattr(outcome, "facts", ()))
    return best.model_copy(update={"facts": facts})


def failed(
    psp_id: str | None, code: Code, psp_code: str | None = None, text: str | None = None
) -> Declined:
    """A definite no in the PSP's own words; `text` is its sentence, which may hold anything."""
    return Declined(psp_id=psp_id, code=code, psp_code=psp_code, message=sentence(text))


def ended(psp_id: str | None, status: Status, message: str) -> Declined:
    """Withdrawn (`Cancelled`), or out of time (`Expired`)."""
    code = Code.Canceled if status is Status.Cancelled else Code.UnmappedError
    return Declined(psp_id=psp_id, code=code, status=status, message=message)


def paid(id: str, amount: Decimal, booked_on: date | None = None) -> Fact:
    """Money taken."""
    return Fact(kind=FactKind.PAID, id=id, amount=amount, booked_on=booked_on)


def refunded(id: str, amount: Decimal, booked_on: date | None = None) -> Fact:
    """Money given back."""
    return Fact(kind=FactKind.REFUNDED, id=id, amount=amount, booked_on=booked_on)
