"""What checks demand; every failure says which rule is broken and what was found instead."""

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


def equal(found: object, wanted: object, what: str) -> None:
    """Raise `Violation` unless both are the same."""
    require(found == wanted, f"{what}: {wanted!r} was to be expected, {found!r} was found")


def approved(outcome: Outcome | None) -> Approved:
    """The outcome, which must be an approval."""
    if not isinstance(outcome, Approved):
        raise Violation(f"Approved was to be expected, not {shown(outcome)}")
    return outcome


def redirected(outcome: Outcome | None) -> RedirectRequired:
    """The outcome, which must ask for a redirect."""
    if not isinstance(outcome, RedirectRequired):
        raise Violation(f"RedirectRequired was to be expected, not {shown(outcome)}")
    return outcome


def declined(
    outcome: Outcome | None, code: Code | None = None, status: Status = Status.Failed
) -> Declined:
    """The outcome, which must be a decline with this code (None: any but a wrong key's)."""
    if not isinstance(outcome, Declined):
        raise Violation(f"Declined was to be expected, not {shown(outcome)}")
    equal(outcome.status, status, "the status of the decline")
    if code is not None:
        equal(outcome.code, code, "the code of the decline")
    require(
        outcome.code not in (Code.LoginError, Code.PermissionDenied),
        f"A decline must not say {outcome.code}: it makes the platform switch the PSP off.",
    )
    return outcome


def facts(outcome: Outcome | None) -> tuple[Fact, ...]:
    """The facts of an outcome that may have some."""
    return outcome.facts if isinstance(outcome, Approved | Pending | Declined) else ()


def sums(outcome: Outcome | None) -> list[tuple[FactKind, Decimal]]:
    """(kind, amount) of the outcome's facts."""
    return [(fact.kind, fact.amount) for fact in facts(outcome)]


def same_movement(found: Outcome | None, made: Outcome | None) -> None:
    """Both are about one object: the same id, and the same facts under the same ids."""
    pairs = [
        (getattr(outcome, "psp_id", None), {(f.kind, f.id, f.amount) for f in facts(outcome)})
        for outcome in (found, made)
    ]
    equal(pairs[0], pairs[1], "the id and the facts of the look-up")


def one_fact(outcome: Outcome | None, kind: FactKind, amount: Decimal) -> None:
    """The outcome approves of exactly this."""
    equal(sums(approved(outcome)), [(kind, amount)], "the facts")


async def raises(
    call: Awaitable[object],
    *errors: type[PspError],
    never: Iterable[type[PspError]] = (),
) -> PspError:
    """The error, which the call must raise: one of `errors` and none of `never`."""
    names = " or ".join(error.__name__ for error in errors)
    try:
        answer = await call
    except errors as error:
        forbidden = [kind.__name__ for kind in never if isinstance(error, kind)]
        require(not forbidden, f"{type(error).__name__} is wrong here; {names} is right")
        return error
    except PspError as error:
        raise Violation(
            f"{names} was to be expected, not {type(error).__name__}: {error}"
        ) from error
    raise Violation(f"{names} was to be expected, not the answer {shown(answer)}")


def shown(answer: object) -> str:
    """An answer in one line."""
    return "nothing found (None)" if answer is None else f"{type(answer).__name__}({answer})"
