"""TallyPay's objects and errors, and what they mean to the port."""

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract.enums import PaymentErrorCode as Code
from psp.common.http import Answer, outage
from psp.common.money import to_major
from psp.common.texts import sentence
from psp.errors import CredentialsRejected
from psp.types import Approved, Declined, Fact, FactKind, Instrument, Outcome, Pending

CODES = {
    "bad_iban": Code.InvalidIBAN,
    "no_funds": Code.InsufficientBalance,
    "no_mandate": Code.BearerInvalid,
    "refused": Code.Rejected,
    "too_much": Code.InvalidAmount,
}


class Wire(BaseModel):
    """Base of everything read from TallyPay; unknown members are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Problem(Wire):
    """Why TallyPay did not do what it was asked."""

    code: str = Field(pattern=r"^[a-z_]{1,40}$")
    text: str | None = None


class Error(Wire):
    """The one form of TallyPay's errors; anything else was said by somebody on the way."""

    problem: Problem


class Account(Wire):
    """The merchant's account."""

    id: str = Field(min_length=1)


class Mandate(Account):
    """A mandate for direct debits."""

    reference: str
    state: str


class Payment(Mandate):
    """A payment; `amount` is in minor units."""

    fact: ClassVar[FactKind] = FactKind.PAID
    amount: Annotated[int, Field(strict=True, ge=0, le=10**15)]
    currency: str
    problem: Problem = Problem(code="refused")


class Refund(Payment):
    """A refund."""

    fact = FactKind.REFUNDED


class RefusedError(Exception):
    """TallyPay's definite no."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


def refusal(answer: Answer) -> Exception:
    """What an answer other than 2xx means: a definite no, a wrong token or an outage."""
    try:
        problem = Error.model_validate_json(answer.body).problem
    except ValidationError:
        return outage(answer)
    if answer.status == 401 and problem.code == "bad_token":
        return CredentialsRejected("TallyPay does not accept the token", psp_code=problem.code)
    if answer.status in (404, 422):
        return RefusedError(problem)
    return outage(answer, problem.code)


def declined(problem: Problem, psp_id: str | None = None) -> Declined:
    """A definite no, to a request or of an object."""
    code = CODES.get(problem.code, Code.InvalidData)
    text = sentence(problem.text)
    return Declined(psp_id=psp_id, code=code, psp_code=problem.code, message=text)


def outcome(made: Mandate, **bearer: str) -> Outcome:
    """Only a state that says so is final: one that TallyPay invents later is pending."""
    if isinstance(made, Payment) and made.state == "done":
        amount = to_major(made.amount, made.currency)
        return Approved(psp_id=made.id, facts=(Fact(kind=made.fact, id=made.id, amount=amount),))
    if isinstance(made, Payment) and made.state == "failed":
        return declined(made.problem, made.id)
    if made.state == "active":
        # A mandate's id is both what later charges need and its public name.
        shown = {**bearer, "MandateId": made.id}
        return Approved(
            psp_id=made.id, instrument=Instrument(token={"mandate": made.id}, bearer=shown)
        )
    return Pending(psp_id=made.id)
