"""A real Prometheus that scrapes a stack."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from devtools.campaign.stack import free_ports
from tests.e2e.observability.files import PROMETHEUS, RULES, find_tool

START_SECONDS = 30.0


@dataclass(frozen=True)
class Prometheus:
    """Client of a running Prometheus server."""

    url: str

    def get(self, path: str, **params: str) -> Any:
        """Return the `data` of a response of its API; fails on an error."""
        response = httpx.get(f"{self.url}/api/v1/{path}", params=params, timeout=10)
        content = response.json()
        assert content["status"] == "success", content
        return content["data"]

    def query(self, expression: str) -> list[Any]:
        """Return the current result of an expression."""
        result: list[Any] = self.get("query", query=expression)["result"]
        return result

    def wait_for(self, expression: str, seconds: float = START_SECONDS) -> None:
        """Wait until the expression has a result."""
        deadline = time.monotonic() + seconds
        while not self.query(expression):
            assert time.monotonic() < deadline, f"{expression} has no result"
            time.sleep(0.2)


@contextmanager
def run_prometheus(
    folder: Path, targets: dict[str, str], rules: Path = RULES
) -> Iterator[Prometheus]:
    """Run Prometheus with the configuration of deploy/, faster and for other targets.

    `targets` maps jobs to `host:port`; jobs without a target are left out. Alerts are sent to the
    target of the job `alertmanager`.
    """
    program = find_tool("prometheus")
    (port,) = free_ports(1)
    file = folder / "prometheus.yml"
    config = _configure({**targets, "prometheus": f"127.0.0.1:{port}"}, rules)
    file.write_text(yaml.safe_dump(config))
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                # An alert may fire before Alertmanager has been discovered.
                "--rules.alert.resend-delay=1s",
                "--log.level=warn",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            prometheus = Prometheus(f"http://127.0.0.1:{port}")
            _wait_until_ready(prometheus.url)
            yield prometheus
        finally:
            process.terminate()
            process.wait(20)


def _configure(targets: dict[str, str], rules: Path) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(PROMETHEUS.read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(rules)]
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    config["scrape_configs"] = [
        {
            **{k: v for k, v in jobs[name].items() if not k.endswith("sd_configs")},
            "static_configs": [{"targets": [target]}],
        }
        for name, target in targets.items()
    ]
    (alertmanager,) = config["alerting"]["alertmanagers"]
    known = [targets["alertmanager"]] if "alertmanager" in targets else []
    alertmanager["static_configs"] = [{"targets": known}]
    return config


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if httpx.get(f"{url}/-/ready").is_success:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, "Prometheus does not start"
        time.sleep(0.1)
