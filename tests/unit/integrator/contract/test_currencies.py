"""The frozen table of currencies, compared with the library that follows ISO 4217."""

import subprocess
import sys

import iso4217
import pytest

from devtools.sandbox_psp import money as sandbox_money
from integrator.contract import currencies, money
from tests.support.paths import ROOT

TABLE = "integrator/contract/currencies.py"
LIBRARY: dict[str, int] = {
    one.code: one.exponent for one in iso4217.Currency if one.exponent is not None
}


def test_the_table_has_every_current_currency() -> None:
    missing = sorted(LIBRARY.keys() - currencies.CURRENT.keys())
    assert not missing, (
        f"{TABLE} lacks {missing}, which ISO 4217 has. Add the code, never remove one."
    )


def test_the_decimals_are_those_of_the_standard() -> None:
    other = {
        code: (ours, LIBRARY[code])
        for code, ours in currencies.DECIMALS.items()
        if LIBRARY.get(code, ours) != ours
    }
    assert not other, (
        f"Decimals (ours, ISO 4217) differ: {other}. Ours belong to stored amounts and stay: "
        f"decide how new transactions get the new ones, and never change an entry of {TABLE}."
    )


def test_a_currency_that_has_left_the_standard_is_withdrawn() -> None:
    left = sorted(currencies.CURRENT.keys() - LIBRARY.keys())
    assert not left, (
        f"{left} left ISO 4217: move the code to WITHDRAWN in {TABLE}, with the date of the list "
        f"without it ({iso4217.__published__}). Never remove one."
    )


def test_a_currency_is_either_current_or_withdrawn() -> None:
    assert not currencies.CURRENT.keys() & currencies.WITHDRAWN.keys()
    assert currencies.DECIMALS.keys() == currencies.CURRENT.keys() | currencies.WITHDRAWN.keys()
    assert {"BGN", "ANG", "HRK"} <= currencies.WITHDRAWN.keys()


@pytest.mark.parametrize("code", currencies.DECIMALS)
def test_every_currency_is_known_for_ever(code: str) -> None:
    assert money.is_known(code)
    assert money.is_current(code) is (code in LIBRARY)
    assert money.exponent(code) == currencies.DECIMALS[code]
    assert sandbox_money.exponent(code) == currencies.DECIMALS[code]


def test_nothing_that_runs_asks_the_library() -> None:
    """Worker, API, adapters and sandbox PSP start where the library cannot be imported."""
    script = (
        "import sys; sys.modules['iso4217'] = None\n"
        "from tests.unit.fixed_identifiers import modules; modules()\n"
        "import integrator.psp.conformance.plugin, devtools.sandbox_psp.app\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
