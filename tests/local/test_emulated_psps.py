"""Which PSPs a local run can play, and how their adapters find them."""

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
def test_every_one_is_installed_spoken_and_satisfied_with_its_form(psp: str) -> None:
    played = get_emulated_psp(psp)
    assert psp in registry.names()
    assert played.emulator in EMULATORS
    form = played.settings_form("sk_test_key", "whsec_secret")
    parse_settings(registry.adapter(psp), form)
    assert {"sk_test_key", "whsec_secret"} <= set(form.values())


def test_an_unknown_one_is_named() -> None:
    with pytest.raises(DevStackError, match="must be one of: billwerk_pay, gocardless"):
        get_emulated_psp("adyen")


def test_adapters_are_sent_to_the_stand_in_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = Settings(demo_psp="stripe")
    addresses = Addresses.from_settings(settings)
    monkeypatch.delenv("INTEGRATOR_STRIPE_URL", raising=False)
    env = child_environment(settings, addresses)
    assert env["INTEGRATOR_STRIPE_URL"] == f"{addresses.sandbox_psp}/stripe"
    monkeypatch.setenv("INTEGRATOR_STRIPE_URL", "http://127.0.0.1:1")
    assert child_environment(settings, addresses)["INTEGRATOR_STRIPE_URL"] == "http://127.0.0.1:1"
