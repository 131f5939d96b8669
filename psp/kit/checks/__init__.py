"""The checks, one module per area. Importing an area registers its checks."""

from importlib import import_module

AREAS = (
    "sheet",
    "settings",
    "signups",
    "reservations",
    "payments",
    "refunds",
    "amounts",
    "repeats",
    "outages",
    "answers",
    "lookups",
    "signatures",
    "notices",
    "lists",
    "secrecy",
)


def load() -> None:
    """Import every area."""
    for area in AREAS:
        import_module(f"{__name__}.{area}")
