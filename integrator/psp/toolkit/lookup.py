"""Look-up of objects at a PSP by id or by our reference."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from integrator.psp.toolkit.outcomes import Referenced, merge_outcomes, verify_reference
from integrator.psp.types import Lookup, Outcome

R = TypeVar("R", bound=Referenced)


@dataclass(frozen=True)
class ObjectKind(Generic[R]):
    """Kind of object at the PSP: path, prefix of its ids and mapping to an outcome."""

    model: type[R]
    path: str
    prefix: str
    outcome: Callable[[R], Outcome]
    expand: tuple[str, ...] = ()
    """Members that the PSP returns in full only on request."""


async def fetch_outcome(
    lookup: Lookup,
    kinds: Sequence[ObjectKind[Any]],
    *,
    get: Callable[[ObjectKind[Any], str], Awaitable[Any | None]],
    find_by_reference: Callable[[ObjectKind[Any]], Awaitable[Sequence[Any]]],
    search_kinds: Sequence[ObjectKind[Any]] | None = None,
) -> Outcome | None:
    """Return the outcome of a transaction that is an object of one of `kinds`.

    The object is read by the PSP's id with `get`. If there is no id, or the PSP does not know it,
    it is searched by our reference with `find_by_reference`, among `search_kinds` if given.
    """
    for kind in kinds:
        if lookup.psp_id is not None and lookup.psp_id.startswith(kind.prefix):
            psp_object = await get(kind, lookup.psp_id)
            if psp_object is not None:
                return kind.outcome(verify_reference(psp_object, lookup))
    for kind in kinds if search_kinds is None else search_kinds:
        psp_objects = await find_by_reference(kind)
        if psp_objects:
            return merge_outcomes(
                [kind.outcome(verify_reference(item, lookup)) for item in psp_objects]
            )
    return None
