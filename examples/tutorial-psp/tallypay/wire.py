"""TallyPay's objects, and what they mean to the port."""

from typing import ClassVar

from pydantic import Field

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.toolkit.code_table import meanings
from integrator.psp.toolkit.instruments import instrument
from integrator.psp.toolkit.money import to_major
from integrator.psp.toolkit.outcomes import failed
from integrator.psp.toolkit.wire import Id, Minor, Wire
from integrator.psp.types import Approved, Declined, Fact, FactKind, Outcome, Pending

CODES = meanings(
    {
        Code.BearerInvalid: "no_mandate",
        Code.InsufficientBalance: "no_funds",
        Code.InvalidAmount: "too_much",
        Code.InvalidIBAN: "bad_iban",
        Code.Rejected: "refused",
    }
)


class Problem(Wire):
    """Why TallyPay did not do what it was asked."""

    code: str = Field(pattern=r"^[a-z_]{1,40}$")
    text: str | None = None


class Error(Wire):
    """The one form of TallyPay's errors; anything else was said by somebody on the way."""

    problem: Problem


class Account(Wire):
    """The merchant's account."""

    id: Id


class Mandate(Account):
    """A mandate for direct debits."""

    reference: str
    state: str


class Payment(Mandate):
    """A payment."""

    fact: ClassVar[FactKind] = FactKind.PAID
    amount: Minor
    currency: str
    problem: Problem = Problem(code="refused")


class Refund(Payment):
    """A refund."""

    fact = FactKind.REFUNDED


def declined(problem: Problem, psp_id: str | None = None) -> Declined:
    """A definite no, to a request or of an object."""
    code = CODES.get(problem.code, Code.InvalidData)
    return failed(psp_id, code, problem.code, problem.text)


def outcome(made: Mandate, **bearer: str) -> Outcome:
    """Only a state that says so is final: one that TallyPay invents later is pending."""
    if isinstance(made, Payment) and made.state == "done":
        amount = to_major(made.amount, made.currency)
        return Approved(psp_id=made.id, facts=(Fact(kind=made.fact, id=made.id, amount=amount),))
    if isinstance(made, Payment) and made.state == "failed":
        return declined(made.problem, made.id)
    if made.state == "active":
        # A mandate's id is both what later charges need and its public name.
        stored = instrument({"mandate": made.id}, {**bearer, "MandateId": made.id})
        return Approved(psp_id=made.id, instrument=stored)
    return Pending(psp_id=made.id)
