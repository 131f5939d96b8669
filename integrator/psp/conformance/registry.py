"""What a check is, and the list of those that have been imported."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from integrator.psp.conformance.context import CheckContext

Cases = Callable[["CheckContext"], Iterable[tuple[str, Any]]]
"""(label, value) of every case of a check for an adapter."""


@dataclass(frozen=True)
class Check:
    """One rule; `run` is called once per case with the world and, if there are cases, the value."""

    area: str
    name: str
    rule: str
    run: Callable[..., Awaitable[None]]
    cases: Cases | None

    @property
    def id(self) -> str:
        """`area.name`."""
        return f"{self.area}.{self.name}"


_CHECKS: dict[str, Check] = {}


def check(
    cases: Cases | None = None,
) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., Awaitable[None]]]:
    """Register an async function as a check; its docstring is the rule."""

    def register(run: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        area = run.__module__.rpartition(".")[2]
        made = Check(area, run.__name__, " ".join((run.__doc__ or "").split()), run, cases)
        if made.id in _CHECKS:
            raise ValueError(f"There is a check {made.id} already.")
        _CHECKS[made.id] = made
        return run

    return register


def registered() -> list[Check]:
    """The checks of all areas that were imported, in that order."""
    return list(_CHECKS.values())
