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
from tests.observability.files import PROMETHEUS, RULES, tool

START_SECONDS = 30.0


@dataclass(frozen=True)
class Prometheus:
    """Its address."""

    url: str

    def get(self, path: str, **params: str) -> Any:
        """The `data` of an answer of its API; fails on an error."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=params, timeout=10)
        content = answer.json()
        assert content["status"] == "success", content
        return content["data"]

    def query(self, expression: str) -> list[Any]:
        """What an expression comes to now."""
        found: list[Any] = self.get("query", query=expression)["result"]
        return found

    def wait_for(self, expression: str, seconds: float = START_SECONDS) -> None:
        """Until the expression comes to anything."""
        deadline = time.monotonic() + seconds
        while not self.query(expression):
            assert time.monotonic() < deadline, f"{expression} shows nothing"
            time.sleep(0.2)


@contextmanager
def scraping(folder: Path, targets: dict[str, str]) -> Iterator[Prometheus]:
    """With the product's configuration and rules; only faster, and at other addresses.

    `targets` are job to `host:port`.
    """
    program = tool("prometheus")
    config = yaml.safe_load(PROMETHEUS.read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(RULES)]
    for job in config["scrape_configs"]:
        if job["job_name"] in targets:
            del job["dns_sd_configs"]
            job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    (port,) = free_ports(1)
    config["scrape_configs"][-1]["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            prometheus = Prometheus(f"http://127.0.0.1:{port}")
            _until_ready(prometheus.url)
            yield prometheus
        finally:
            process.terminate()
            process.wait(20)


def _until_ready(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if httpx.get(f"{url}/-/ready").is_success:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, "Prometheus does not start"
        time.sleep(0.1)
