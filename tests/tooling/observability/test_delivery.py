"""An alert about a stopped process reaches a receiver, and so does its resolution.

Real processes: codec server, Prometheus, Alertmanager.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from devtools.campaign.stack import free_ports
from tests.e2e.observability.files import RUNBOOK, load_rules
from tests.support.alert_receiver import AlertReceiver
from tests.support.paths import ROOT
from tests.tooling.observability.alertmanager import run_alertmanager
from tests.tooling.observability.prometheus import run_prometheus

START_SECONDS = 40.0


def write_fast_rules(folder: Path) -> Path:
    """Write the rules so that each fires as soon as its condition is true."""
    rules = [{**rule, "for": "1s"} for rule in load_rules()]
    file = folder / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    return file


@contextmanager
def run_codec_server(folder: Path, port: int, metrics_port: int) -> Iterator[None]:
    """Run a codec server that serves metrics."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("INTEGRATOR_")}
    env = clean | {
        "INTEGRATOR_DATA_DIR": str(folder),
        "INTEGRATOR_CODEC_TOKEN": "token-of-a-test-with-32-characters",
        "INTEGRATOR_CODEC_PORT": str(port),
        "INTEGRATOR_METRICS_PORT": str(metrics_port),
    }
    with (folder / "codec-server.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "integrator.codec_server"],
            cwd=ROOT,
            env=env,
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def receiver() -> Iterator[AlertReceiver]:
    with AlertReceiver() as receiver:
        yield receiver


def test_an_alert_and_its_resolution_reach_the_receiver(
    tmp_path: Path, receiver: AlertReceiver
) -> None:
    port, metrics_port = free_ports(2)
    target = f"127.0.0.1:{metrics_port}"
    address = f"{receiver.base_url}/alerts?token=s3cret"
    with run_alertmanager(tmp_path / "alertmanager-run", address) as alertmanager:
        targets = {"codec-server": target, "alertmanager": alertmanager}
        with run_prometheus(tmp_path, targets, write_fast_rules(tmp_path)) as prometheus:
            with run_codec_server(tmp_path, port, metrics_port):
                prometheus.wait_for('up{job="codec-server"} == 1', START_SECONDS)
                prometheus.wait_for('process_resident_memory_bytes{job="codec-server"} > 0')
                metrics = httpx.get(f"http://{target}/metrics").text
                assert "integrator_decryption_failures_total" in metrics
                assert not prometheus.query('ALERTS{alertname="AlertsGoNowhere"}')
            fired = receiver.wait_for("TargetDown", "firing")
            assert fired.labels["job"] == "codec-server"
            assert fired.labels["severity"] == "warning"
            assert "codec-server" in fired.annotations["summary"]
            file, _, anchor = fired.annotations["runbook_url"].partition("#")
            headings = (ROOT / file).read_text().lower().splitlines()
            assert f"### {anchor}" in headings
            with run_codec_server(tmp_path, port, metrics_port):
                resolved = receiver.wait_for("TargetDown", "resolved")
                assert resolved.labels == fired.labels
    assert set(receiver.paths) == {"/alerts?token=s3cret"}
    assert "s3cret" not in (tmp_path / "alertmanager-run" / "log").read_text()
    assert "s3cret" not in (tmp_path / "prometheus.log").read_text()


def runbook_commands(alertmanager: str) -> list[list[str]]:
    """Return the runbook's calls of amtool, for another Alertmanager."""
    text = RUNBOOK.read_text().replace("http://127.0.0.1:9093", f"http://{alertmanager}")
    prefix = "docker compose exec alertmanager "
    lines = [line for line in text.splitlines() if line.startswith(prefix)]
    return [shlex.split(line.removeprefix(prefix)) for line in lines]


def test_the_runbooks_commands_test_the_receiver_and_silence_alerts(
    tmp_path: Path, receiver: AlertReceiver
) -> None:
    folder = tmp_path / "alertmanager-run"
    with run_alertmanager(folder, receiver.base_url) as alertmanager:

        def run(argv: list[str]) -> str:
            env = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path)}
            return subprocess.run(argv, env=env, check=True, capture_output=True, text=True).stdout

        add_alert, add_silence, query, expire = runbook_commands(alertmanager)
        run(add_alert)
        assert receiver.wait_for("ReceiverTest", "firing").labels["severity"] == "critical"
        silence = run(add_silence).strip()
        assert silence in run(query)
        run(expire)
        assert silence not in run(query)


def test_without_a_receiver_an_alert_says_so(tmp_path: Path) -> None:
    with run_alertmanager(tmp_path / "alertmanager-run", "none") as alertmanager:
        targets = {"alertmanager": alertmanager}
        with run_prometheus(tmp_path, targets, write_fast_rules(tmp_path)) as prometheus:
            prometheus.wait_for('ALERTS{alertname="AlertsGoNowhere",alertstate="firing"}')
    assert "WARNING Alerts go nowhere" in (tmp_path / "alertmanager-run" / "log").read_text()


def test_an_unreachable_receiver_is_an_alert(tmp_path: Path) -> None:
    """A failed delivery is visible in Prometheus."""
    (closed,) = free_ports(1)
    log = tmp_path / "alertmanager-run" / "log"
    address = f"http://127.0.0.1:{closed}/s3cret"
    with run_alertmanager(tmp_path / "alertmanager-run", address) as alertmanager:
        targets = {"alertmanager": alertmanager}
        with run_prometheus(tmp_path, targets, write_fast_rules(tmp_path)) as prometheus:
            # NoWorker and NoApi fire at once: neither is a target.
            prometheus.wait_for(
                'ALERTS{alertname="AlertsNotDelivered",alertstate="firing"}', START_SECONDS
            )
            # Debian 12 has 0.25, which writes the address into its log.
            is_supported = bool(
                prometheus.query('alertmanager_build_info{version!~"0[.]([01]?[0-9]|2[0-5])[.].*"}')
            )
    assert "connection refused" in log.read_text()
    assert not is_supported or "s3cret" not in log.read_text()
