"""Assertions of the checks; a failure names the broken rule and the actual value."""

from collections.abc import Awaitable, Iterable
from decimal import Decimal

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.conformance.results import Violation
from integrator.psp.errors import PspError
from integrator.psp.types import (
    Approved,
    Declined,
    Fact,
    FactKind,
    Outcome,
    Pending,
    RedirectRequired,
)


def require(condition: object, rule: str) -> None:
    """Raise `Violation` unless the condition holds."""
    if not condition:
        raise Violation(rule)


def require_equal(actual: object, expected: object, subject: str) -> None:
    """Raise `Violation` unless both values are equal."""
    require(actual == expected, f"{subject}: expected {expected!r}, got {actual!r}")


def require_approved(outcome: Outcome | None) -> Approved:
    """Return the outcome, which must be an approval."""
    if not isinstance(outcome, Approved):
        raise Violation(f"Expected Approved, got {describe(outcome)}")
    return outcome


def require_redirect(outcome: Outcome | None) -> RedirectRequired:
    """Return the outcome, which must ask for a redirect."""
    if not isinstance(outcome, RedirectRequired):
        raise Violation(f"Expected RedirectRequired, got {describe(outcome)}")
    return outcome


def require_declined(
    outcome: Outcome | None, code: Code | None = None, status: Status = Status.Failed
) -> Declined:
    """Return the outcome, which must be a decline with this code.

    `code` None: any code but those of rejected credentials.
    """
    if not isinstance(outcome, Declined):
        raise Violation(f"Expected Declined, got {describe(outcome)}")
    require_equal(outcome.status, status, "the status of the decline")
    if code is not None:
        require_equal(outcome.code, code, "the code of the decline")
    require(
        outcome.code not in (Code.LoginError, Code.PermissionDenied),
        f"A decline must not use {outcome.code}: it makes Billwerk+ switch the PSP off.",
    )
    return outcome


def facts_of(outcome: Outcome | None) -> tuple[Fact, ...]:
    """Return the facts of an outcome; none for outcomes that carry no facts."""
    return outcome.facts if isinstance(outcome, Approved | Pending | Declined) else ()


def fact_amounts(outcome: Outcome | None) -> list[tuple[FactKind, Decimal]]:
    """Return (kind, amount) of the outcome's facts."""
    return [(fact.kind, fact.amount) for fact in facts_of(outcome)]


def require_same_movement(fetched: Outcome | None, returned: Outcome | None) -> None:
    """Require the same PSP id and the same facts with the same ids."""
    pairs = [
        (getattr(outcome, "psp_id", None), {(f.kind, f.id, f.amount) for f in facts_of(outcome)})
        for outcome in (fetched, returned)
    ]
    require_equal(pairs[0], pairs[1], "the id and the facts of the look-up")


def require_single_fact(outcome: Outcome | None, kind: FactKind, amount: Decimal) -> None:
    """Require an approval with exactly this fact."""
    require_equal(fact_amounts(require_approved(outcome)), [(kind, amount)], "the facts")


async def require_raises(
    call: Awaitable[object],
    *errors: type[PspError],
    never: Iterable[type[PspError]] = (),
) -> PspError:
    """Return the error raised by the call: one of `errors` and none of `never`."""
    names = " or ".join(error.__name__ for error in errors)
    try:
        result = await call
    except errors as error:
        forbidden = [kind.__name__ for kind in never if isinstance(error, kind)]
        require(not forbidden, f"Expected {names}, got {type(error).__name__}")
        return error
    except PspError as error:
        raise Violation(f"Expected {names}, got {type(error).__name__}: {error}") from error
    raise Violation(f"Expected {names}, but the call returned {describe(result)}")


def describe(result: object) -> str:
    """Return a result as one line of text."""
    return "nothing found (None)" if result is None else f"{type(result).__name__}({result})"
