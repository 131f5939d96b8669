"""Adapters and the merchants that use them."""

from collections.abc import AsyncIterator

from integrator.operations.checks.result import CheckResult, ok, problem, warning
from integrator.psp import registry
from integrator.psp.integration_info import SettingsRefused, parse_settings
from integrator.store.database import Store
from integrator.store.models import Merchant


def adapters() -> CheckResult:
    """Whether there are any, and whether they can be loaded."""
    names = registry.names()
    broken = []
    for name in names:
        try:
            registry.adapter(name)
        except (ImportError, AttributeError) as error:
            broken.append(f"{name} ({type(error).__name__})")
    if broken or not names:
        text = f"cannot be loaded: {', '.join(broken)}" if broken else "none is installed"
        return problem("PSP adapters", text, "Install the package again.")
    return ok("PSP adapters", ", ".join(names))


async def merchants(store: Store) -> AsyncIterator[CheckResult]:
    """Whether each merchant's PSP can be used with its settings."""
    every = await store.merchants()
    if not every:
        yield warning("merchants", "there is none", "Add one: `integrator merchant add`.")
    for merchant in every:
        yield await _merchant(store, merchant)


async def _merchant(store: Store, merchant: Merchant) -> CheckResult:
    name = f"merchant {merchant.id}"
    try:
        adapter = registry.adapter(merchant.psp)
    except registry.UnknownPsp as error:
        return problem(name, str(error), "Install the adapter's package.")
    values = await store.settings(merchant.id)
    if values is None:
        text = f"has no settings for {merchant.psp} yet"
        return warning(name, text, "Fill in the PSP's settings in Billwerk+.")
    try:
        parse_settings(adapter, values)
    except SettingsRefused as error:
        advice = f"Complete them in Billwerk+; `integrator settings show {merchant.id}`."
        return problem(name, f"{merchant.psp}: {error}", advice)
    return ok(name, f"the settings for {merchant.psp} are complete")
