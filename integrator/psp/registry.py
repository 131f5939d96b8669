"""Finds PSP adapters by Python entry points, so that one can live in a package of its own."""

from functools import cache
from importlib.metadata import entry_points

from integrator.psp.port import Adapter

GROUP = "integrator.psp"


class UnknownPsp(LookupError):
    """No installed package offers an adapter of that name."""


@cache
def adapter(name: str) -> Adapter:
    """The adapter called `name`; raises `UnknownPsp`."""
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            loaded: Adapter = entry.load()
            return loaded
    raise UnknownPsp(f"No PSP adapter called {name!r} is installed; known: {', '.join(names())}.")


def names() -> list[str]:
    """The names of all installed adapters, sorted."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})
