"""The pytest plugin: inactive without its option, and running the kit with it."""

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.conformance import discovery
from integrator.psp.conformance.harness import HarnessUnavailable
from integrator.psp.sandbox import ADAPTER
from tests.conformance.emulator_harness import RunningSandbox, running_sandbox
from tests.conformance.harness_sandbox import SandboxHarness
from tests.conformance.test_sandbox_kit import HARNESSES, run_kit
from tests.support.paths import ROOT

SANDBOX = ("--psp=sandbox", f"--psp-bench={HARNESSES['sandbox']}")


@pytest.fixture
async def psp() -> AsyncIterator[RunningSandbox]:
    async with running_sandbox() as running:
        yield running


def test_without_the_option_no_kit_module_is_imported() -> None:
    code = (
        "import integrator.psp.conformance.plugin, sys;"
        "print([name for name in sys.modules if name.startswith('integrator.psp.')])"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (
        result.stdout.strip()
        == "['integrator.psp.conformance', 'integrator.psp.conformance.plugin']"
    )


def test_without_the_option_collection_is_unchanged(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text("def test_mine(): pass\n")
    result = run_kit(str(tmp_path), "-q", "--collect-only", f"--rootdir={tmp_path}")
    assert "1 test collected" in result.stdout
    assert "conformance" not in result.stdout


def test_checks_are_selected_by_name_and_reported() -> None:
    result = run_kit(*SANDBOX, "-v", "-k", "capabilities or an_excessive_refund_is_declined")
    assert "against an emulator" in result.stdout
    assert "sandbox/refunds::an_excessive_refund_is_declined[CreditCard] PASSED" in result.stdout
    assert "sandbox/capabilities::connecting_makes_no_request PASSED" in result.stdout
    assert "signups" not in result.stdout


def test_inapplicable_checks_are_skipped_with_a_reason() -> None:
    result = run_kit(
        *SANDBOX,
        "-k",
        "an_undeclared_partial_capture_is_declined or undeclared_refunds_are_declined",
    )
    assert "0 checks were run, 0 passed, 2 were skipped" in result.stdout
    assert "skipped   1: the PSP has partial captures (partial_capture)" in result.stdout


def test_tests_named_on_the_command_line_run_as_well(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text("def test_mine(): pass\n")
    result = run_kit(str(tmp_path), *SANDBOX, "-k", "test_mine or connecting_makes_no_request")
    assert "2 passed" in result.stdout


def test_a_violation_is_reported_with_its_rule() -> None:
    result = run_kit(
        "--psp=sandbox",
        "--psp-bench=tests.conformance.broken_adapter:harness",
        "-k",
        "an_altered_body_is_rejected",
    )
    assert result.returncode == 1
    assert "The signature is verified over the received body, to the last byte." in result.stdout
    assert "The notification was accepted." in result.stdout
    assert "integrator/psp/conformance/checks/signatures.py:" in result.stdout
    assert "1 checks were run, 0 passed, 0 were skipped" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--psp=unknown",), "No PSP adapter called 'unknown' is installed"),
        (("--psp=sandbox",), "No installed package offers a harness for 'sandbox'"),
        (
            ("--psp=sandbox", "--psp-bench=tests.conformance.nothing:harness"),
            "No harness found at",
        ),
    ],
)
def test_a_usage_error_is_explained(arguments: tuple[str, ...], reason: str) -> None:
    result = run_kit(*arguments)
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert reason in result.stdout + result.stderr


async def test_credentials_in_the_environment_select_the_psp_itself(
    psp: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sandbox PSP acts as the PSP's own sandbox: found by its address, not by the harness."""
    harness = SandboxHarness(psp)
    await harness.register_account()
    monkeypatch.setenv("INTEGRATOR_SANDBOX_URL", psp.url)
    monkeypatch.setenv("INTEGRATOR_KIT_SANDBOX_API_KEY", harness.api_key)
    monkeypatch.setenv("INTEGRATOR_KIT_SANDBOX_WEBHOOK_SECRET", harness.secret)
    card = await harness.instrument(Role.CreditCard, "EUR")
    assert card is not None
    token = card.token["payment_method"]
    name = "INTEGRATOR_KIT_SANDBOX_TOKEN_CREDIT_CARD"
    monkeypatch.setenv(name, f'{{"payment_method": "{token}"}}')
    result = run_kit(*SANDBOX, "-k", "valid_settings or a_payment_is_charged or a_customer_cancels")
    assert "against the PSP's own sandbox" in result.stdout
    # Two payment methods, three currencies and chargebacks that cannot be scripted.
    assert "5 checks were run, 5 passed, 3 were skipped" in result.stdout, result.stdout
    assert "the harness cannot play a customer who cancels" in result.stdout


def test_settings_are_read_from_environment_variables() -> None:
    assert (
        discovery.environment_variable("billwerk_pay", "ApiKey")
        == "INTEGRATOR_KIT_BILLWERK_PAY_API_KEY"
    )
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


def test_an_unknown_harness_is_refused() -> None:
    with pytest.raises(HarnessUnavailable):
        discovery.find_harness("sandbox", "json:nothing")
