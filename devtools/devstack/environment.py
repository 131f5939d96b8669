"""Environment variables of the processes of a local run."""

import os
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from devtools.devstack.address import Addresses
from devtools.devstack.emulated_psps import get_emulated_psp
from integrator.settings import PREFIX, Settings


def child_environment(settings: Settings, addresses: Addresses) -> dict[str, str]:
    """Return this process's environment with every setting replaced by its effective value.

    Variables of settings that are not set are removed: the demo's temporary stack must not use the
    database of another stack.
    """
    env = dict(os.environ)
    for name in Settings.model_fields:
        env.pop(f"{PREFIX}{name.upper()}", None)
    env |= _variables(settings.model_dump())
    env[f"{PREFIX}DATA_DIR"] = str(settings.data_dir.absolute())
    # Explicit, so that a bind address other than loopback works too.
    env[f"{PREFIX}TEMPORAL_ADDRESS"] = addresses.temporal
    env[f"{PREFIX}SANDBOX_URL"] = addresses.sandbox_psp
    for name, path in get_emulated_psp(settings.demo_psp).addresses.items():
        env.setdefault(name, f"{addresses.sandbox_psp}{path}")
    env["PYTHONUNBUFFERED"] = "1"
    return env


def _variables(values: Mapping[str, Any]) -> dict[str, str]:
    configured = {name: value for name, value in values.items() if value not in (None, ())}
    return {f"{PREFIX}{name.upper()}": _to_text(value) for name, value in configured.items()}


def _to_text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return ",".join(value) if isinstance(value, tuple) else str(value)
