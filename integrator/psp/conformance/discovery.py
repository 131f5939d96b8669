"""Find an adapter's harness, and the credentials of an account in the PSP's own sandbox."""

import json
import re
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.conformance.harness import HarnessFactory, HarnessUnavailable
from integrator.psp.integration_info import setting_keys
from integrator.psp.port import Adapter
from integrator.psp.types import Instrument

ENTRY_POINT_GROUP = "integrator.psp.bench"
_WORD_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def find_harness(psp: str, spec: str | None) -> HarnessFactory:
    """Return the harness factory at `module:factory`, or the adapter's installed one.

    Raises `HarnessUnavailable`.
    """
    if spec is not None:
        module, _, factory = spec.partition(":")
        try:
            named: HarnessFactory = getattr(import_module(module), factory)
        except (ImportError, AttributeError) as error:
            raise HarnessUnavailable(f"No harness found at {spec}: {error}") from error
        return named
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name == psp:
            loaded: HarnessFactory = entry.load()
            return loaded
    raise HarnessUnavailable(
        f"No installed package offers a harness for {psp!r}; name one with --psp-bench."
    )


def environment_variable(psp: str, key: str) -> str:
    """Return a setting's variable, `INTEGRATOR_KIT_STRIPE_API_KEY` for `ApiKey`."""
    return f"INTEGRATOR_KIT_{_upper(psp)}_{_upper(key)}"


def live_settings(adapter: Adapter, environment: Mapping[str, str]) -> dict[str, str] | None:
    """Return the settings form of an account in the PSP's own sandbox.

    None unless all required settings are set.
    """
    variables = {key: environment_variable(adapter.name, key) for key in setting_keys(adapter)}
    form = {key: environment[name] for key, name in variables.items() if environment.get(name)}
    model = adapter.settings_model.model_fields
    required = [field.alias or name for name, field in model.items() if field.is_required()]
    return form if all(key in form for key in required) else None


def live_instruments(adapter: Adapter, environment: Mapping[str, str]) -> dict[Role, Instrument]:
    """Return the stored payment methods of that account, by role.

    The variable is, for example, `INTEGRATOR_KIT_STRIPE_TOKEN_CREDIT_CARD`; its value is the
    adapter's token as a JSON object of texts.
    """
    variables = {
        role: environment_variable(adapter.name, f"Token{role.name}")
        for role in adapter.capabilities.methods
    }
    return {
        role: Instrument(token=json.loads(environment[name]), bearer={})
        for role, name in variables.items()
        if environment.get(name)
    }


def _upper(name: str) -> str:
    return _WORD_BOUNDARY.sub("_", name).replace("-", "_").upper()
