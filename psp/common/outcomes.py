"""What adapters do with outcomes, whatever the PSP: definite refusals, and several at once."""

from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from typing import Any, TypeVar

from psp.common.money import UnpayableError
from psp.types import Call, Declined, Outcome, RedirectRequired

S = TypeVar("S")
C = TypeVar("C", bound=Call)
R = TypeVar("R", bound=Exception)
Operation = Callable[[S, C], Coroutine[Any, Any, Outcome]]

_RANKS = ("declined", "pending", "redirect", "approved")


def declining(
    refusal: type[R], declined: Callable[[R, Call], Declined]
) -> Callable[[Operation[S, C]], Operation[S, C]]:
    """Make an operation return what it raises for a definite no.

    `refusal` is the adapter's exception for one, which `declined` words for the call; an amount
    that the PSP can never be asked for is one, too.
    """

    def decorate(operation: Operation[S, C]) -> Operation[S, C]:
        @wraps(operation)
        async def answered(self: S, call: C) -> Outcome:
            try:
                return await operation(self, call)
            except refusal as no:
                return declined(no, call)
            except UnpayableError as no:
                return Declined(code=no.code, message=str(no))

        return answered

    return decorate


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """One outcome for all objects of one reference: the furthest, with the facts of all.

    There is more than one only after a repetition the PSP did not recognise; then every movement
    has to show.
    """
    best = max(outcomes, key=lambda outcome: _RANKS.index(outcome.outcome))
    if isinstance(best, RedirectRequired):
        return best
    facts = tuple(fact for outcome in outcomes for fact in getattr(outcome, "facts", ()))
    return best.model_copy(update={"facts": facts})
