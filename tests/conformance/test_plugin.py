"""The plugin: without its option it is not there, with it the kit takes over."""

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.conformance import discovery
from integrator.psp.conformance.harness import Unavailable
from integrator.psp.sandbox import ADAPTER
from tests.conformance.emulator_harness import RunningSandbox, running_sandbox
from tests.conformance.harness_sandbox import SandboxHarness
from tests.conformance.test_sandbox_kit import HARNESSES, ROOT, run_kit

SANDBOX = ("--psp=sandbox", f"--psp-bench={HARNESSES['sandbox']}")


@pytest.fixture
async def psp() -> AsyncIterator[RunningSandbox]:
    async with running_sandbox() as running:
        yield running


def test_it_costs_nothing_without_its_option() -> None:
    code = "import integrator.psp.conformance.plugin, sys; print([m for m in sys.modules if m.startswith('integrator.psp.')])"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (
        done.stdout.strip() == "['integrator.psp.conformance', 'integrator.psp.conformance.plugin']"
    )


def test_it_changes_nothing_without_its_option(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text("def test_mine(): pass\n")
    done = run_kit(str(tmp_path), "-q", "--collect-only", f"--rootdir={tmp_path}")
    assert "1 test collected" in done.stdout
    assert "conformance" not in done.stdout


def test_checks_are_selected_by_name_and_reported() -> None:
    done = run_kit(*SANDBOX, "-v", "-k", "sheet or too_much_is_refunded")
    assert "against a stand-in" in done.stdout
    assert "sandbox/refunds::too_much_is_refunded[CreditCard] PASSED" in done.stdout
    assert "sandbox/capabilities::connecting_asks_nobody PASSED" in done.stdout
    assert "signups" not in done.stdout


def test_what_cannot_be_provoked_is_skipped_with_its_reason() -> None:
    done = run_kit(*SANDBOX, "-k", "a_part_is_refused or refunds_are_declined")
    assert "0 checks were run, 0 passed, 2 were skipped" in done.stdout
    assert "skipped   1: the PSP captures parts (partial_capture)" in done.stdout


def test_named_tests_run_as_well(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text("def test_mine(): pass\n")
    done = run_kit(str(tmp_path), *SANDBOX, "-k", "test_mine or connecting_asks_nobody")
    assert "2 passed" in done.stdout


def test_a_broken_rule_is_explained() -> None:
    done = run_kit(
        "--psp=sandbox",
        "--psp-bench=tests.conformance.broken_adapter:harness",
        "-k",
        "an_altered_body_is_rejected",
    )
    assert done.returncode == 1
    assert "The signature is checked over the body as it came, to the last byte." in done.stdout
    assert "It was accepted." in done.stdout
    assert "integrator/psp/conformance/checks/signatures.py:" in done.stdout
    assert "1 checks were run, 0 passed, 0 were skipped" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--psp=nobody",), "No PSP adapter called 'nobody' is installed"),
        (("--psp=sandbox",), "No package offers a bench for 'sandbox'"),
        (
            ("--psp=sandbox", "--psp-bench=tests.conformance.nothing:harness"),
            "There is no bench at",
        ),
    ],
)
def test_a_mistake_is_explained(arguments: tuple[str, ...], reason: str) -> None:
    done = run_kit(*arguments)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert reason in done.stdout + done.stderr


async def test_credentials_in_the_environment_lead_to_the_psp_itself(
    psp: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sandbox PSP plays the PSP's own sandbox: found by its address, not by the bench."""
    bench = SandboxHarness(psp)
    await bench.register()
    monkeypatch.setenv("INTEGRATOR_SANDBOX_URL", psp.url)
    monkeypatch.setenv("INTEGRATOR_KIT_SANDBOX_API_KEY", bench.api_key)
    monkeypatch.setenv("INTEGRATOR_KIT_SANDBOX_WEBHOOK_SECRET", bench.secret)
    card = await bench.instrument(Role.CreditCard, "EUR")
    assert card is not None
    token = card.token["payment_method"]
    name = "INTEGRATOR_KIT_SANDBOX_TOKEN_CREDIT_CARD"
    monkeypatch.setenv(name, f'{{"payment_method": "{token}"}}')
    done = run_kit(*SANDBOX, "-k", "good_settings or a_payment_is_taken or a_customer_cancels")
    assert "against the PSP's own sandbox" in done.stdout
    # Two payment methods, three currencies and a taken-back payment that cannot be scripted.
    assert "5 checks were run, 5 passed, 3 were skipped" in done.stdout, done.stdout
    assert "the bench cannot play a customer who cancels" in done.stdout


def test_names_of_variables() -> None:
    assert discovery.variable("billwerk_pay", "ApiKey") == "INTEGRATOR_KIT_BILLWERK_PAY_API_KEY"
    settings = discovery.live_settings(ADAPTER, {"INTEGRATOR_KIT_SANDBOX_API_KEY": "sk_1"})
    assert settings is None
    complete = {
        "INTEGRATOR_KIT_SANDBOX_API_KEY": "sk_1",
        "INTEGRATOR_KIT_SANDBOX_WEBHOOK_SECRET": "whsec_1",
    }
    assert discovery.live_settings(ADAPTER, complete) == {
        "ApiKey": "sk_1",
        "WebhookSecret": "whsec_1",
    }


def test_a_bench_that_is_not_there() -> None:
    with pytest.raises(Unavailable):
        discovery.find_harness("sandbox", "json:nothing")
