"""Configuration of Alertmanager, and how its script treats the receiver's address."""

import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.observability.files import ALERTMANAGER, find_tool, load_rules
from tests.support.paths import ROOT
from tests.tooling.observability.alertmanager import prepare_environment

CONFIG = ALERTMANAGER / "alertmanager.yml"
ADDRESS = "https://hooks.example/alerts?token=s3cret%2Fvalue&x=1"


def run_script(env: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    argv = ["/bin/sh", str(ALERTMANAGER / "run.sh"), *arguments]
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=False)


def run_amtool(*arguments: str) -> str:
    """Return amtool's output; the test fails when it does."""
    argv = [find_tool("amtool"), *arguments]
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def rendered(env: dict[str, str]) -> dict[str, Any]:
    """Return the configuration with which the script started Alertmanager."""
    file = Path(env["TMPDIR"]) / "alertmanager.yml"
    run_amtool("check-config", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    content: dict[str, Any] = yaml.safe_load(file.read_text())
    return content


def test_the_configuration_is_valid_without_a_receiver() -> None:
    run_amtool("check-config", str(CONFIG))


@pytest.mark.parametrize(("severity", "repeat"), [("critical", "1h"), ("warning", "24h")])
def test_alerts_of_each_severity_are_repeated(severity: str, repeat: str) -> None:
    output = run_amtool(
        "config", "routes", "test", f"--config.file={CONFIG}", f"severity={severity}"
    )
    assert output.strip() == "operators"
    route = yaml.safe_load(CONFIG.read_text())["route"]
    (critical,) = route["routes"]
    assert critical["matchers"] == ['severity="critical"']
    assert (critical if severity == "critical" else route)["repeat_interval"] == repeat


def test_only_critical_alerts_inhibit_and_all_of_them_exist() -> None:
    rules = {rule["alert"]: rule["labels"]["severity"] for rule in load_rules()}
    for inhibition in yaml.safe_load(CONFIG.read_text())["inhibit_rules"]:
        (source,), (target,) = inhibition["source_matchers"], inhibition["target_matchers"]
        causes, consequences = matched_alerts(source), matched_alerts(target)
        assert causes | consequences <= set(rules)
        assert not causes & consequences
        assert {rules[name] for name in causes} == {"critical"}


def matched_alerts(matcher: str) -> set[str]:
    match = re.fullmatch(r'alertname=~?"([A-Za-z|]+)"', matcher)
    assert match, matcher
    return set(match[1].split("|"))


def test_an_absent_process_has_the_label_by_which_its_addresses_are_inhibited() -> None:
    """`TargetDown` is inhibited where `job` is equal."""
    rules = {rule["alert"]: rule for rule in load_rules()}
    for alert, job in (("NoApi", "api"), ("NoWorker", "worker")):
        assert rules[alert]["labels"]["job"] == job
    for alert in ("ProxyDown", "TemporalDown"):
        assert rules[alert]["expr"].startswith("up{job=")


def test_the_address_is_added_and_not_shown(tmp_path: Path) -> None:
    env = prepare_environment(tmp_path, ADDRESS)
    result = run_script(env, "--version")
    assert result.returncode == 0, result.stderr
    assert "s3cret" not in result.stdout + result.stderr
    (receiver,) = rendered(env)["receivers"]
    assert receiver["webhook_configs"] == [{"url": ADDRESS, "send_resolved": True}]


def test_the_initial_secret_starts_without_a_receiver_and_says_so(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    subprocess.run([ROOT / "deploy/secrets.sh", secrets], check=True, capture_output=True)
    env = prepare_environment(tmp_path, (secrets / "alert_webhook_url").read_text().strip())
    result = run_script(env, "--version")
    assert result.returncode == 0, result.stderr
    assert "WARNING Alerts go nowhere" in result.stderr
    assert rendered(env)["receivers"] == [{"name": "operators"}]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "hooks.example/s3cret",
        "http://",
        "https://a/s3cret\nb",
        "https://a/'s3cret",
        "http://a:s3cret",
    ],
)
def test_an_invalid_address_is_refused_without_showing_it(tmp_path: Path, content: str) -> None:
    result = run_script(prepare_environment(tmp_path, content), "--version")
    assert result.returncode == 1
    assert re.match(r"ERROR \S+/alert_webhook_url contains .*: write one http", result.stderr)
    assert "s3cret" not in result.stdout + result.stderr


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    env = prepare_environment(tmp_path, "none")
    Path(env["ALERT_WEBHOOK_URL_FILE"]).unlink()
    result = run_script(env, "--version")
    assert result.returncode == 1
    assert "cannot be read" in result.stderr
