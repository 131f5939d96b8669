"""PSPs a local run can emulate, and the URLs of their adapters."""

import pytest

from devtools.devstack.address import Addresses
from devtools.devstack.emulated_psps import EMULATED_PSPS, get_emulated_psp
from devtools.devstack.environment import child_environment
from devtools.devstack.errors import DevStackError
from devtools.sandbox_psp.emulators import EMULATORS
from integrator.psp import registry
from integrator.psp.integration_info import parse_settings
from integrator.settings import Settings


@pytest.mark.parametrize("psp", sorted(EMULATED_PSPS))
def test_every_emulated_psp_has_an_adapter_an_emulator_and_a_valid_form(psp: str) -> None:
    emulated = get_emulated_psp(psp)
    assert psp in registry.adapter_names()
    assert emulated.emulator in EMULATORS
    form = emulated.settings_form("sk_test_key", "whsec_secret")
    parse_settings(registry.get_adapter(psp), form)
    assert {"sk_test_key", "whsec_secret"} <= set(form.values())


def test_an_unknown_psp_raises_with_the_valid_names() -> None:
    with pytest.raises(DevStackError, match="must be one of: billwerk_pay, gocardless"):
        get_emulated_psp("adyen")


def test_adapter_urls_point_to_the_emulator_unless_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = Settings(demo_psp="stripe")
    addresses = Addresses.from_settings(settings)
    monkeypatch.delenv("INTEGRATOR_STRIPE_URL", raising=False)
    env = child_environment(settings, addresses)
    assert env["INTEGRATOR_STRIPE_URL"] == f"{addresses.sandbox_psp}/stripe"
    monkeypatch.setenv("INTEGRATOR_STRIPE_URL", "http://127.0.0.1:1")
    assert child_environment(settings, addresses)["INTEGRATOR_STRIPE_URL"] == "http://127.0.0.1:1"
