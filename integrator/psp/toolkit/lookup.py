"""Finding again what was made at a PSP."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from integrator.psp.toolkit.outcomes import Referenced, merge_outcomes, verify_reference
from integrator.psp.types import Lookup, Outcome

R = TypeVar("R", bound=Referenced)


@dataclass(frozen=True)
class ObjectKind(Generic[R]):
    """A kind of object: where it is, how its ids begin, and what one comes to."""

    model: type[R]
    path: str
    prefix: str
    outcome: Callable[[R], Outcome]
    expand: tuple[str, ...] = ()
    """Members that the PSP shows in full only if it is asked to."""


async def fetch(
    lookup: Lookup,
    kinds: Sequence[ObjectKind[Any]],
    *,
    get: Callable[[ObjectKind[Any], str], Awaitable[Any | None]],
    find: Callable[[ObjectKind[Any]], Awaitable[Sequence[Any]]],
    searched: Sequence[ObjectKind[Any]] | None = None,
) -> Outcome | None:
    """What a transaction has come to that may be an object of one of these kinds.

    By the PSP's id, with `get`; by our reference, with `find`, if there is no id or the PSP does
    not know it. `searched` are the kinds to be found by our reference, if that is not all.
    """
    for kind in kinds:
        if lookup.psp_id is not None and lookup.psp_id.startswith(kind.prefix):
            named = await get(kind, lookup.psp_id)
            if named is not None:
                return kind.outcome(verify_reference(named, lookup))
    for kind in kinds if searched is None else searched:
        found = await find(kind)
        if found:
            return merge_outcomes([kind.outcome(verify_reference(item, lookup)) for item in found])
    return None
