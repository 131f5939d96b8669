"""Which PSPs a local run can play, and how their adapters find them."""

import pytest

from local.address import Addresses
from local.environment import child_environment
from local.errors import LocalError
from local.standins import STAND_INS, stand_in
from psp import registry
from psp.description import parse_settings
from runtime.settings import Settings
from sandbox_psp.dialects import DIALECTS


@pytest.mark.parametrize("psp", sorted(STAND_INS))
def test_every_one_is_installed_spoken_and_satisfied_with_its_form(psp: str) -> None:
    played = stand_in(psp)
    assert psp in registry.names()
    assert played.dialect in DIALECTS
    form = played.filled("sk_test_key", "whsec_secret")
    parse_settings(registry.adapter(psp), form)
    assert {"sk_test_key", "whsec_secret"} <= set(form.values())


def test_an_unknown_one_is_named() -> None:
    with pytest.raises(LocalError, match="must be one of: billwerk_pay, gocardless"):
        stand_in("adyen")


def test_adapters_are_sent_to_the_stand_in_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = Settings(demo_psp="stripe")
    addresses = Addresses.of(settings)
    monkeypatch.delenv("INTEGRATOR_STRIPE_URL", raising=False)
    env = child_environment(settings, addresses)
    assert env["INTEGRATOR_STRIPE_URL"] == f"{addresses.sandbox_psp}/stripe"
    monkeypatch.setenv("INTEGRATOR_STRIPE_URL", "http://127.0.0.1:1")
    assert child_environment(settings, addresses)["INTEGRATOR_STRIPE_URL"] == "http://127.0.0.1:1"
