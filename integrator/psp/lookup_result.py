"""Interpretation of an adapter's answer to a look-up: found, proven absent or unknown."""

from dataclasses import dataclass

from integrator.psp.types import (
    Absent,
    IdempotencySemantics,
    Lookup,
    LookupAnswer,
    Outcome,
)


@dataclass(frozen=True)
class LookupResult:
    """What a look-up has established.

    Without `outcome` nothing was found; that no money has moved only if `absence_proven`.
    """

    outcome: Outcome | None = None
    absence_proven: bool = False


def interpret_answer(
    answer: LookupAnswer, lookup: Lookup, semantics: IdempotencySemantics
) -> LookupResult:
    """Return what an adapter's answer to `lookup` establishes.

    An answer None proves as much as the adapter declares. Nothing is proven about a transaction
    that the PSP has given an id: an object existed.
    """
    match answer:
        case None:
            proven = semantics.consistent_lookup
        case Absent():
            proven = answer.proven
        case _:
            return LookupResult(outcome=answer)
    return LookupResult(absence_proven=proven and lookup.psp_id is None)
