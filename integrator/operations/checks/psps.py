"""Checks of PSP adapters and of the merchants that use them."""

from collections.abc import AsyncIterator

from integrator.operations.checks.result import CheckResult, ok, problem, warning
from integrator.psp import registry
from integrator.psp.integration_info import SettingsRefused, parse_settings
from integrator.store.database import Store
from integrator.store.models import Merchant


def check_adapters() -> CheckResult:
    """Check that adapters are installed and can be loaded."""
    names = registry.adapter_names()
    broken = []
    for name in names:
        try:
            registry.get_adapter(name)
        except (ImportError, AttributeError) as error:
            broken.append(f"{name} ({type(error).__name__})")
    if broken or not names:
        text = f"cannot be loaded: {', '.join(broken)}" if broken else "none is installed"
        return problem("PSP adapters", text, "Install the package again.")
    return ok("PSP adapters", ", ".join(names))


async def check_merchants(store: Store) -> AsyncIterator[CheckResult]:
    """Check that each merchant's PSP settings are complete."""
    all_merchants = await store.merchants.list_all()
    if not all_merchants:
        yield warning("merchants", "none exists", "Add one: `integrator merchant add`.")
    for merchant in all_merchants:
        yield await _check_merchant(store, merchant)


async def _check_merchant(store: Store, merchant: Merchant) -> CheckResult:
    name = f"merchant {merchant.id}"
    try:
        adapter = registry.get_adapter(merchant.psp)
    except registry.UnknownPsp as error:
        return problem(name, str(error), "Install the adapter's package.")
    values = await store.merchants.get_settings(merchant.id)
    if values is None:
        text = f"has no settings for {merchant.psp} yet"
        return warning(name, text, "Fill in the PSP's settings in Billwerk+.")
    try:
        parse_settings(adapter, values)
    except SettingsRefused as error:
        advice = f"Complete them in Billwerk+; `integrator settings show {merchant.id}`."
        return problem(name, f"{merchant.psp}: {error}", advice)
    return ok(name, f"the settings for {merchant.psp} are complete")
