"""Prometheus scrapes every process, and an alert and its resolution reach the receiver."""

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.containers.deployment import HOST_IN_CONTAINERS, Deployment
from tests.support.alert_receiver import AlertReceiver
from tests.support.paths import ROOT

PROMETHEUS = "http://127.0.0.1:9090"
JOBS = {"api", "worker", "codec-server", "proxy", "temporal", "alertmanager", "prometheus"}
ALERT_SECONDS = 300
"""The rules as they are: two minutes without a worker, then the groups' intervals."""

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def receiver(deployment: Deployment) -> Iterator[AlertReceiver]:
    """The receiver of the deployment's alerts. Grafana is not started: its image is not built."""
    with AlertReceiver("0.0.0.0") as receiver:  # noqa: S104 - reached from containers
        port = receiver.base_url.rpartition(":")[2]
        address = f"http://{HOST_IN_CONTAINERS}:{port}/alerts"
        (deployment.folder / "deploy/secrets/alert_webhook_url").write_text(address)
        services = ("up", "--detach", "--wait", "prometheus", "alertmanager")
        deployment.compose("--profile", "observability", *services)
        yield receiver


def targets() -> dict[str, list[str]]:
    """Return the health of the targets of each job."""
    response = httpx.get(f"{PROMETHEUS}/api/v1/targets").raise_for_status()
    health: dict[str, list[str]] = {}
    for target in response.json()["data"]["activeTargets"]:
        health.setdefault(target["labels"]["job"], []).append(target["health"])
    return health


@pytest.mark.usefixtures("receiver")
def test_every_process_is_scraped() -> None:
    deadline = time.monotonic() + 90
    while True:
        found = targets()
        if set(found) == JOBS and all(set(h) == {"up"} for h in found.values()):
            break
        assert time.monotonic() < deadline, found
        time.sleep(1)
    assert len(found["api"]) == len(found["worker"]) == 2


def test_an_alert_and_its_resolution_arrive(
    deployment: Deployment, receiver: AlertReceiver
) -> None:
    deployment.compose("stop", "worker")
    alert = receiver.wait_for("NoWorker", "firing", ALERT_SECONDS)
    page, _, anchor = alert.annotations["runbook_url"].partition("#")
    headings = (ROOT / page).read_text().lower().splitlines()
    assert f"### {anchor}" in headings
    deployment.compose("start", "worker")
    receiver.wait_for("NoWorker", "resolved", ALERT_SECONDS)
