"""The checks, one module per area. Importing an area registers its checks."""

from importlib import import_module

from integrator.psp.conformance.registry import Check, registered_checks

AREAS = (
    "capabilities",
    "settings",
    "signups",
    "reservations",
    "payments",
    "refunds",
    "amounts",
    "movements",
    "requests",
    "idempotency",
    "outages",
    "responses",
    "lookups",
    "signatures",
    "notifications",
    "lists",
    "secrets",
)


def all_checks() -> list[Check]:
    """Return every check, in the order of the areas."""
    for area in AREAS:
        import_module(f"{__name__}.{area}")
    return registered_checks()
