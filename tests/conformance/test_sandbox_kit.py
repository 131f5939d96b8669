"""The kit, run by its plugin, passes for every adapter."""

import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.support.paths import ROOT

HARNESSES = {
    "sandbox": "tests.conformance.harness_sandbox:harness",
    "billwerk_pay": "tests.conformance.harness_billwerk_pay:harness",
    "gocardless": "tests.conformance.harness_gocardless:harness",
    "stripe": "tests.conformance.harness_stripe:harness",
}
_SUMMARY = re.compile(r"(\d+) checks were run, (\d+) passed, (\d+) were skipped")


def run_kit(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `pytest <arguments>` in the project's directory and with its configuration."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def runs() -> Iterator[dict[str, Future[subprocess.CompletedProcess[str]]]]:
    """Run the kit for every adapter, two at a time: most of the time they wait."""
    with ThreadPoolExecutor(2) as pool:
        yield {
            psp: pool.submit(run_kit, f"--psp={psp}", f"--psp-bench={factory_spec}", "-q")
            for psp, factory_spec in HARNESSES.items()
        }


# Four runs, two at a time, minutes each on a loaded machine.
@pytest.mark.timeout(900)
@pytest.mark.parametrize("psp", HARNESSES)
def test_the_adapter_conforms(
    psp: str, runs: dict[str, Future[subprocess.CompletedProcess[str]]]
) -> None:
    result = runs[psp].result()
    summary = _SUMMARY.search(result.stdout)
    assert summary is not None, result.stdout + result.stderr
    run, passed, _ = map(int, summary.groups())
    assert (result.returncode, run - passed) == (0, 0), result.stdout
    assert run >= 60
