"""From nothing to a paid payment, and on: one deployment that lives through all tests in order."""

import json

import pytest

from tests.containers.demo import play_demo
from tests.containers.deployment import URL, Deployment
from tests.containers.merchants import Merchant

JOBS = {"temporal-schema", "temporal-namespace", "migrate"}
HUNG_WORKER_SECONDS = 60


def test_everything_starts_from_nothing(deployment: Deployment) -> None:
    deployment.up("sandbox")
    states = {c["Service"]: (c["State"], c["Health"]) for c in deployment.containers()}
    assert {states.pop(job) for job in JOBS} == {("exited", "")}
    assert set(states.values()) == {("running", "healthy")}, states


def test_first_workers_promote_themselves(deployment: Deployment) -> None:
    (worker, _) = deployment.running("worker")
    own = deployment.run("docker", "exec", worker["ID"], "integrator", "worker", "build-id")
    versions = json.loads(deployment.integrator("worker", "versions", "--json"))["versions"]
    assert [(v["build_id"], v["status"]) for v in versions] == [(own.strip(), "current")]


def test_demo_through_the_proxy(deployment: Deployment, merchant: Merchant) -> None:
    results = play_demo(deployment, merchant)
    assert [result for result in results if not result.passed] == []
    assert len(results) == 17


def test_doctor_finds_nothing(deployment: Deployment, merchant: Merchant) -> None:
    report = deployment.integrator("doctor")
    assert "problem" not in report, report
    assert "warning" not in report, report


def test_command_starts_no_other_service(deployment: Deployment) -> None:
    deployment.compose("stop", "temporal", "temporal-ui")
    before = {c["ID"]: c["State"] for c in deployment.containers()}
    assert "demo" in deployment.integrator("merchant", "list")
    assert {c["ID"]: c["State"] for c in deployment.containers()} == before
    deployment.compose("start", "temporal", "temporal-ui")


def test_newer_command_refuses_older_database(deployment: Deployment) -> None:
    command = ("docker", "compose", "run", "--rm", "api", "integrator", "merchant", "list")
    before = read_revision(deployment)
    result = deployment.run_unchecked(*command, env={"INTEGRATOR_VERSION": "next"})
    assert result.returncode == 1
    assert before in result.stderr
    assert "integrator migrate" in result.stderr
    assert "demo" not in result.stdout
    assert read_revision(deployment) == before


def read_revision(deployment: Deployment) -> str:
    """Return the revision of the integrator's schema."""
    query = "SELECT version_num FROM alembic_version"
    psql = ("psql", "-U", "postgres", "-d", "integrator", "-tAc", query)
    return deployment.compose("exec", "-T", "postgres", *psql).strip()


def test_hung_worker_is_unhealthy(deployment: Deployment) -> None:
    """Stopped as a whole by a signal, as a process that swaps or hangs in the kernel."""
    deployment.wait_for_health("worker", "healthy", 120)
    (worker, _) = deployment.running("worker")
    deployment.run("docker", "kill", "--signal", "STOP", worker["ID"])
    deployment.wait_for_health("worker", "unhealthy", HUNG_WORKER_SECONDS)
    deployment.run("docker", "kill", "--signal", "CONT", worker["ID"])
    deployment.wait_until_healthy("worker", 2)


def test_data_outlives_the_containers(deployment: Deployment, merchant: Merchant) -> None:
    before = json.loads(deployment.integrator("list", "--json", "--limit", "100"))
    deployment.down(volumes=False)
    assert deployment.containers() == []
    deployment.up("sandbox")
    assert json.loads(deployment.integrator("list", "--json", "--limit", "100")) == before
    results = play_demo(deployment, merchant)
    assert [result for result in results if not result.passed] == []


def test_probes_are_not_public(deployment: Deployment) -> None:
    with deployment.client() as client:
        assert client.get(f"{URL}/healthz").status_code == 404
        assert client.get(f"{URL}/readyz").status_code == 404


@pytest.mark.full
@pytest.mark.parametrize(
    "service", ["temporal", "postgres", "worker", "api", "proxy", "codec-server", "temporal-ui"]
)
def test_killed_service_recovers(deployment: Deployment, merchant: Merchant, service: str) -> None:
    """Docker restarts what was killed, and payments go on without a command of an operator."""
    running = deployment.running(service)
    for container in running:
        deployment.kill(container)
    deployment.wait_until_healthy(service, len(running))
    results = play_demo(deployment, merchant)
    assert [result for result in results if not result.passed] == []
