"""Registry of the installed PSP adapters, which are found by entry points of any package."""

from functools import cache
from importlib.metadata import entry_points

from integrator.psp.port import Adapter

GROUP = "integrator.psp"


class UnknownPsp(LookupError):
    """No installed package provides an adapter of that name."""


@cache
def get_adapter(name: str) -> Adapter:
    """Return the adapter called `name`; raises `UnknownPsp`."""
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            adapter: Adapter = entry.load()
            return adapter
    raise UnknownPsp(
        f"No PSP adapter called {name!r} is installed; known: {', '.join(adapter_names())}."
    )


def adapter_names() -> list[str]:
    """Return the names of all installed adapters, sorted."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})
