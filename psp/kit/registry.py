"""The list of checks, and what one of them is."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psp.kit.world import World

Cases = Callable[["World"], Iterable[tuple[str, Any]]]
"""(label, value) of every case of a check for an adapter."""


class CannotBeProvoked(Exception):
    """The check does not apply to this adapter or bench; the text says why."""


class Violation(AssertionError):
    """The adapter breaks a rule of the port; the text says which and how."""


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


def all_checks() -> list[Check]:
    """Every check, in the order of the areas."""
    # Imported here: the areas register themselves and need the decorator above.
    from psp.kit import checks

    checks.load()
    return list(_CHECKS.values())
