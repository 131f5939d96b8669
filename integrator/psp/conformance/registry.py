"""Checks, and the registry of those that have been imported."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from integrator.psp.conformance.context import CheckContext

Cases = Callable[["CheckContext"], Iterable[tuple[str, Any]]]
"""(label, value) of every case of a check for an adapter."""


@dataclass(frozen=True)
class Check:
    """One rule; `run` is called once per case with the context and, if any, the case's value."""

    area: str
    name: str
    rule: str
    run: Callable[..., Awaitable[None]]
    cases: Cases | None

    @property
    def id(self) -> str:
        """Return `area.name`."""
        return f"{self.area}.{self.name}"


_CHECKS: dict[str, Check] = {}


def check(
    cases: Cases | None = None,
) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., Awaitable[None]]]:
    """Register an async function as a check; its docstring is the rule."""

    def register(run: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        area = run.__module__.rpartition(".")[2]
        registered = Check(area, run.__name__, " ".join((run.__doc__ or "").split()), run, cases)
        if registered.id in _CHECKS:
            raise ValueError(
                f"The check {registered.id} is registered already; rename one of the two."
            )
        _CHECKS[registered.id] = registered
        return run

    return register


def registered_checks() -> list[Check]:
    """Return the checks of all imported areas, in the order of import."""
    return list(_CHECKS.values())
