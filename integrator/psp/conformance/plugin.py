"""The kit as a pytest plugin: `pytest --psp=<name>` checks that adapter with its harness.

Without the option nothing but this module is imported, and nothing changes. With it the checks
replace the tests that pytest would have collected by itself; tests named on the command line run
as well. `-k` selects checks by their names, areas and cases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from integrator.psp.conformance.session import KitSession


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("psp", "conformance of PSP adapters")
    group.addoption("--psp", metavar="NAME", help="run the conformance kit for this adapter")
    group.addoption(
        "--psp-bench",
        metavar="MODULE:FACTORY",
        help="the adapter's harness (default: the one its package offers by entry point)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Open the kit if an adapter is named."""
    name = config.getoption("--psp")
    if name is None:
        return
    # Imported here so that a run without the option does not pay for it.
    from integrator.psp.conformance.session import KitSession

    kit: KitSession = KitSession(config, name, config.getoption("--psp-bench"))
    config.pluginmanager.register(kit, "psp-kit-session")
