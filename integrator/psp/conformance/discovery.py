"""Finds the bench of an adapter, and the credentials of an account in the PSP's own sandbox."""

import json
import re
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.conformance.harness import HarnessFactory, Unavailable
from integrator.psp.integration_info import setting_keys
from integrator.psp.port import Adapter
from integrator.psp.types import Instrument

GROUP = "integrator.psp.bench"
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def find_harness(psp: str, place: str | None) -> HarnessFactory:
    """The bench at `module:factory`, or the installed one of the adapter. Raises `Unavailable`."""
    if place is not None:
        module, _, factory = place.partition(":")
        try:
            found: HarnessFactory = getattr(import_module(module), factory)
        except (ImportError, AttributeError) as error:
            raise Unavailable(f"There is no bench at {place}: {error}") from error
        return found
    for entry in entry_points(group=GROUP):
        if entry.name == psp:
            loaded: HarnessFactory = entry.load()
            return loaded
    raise Unavailable(f"No package offers a bench for {psp!r}; name one with --psp-bench.")


def variable(psp: str, key: str) -> str:
    """The environment variable of a setting: `INTEGRATOR_KIT_STRIPE_API_KEY` for `ApiKey`."""
    return f"INTEGRATOR_KIT_{_upper(psp)}_{_upper(key)}"


def live_settings(adapter: Adapter, environment: Mapping[str, str]) -> dict[str, str] | None:
    """The settings form of an account in the PSP's own sandbox; None unless it is complete."""
    named = {key: variable(adapter.name, key) for key in setting_keys(adapter)}
    form = {key: environment[name] for key, name in named.items() if environment.get(name)}
    model = adapter.settings_model.model_fields
    required = [field.alias or name for name, field in model.items() if field.is_required()]
    return form if all(key in form for key in required) else None


def live_instruments(adapter: Adapter, environment: Mapping[str, str]) -> dict[Role, Instrument]:
    """Stored payment methods of that account: `INTEGRATOR_KIT_STRIPE_TOKEN_CREDIT_CARD`.

    The value is the adapter's token as a JSON object of texts.
    """
    named = {
        role: variable(adapter.name, f"Token{role.name}") for role in adapter.capabilities.methods
    }
    return {
        role: Instrument(token=json.loads(environment[name]), bearer={})
        for role, name in named.items()
        if environment.get(name)
    }


def _upper(name: str) -> str:
    return _HUMP.sub("_", name).replace("-", "_").upper()
