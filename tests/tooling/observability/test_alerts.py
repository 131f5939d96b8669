"""Every alert fires exactly when it should and has an entry in the runbook."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.observability.files import PROMETHEUS, RULES, RUNBOOK, find_tool, load_rules
from tests.tooling.observability.alert_cases import CASES, AlertCase, Series

SEVERITIES = {"critical", "warning"}


def run_promtool(*arguments: str | Path) -> None:
    """Run promtool; the test fails with its output."""
    result = subprocess.run(
        [find_tool("promtool"), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_prometheus_accepts_the_configuration() -> None:
    run_promtool("check", "config", PROMETHEUS)


def test_prometheus_accepts_the_rules() -> None:
    run_promtool("check", "rules", "--lint-fatal", RULES)


def test_every_alert_has_a_test_case() -> None:
    assert {rule["alert"] for rule in load_rules()} == set(CASES)


def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    """Test each rule separately: evaluating all of them for each case would take long."""
    by_alert = {rule["alert"]: rule for rule in load_rules()}
    files = [write_case(tmp_path, alert, case, by_alert[alert]) for alert, case in CASES.items()]
    run_promtool("test", "rules", *files)


def write_case(folder: Path, name: str, case: AlertCase, rule: dict[str, Any]) -> Path:
    """Write a rule and its expected alerts as a test file of promtool."""
    rule_file = folder / f"{name}.rules.yml"
    rule_file.write_text(yaml.safe_dump({"groups": [{"name": name, "rules": [rule]}]}))
    alert = rule["alert"]
    groups = [
        expect_alert(f"{name} fires", alert, case.firing, case.now, firing=True),
        expect_alert(f"{name} does not fire", alert, case.not_firing, case.now, firing=False),
    ]
    file = folder / f"{name}.yml"
    content = {"rule_files": [str(rule_file)], "evaluation_interval": "1m", "tests": groups}
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


def expect_alert(
    name: str, alert: str, series: Series, now: int, *, firing: bool
) -> dict[str, Any]:
    """Build a promtool test of one alert after `now` minutes of the series."""
    expression = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}} == 1) > bool 0'
    samples = [{"labels": "{}", "value": 1}] if firing else []
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": k, "values": v} for k, v in series.items()],
        "promql_expr_test": [{"expr": expression, "eval_time": f"{now}m", "exp_samples": samples}],
    }


def test_every_scraped_process_has_an_alert_when_it_is_down(tmp_path: Path) -> None:
    """Each address by `TargetDown`, and the processes without which nothing works at any time."""
    rules = {rule["alert"]: rule for rule in load_rules()}
    jobs = [job["job_name"] for job in yaml.safe_load(PROMETHEUS.read_text())["scrape_configs"]]
    down = [
        write_case(tmp_path, job, AlertCase(series(job, 0), series(job, 1)), rules["TargetDown"])
        for job in jobs
    ]
    run_promtool("test", "rules", *down)
    critical = {"api": "NoApi", "worker": "NoWorker", "temporal": "TemporalDown"}
    for job, alert in (critical | {"proxy": "ProxyDown"}).items():
        assert job in jobs
        assert f'up{{job="{job}"}}' in rules[alert]["expr"]
        assert rules[alert]["labels"]["severity"] == "critical"


def series(job: str, up: int) -> Series:
    return {f'up{{job="{job}",instance="i"}}': f"{up}x99"}


@pytest.mark.parametrize("rule", load_rules(), ids=lambda rule: rule["alert"])
def test_every_alert_has_a_severity_and_a_runbook_link(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in SEVERITIES
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_the_runbook_has_an_entry_for_every_alert_and_for_no_other() -> None:
    text = RUNBOOK.read_text()
    entries = re.findall(r"^### (\w+)$", text, re.MULTILINE)
    assert entries == [rule["alert"] for rule in load_rules()]


@pytest.mark.parametrize("part", ["**Impact.**", "**Check.**", "**Action.**", "**Escalation.**"])
def test_every_runbook_entry_has_the_same_parts(part: str) -> None:
    entries = re.split(r"^### ", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]
    assert [entry.split()[0] for entry in entries if part not in entry] == []
