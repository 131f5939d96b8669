"""Building, verifying and merging outcomes and facts."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Protocol, TypeVar

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.errors import ProtocolError
from integrator.psp.toolkit.redaction import redact
from integrator.psp.types import Call, Declined, Fact, FactKind, Lookup, Outcome, RedirectRequired

_RANKS = ("declined", "pending", "redirect", "approved")

NOTHING_HELD = Declined(code=Code.InvalidPreconditions, message="No money is held under this id.")


class UnsupportedRequestError(ValueError):
    """Request that the PSP cannot carry out and that was not sent; `code` says why."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


def require(condition: object, code: Code, message: str) -> None:
    """Raise `UnsupportedRequestError` unless the condition is true.

    `returns_declines` turns it into a decline.
    """
    if not condition:
        raise UnsupportedRequestError(code, message)


class Referenced(Protocol):
    """Object of the PSP that holds our reference if we created it."""

    @property
    def reference(self) -> str | None:
        """Return our transaction id."""


R = TypeVar("R", bound=Referenced)


def verify_reference(psp_object: R, request: Call | Lookup) -> R:
    """Return `psp_object` if it belongs to the request; raises `ProtocolError` otherwise."""
    require_match(request, psp_object.reference, getattr(psp_object, "currency", None))
    return psp_object


def require_match(request: Call | Lookup, reference: str | None, currency: str | None) -> None:
    """Raise `ProtocolError` for an object of another transaction or in another currency.

    The amounts of another currency would be read with the wrong number of decimals.
    """
    if reference not in (None, request.reference):
        raise ProtocolError("The PSP returned an object of another transaction.")
    if currency not in (None, request.currency):
        raise ProtocolError("The PSP returned an object in another currency.")


def merge_outcomes(outcomes: Sequence[Outcome]) -> Outcome | None:
    """Merge the outcomes of all objects with one reference: the most advanced, with all facts.

    There is more than one only after a repetition that the PSP did not recognise; then every
    movement must be reported. None if there are no outcomes.
    """
    if not outcomes:
        return None
    best = max(outcomes, key=lambda outcome: _RANKS.index(outcome.outcome))
    if isinstance(best, RedirectRequired):
        return best
    facts = tuple(fact for outcome in outcomes for fact in getattr(outcome, "facts", ()))
    return best.model_copy(update={"facts": facts})


def failed_outcome(
    psp_id: str | None, code: Code, psp_code: str | None = None, text: str | None = None
) -> Declined:
    """Build a decline with the PSP's own code and message; `text` is redacted."""
    return Declined(psp_id=psp_id, code=code, psp_code=psp_code, message=redact(text))


def ended_outcome(psp_id: str | None, status: Status, message: str) -> Declined:
    """Build the decline of a cancelled (`Cancelled`) or expired (`Expired`) object."""
    code = Code.Canceled if status is Status.Cancelled else Code.UnmappedError
    return Declined(psp_id=psp_id, code=code, status=status, message=message)


def paid_fact(id: str, amount: Decimal, booked_on: date | None = None) -> Fact:
    """Build the fact of a payment."""
    return Fact(kind=FactKind.PAID, id=id, amount=amount, booked_on=booked_on)


def refunded_fact(id: str, amount: Decimal, booked_on: date | None = None) -> Fact:
    """Build the fact of a refund."""
    return Fact(kind=FactKind.REFUNDED, id=id, amount=amount, booked_on=booked_on)
