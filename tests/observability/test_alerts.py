"""Every alert fires when it should, stays quiet when it should, and is told of in the runbook."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.observability.alert_cases import CASES, Case, Series
from tests.observability.files import PROMETHEUS, RULES, RUNBOOK, rules, tool

SEVERITIES = {"critical", "warning"}


def promtool(*arguments: str | Path) -> None:
    """Run it; what it complains of is the test's failure."""
    ran = subprocess.run(
        [tool("promtool"), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_prometheus_accepts_the_configuration() -> None:
    promtool("check", "config", PROMETHEUS)


def test_prometheus_accepts_the_rules() -> None:
    promtool("check", "rules", "--lint-fatal", RULES)


def test_every_alert_has_its_case() -> None:
    assert {rule["alert"] for rule in rules()} == set(CASES)


def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    """Each rule by itself: all of them for each case would take long."""
    written = {rule["alert"]: rule for rule in rules()}
    files = [case_file(tmp_path, alert, case, written[alert]) for alert, case in CASES.items()]
    promtool("test", "rules", *files)


def case_file(folder: Path, alert: str, case: Case, rule: dict[str, Any]) -> Path:
    """A rule and what is expected of it, as promtool reads them."""
    alone = folder / f"{alert}.rules.yml"
    alone.write_text(yaml.safe_dump({"groups": [{"name": alert, "rules": [rule]}]}))
    groups = [
        judged(f"{alert} fires", alert, case.fires, case.now, firing=True),
        judged(f"{alert} is quiet", alert, case.quiet, case.now, firing=False),
    ]
    file = folder / f"{alert}.yml"
    content = {"rule_files": [str(alone)], "evaluation_interval": "1m", "tests": groups}
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


def judged(name: str, alert: str, series: Series, now: int, *, firing: bool) -> dict[str, Any]:
    """What promtool has to find of one alert after `now` minutes of these series."""
    found = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}} == 1) > bool 0'
    samples = [{"labels": "{}", "value": 1}] if firing else []
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": k, "values": v} for k, v in series.items()],
        "promql_expr_test": [{"expr": found, "eval_time": f"{now}m", "exp_samples": samples}],
    }


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in SEVERITIES
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_the_runbook_has_an_entry_for_every_alert_and_for_no_other() -> None:
    text = RUNBOOK.read_text()
    entries = re.findall(r"^### (\w+)$", text, re.MULTILINE)
    assert entries == [rule["alert"] for rule in rules()]


@pytest.mark.parametrize("part", ["**Money.**", "**Look at.**", "**Do.**", "**Wake.**"])
def test_every_entry_answers_the_same_questions(part: str) -> None:
    entries = re.split(r"^### ", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]
    assert [entry.split()[0] for entry in entries if part not in entry] == []
