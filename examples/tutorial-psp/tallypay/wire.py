"""TallyPay's wire models, and their mapping to the port."""

from typing import ClassVar

from pydantic import Field

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.toolkit.code_table import build_code_table
from integrator.psp.toolkit.instruments import build_instrument
from integrator.psp.toolkit.money import to_major
from integrator.psp.toolkit.outcomes import failed_outcome
from integrator.psp.toolkit.wire import Id, MinorAmount, WireModel
from integrator.psp.types import Approved, Declined, Fact, FactKind, Outcome, Pending

CODES = build_code_table(
    {
        Code.BearerInvalid: "no_mandate",
        Code.InsufficientBalance: "no_funds",
        Code.InvalidAmount: "too_much",
        Code.InvalidIBAN: "bad_iban",
        Code.Rejected: "refused",
    }
)


class Problem(WireModel):
    """Why TallyPay refused a request or failed an object."""

    code: str = Field(pattern=r"^[a-z_]{1,40}$")
    text: str | None = None


class Error(WireModel):
    """The only format of TallyPay's errors; anything else comes from a proxy."""

    problem: Problem


class Account(WireModel):
    """The merchant's account."""

    id: Id


class Mandate(Account):
    """A mandate for direct debits."""

    reference: str
    state: str


class Payment(Mandate):
    """A payment."""

    fact: ClassVar[FactKind] = FactKind.PAID
    amount: MinorAmount
    currency: str
    problem: Problem = Problem(code="refused")


class Refund(Payment):
    """A refund."""

    fact = FactKind.REFUNDED


def build_decline(problem: Problem, psp_id: str | None = None) -> Declined:
    """Return the decline of a request or of an object."""
    code = CODES.get(problem.code, Code.InvalidData)
    return failed_outcome(psp_id, code, problem.code, problem.text)


def build_outcome(item: Mandate, **bearer: str) -> Outcome:
    """Map an object to an outcome.

    Only documented states are final: a state that TallyPay adds later is pending.
    """
    if isinstance(item, Payment) and item.state == "done":
        amount = to_major(item.amount, item.currency)
        return Approved(psp_id=item.id, facts=(Fact(kind=item.fact, id=item.id, amount=amount),))
    if isinstance(item, Payment) and item.state == "failed":
        return build_decline(item.problem, item.id)
    if item.state == "active":
        # A mandate's id is both the token of later charges and its public name.
        instrument = build_instrument({"mandate": item.id}, {**bearer, "MandateId": item.id})
        return Approved(psp_id=item.id, instrument=instrument)
    return Pending(psp_id=item.id)
