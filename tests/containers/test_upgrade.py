"""`deploy/upgrade.sh` under load: to a version with a new workflow branch, back, and again."""

import asyncio
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.containers.deployment import URL, WEBHOOK_HOST, Deployment
from tests.containers.load import Load, Report, Target
from tests.containers.merchants import SANDBOX_CONTROL, Merchant
from tests.containers.names import async_client
from tests.containers.test_lifecycle import read_revision
from tests.containers.versions import REVISION
from tests.e2e.stack.sandbox import SandboxPsp

CAPACITY_SECONDS = 10
CAPACITY_CALLERS = 8
SHARE_OF_CAPACITY = 1 / 3
SETTINGS = {"UPGRADE_RAMP_SECONDS": "3"}
UPGRADE_STEPS = (1, 2, 3, 4, 5, 6, 7)
ROLLBACK_STEPS = (1, 3, 5, 4, 6, 7)
KILL_DELAY_SECONDS = 0.7


def target(deployment: Deployment, merchant: Merchant) -> Target:
    """Return what the load is put on."""
    return Target(
        url=URL,
        tls=deployment.tls_context(),
        token=merchant.token,
        notification_url=merchant.notification_url,
        webhook_secret=merchant.webhook_secret,
        psp_control_url=SANDBOX_CONTROL,
        webhook_target=f"https://{WEBHOOK_HOST}/hooks/psp",
    )


@pytest.fixture(scope="module")
def rate(deployment: Deployment, merchant: Merchant, figures: list[str]) -> float:
    """A third of the requests per second that this deployment serves at the most."""

    async def measure() -> float:
        to = target(deployment, merchant)
        async with async_client(to.tls) as http:
            load = Load(to, http, rate=0)
            await load.sign_up()
            capacity = await load.measure_capacity(CAPACITY_SECONDS, CAPACITY_CALLERS)
            assert (await load.verify()).failed == []
        figures.append(f"Capacity: {capacity:.1f} requests/s\n{load.report.table()}")
        return capacity

    return asyncio.run(measure()) * SHARE_OF_CAPACITY


@contextmanager
def under_load(deployment: Deployment, merchant: Merchant, rate: float) -> Iterator[Report]:
    """Send requests in a thread until the block ends; the report is complete afterwards."""
    report = Report()
    stopped = threading.Event()
    errors: list[Exception] = []

    async def send() -> None:
        to = target(deployment, merchant)
        async with async_client(to.tls) as http:
            load = Load(to, http, rate)
            load.report = report
            await load.sign_up()
            stop = asyncio.Event()
            sending = asyncio.create_task(load.run(stop))
            await asyncio.to_thread(stopped.wait)
            stop.set()
            await sending
            await load.verify()

    def run() -> None:
        try:
            asyncio.run(send())
        except Exception as error:  # noqa: BLE001 - raised in the test's thread
            errors.append(error)

    thread = threading.Thread(target=run)
    # The logs of removed containers would be gone when a request turns out to have failed.
    with deployment.follow_warnings("api") as warnings:
        thread.start()
        try:
            yield report
        finally:
            stopped.set()
            thread.join()
    report.warnings = warnings
    if errors:
        raise errors[0]


def upgrade(deployment: Deployment, argument: str) -> str:
    """Run the script to its end; return its output."""
    result = deployment.run_unchecked("deploy/upgrade.sh", argument, env=SETTINGS, timeout=500)
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    return result.stdout


def require_unnoticed(
    report: Report, title: str, figures: list[str], charged_back: str | None = None
) -> None:
    """Fail if a request failed, or a transaction changed or ended otherwise than asked for.

    Except the payment that the test has charged back.
    """
    figures.append(f"{title}\n{report.table()}")
    assert report.failed[:5] == [], "\n".join(report.warnings)
    assert report.reverted == []
    assert [c for c in report.changed if c.expected.id != charged_back] == []


def running_versions(deployment: Deployment) -> dict[str, set[str]]:
    """Return the versions of the images that run for each service of the project."""
    versions: dict[str, set[str]] = {}
    for container in deployment.containers():
        image, _, version = container["Image"].rpartition(":")
        if image.startswith("payment-integrator") and container["State"] == "running":
            versions.setdefault(container["Service"], set()).add(version)
    return versions


def require_version(deployment: Deployment, version: str) -> None:
    """Fail unless only this version runs, and `docker compose up` changes nothing about it."""
    versions = running_versions(deployment)
    assert set().union(*versions.values()) == {version}, versions
    assert deployment.read_settings()["INTEGRATOR_VERSION"] == version
    for service in ("api", "worker"):
        deployment.wait_until_healthy(service, 2)
    before = {c["ID"] for c in deployment.containers() if c["State"] == "running"}
    deployment.up("sandbox")
    assert before <= {c["ID"] for c in deployment.containers()}
    (worker, _) = deployment.running("worker")
    build = deployment.run("docker", "exec", worker["ID"], "integrator", "worker", "build-id")
    current = deployment.integrator("worker", "current")
    assert current.strip() == build.strip()


def test_upgrade_under_load(
    deployment: Deployment, merchant: Merchant, rate: float, figures: list[str]
) -> None:
    with under_load(deployment, merchant, rate) as report:
        upgrade(deployment, "next")
    require_unnoticed(report, "Upgrade", figures)
    assert read_revision(deployment) == REVISION
    require_version(deployment, "next")


def test_rollback_and_second_upgrade_under_load(
    deployment: Deployment, merchant: Merchant, rate: float, figures: list[str]
) -> None:
    """Transactions that took the new branch wait on the old version, and go on with the new one.

    The second upgrade is killed in the middle and run again.
    """
    with under_load(deployment, merchant, rate) as report:
        payment = paid_on_new_version(deployment, merchant)
        upgrade(deployment, "--rollback")
        require_version(deployment, "current")
        assert read_revision(deployment) == REVISION
        psp = SandboxPsp(SANDBOX_CONTROL.removesuffix("/_control"), merchant.api_key)
        psp.charge_back(payment)
        psp.close()
        wait_for_failed_tasks(deployment)
        assert charged_back(deployment, merchant, payment) == 0
        kill_in_step(deployment, "next", 5)
        upgrade(deployment, "next")
    require_unnoticed(report, "Rollback, and upgrade again", figures, payment)
    wait_for_chargeback(deployment, merchant, payment)


def paid_on_new_version(deployment: Deployment, merchant: Merchant) -> str:
    """Return the newest payment, whose workflow has the new branch in its history."""
    command = ("list", "--merchant", merchant.name, "--status", "Succeeded", "--json")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        listed = json.loads(deployment.integrator(*command, "--since", "1m"))
        payments = [t for t in listed["transactions"] if t["kind"] == "payment"]
        if payments:
            return str(payments[0]["transaction_id"])
    raise AssertionError("the load has no paid payment")


def wait_for_failed_tasks(deployment: Deployment, timeout: float = 60) -> None:
    """Wait until workers of the old version have failed to replay the new branch."""
    deadline = time.monotonic() + timeout
    while True:
        counts = [
            int(deployment.run("docker", "exec", w["ID"], "integrator", "worker", "failed-tasks"))
            for w in deployment.running("worker")
        ]
        if any(counts):
            return
        assert time.monotonic() < deadline, counts
        time.sleep(1)


def charged_back(deployment: Deployment, merchant: Merchant, payment: str) -> float:
    """Return the charged back amount of a payment."""
    with deployment.client() as client:
        response = client.get(f"/api/Payment/{payment}", headers=merchant.headers)
    return sum(float(item["amount"]) for item in response.json().get("chargebacks", ()))


def wait_for_chargeback(deployment: Deployment, merchant: Merchant, payment: str) -> None:
    """Wait until the payment shows its chargeback."""
    deadline = time.monotonic() + 120
    while charged_back(deployment, merchant, payment) == 0:
        assert time.monotonic() < deadline, "the chargeback did not arrive"
        time.sleep(1)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_killed_script_finishes_when_run_again(
    deployment: Deployment, merchant: Merchant, rate: float, figures: list[str]
) -> None:
    """Killed in each of its steps, it goes on there; requests do not notice."""
    with under_load(deployment, merchant, rate) as report:
        for step in ROLLBACK_STEPS:
            kill_in_step(deployment, "--rollback", step)
        upgrade(deployment, "--rollback")
        require_version(deployment, "current")
        for step in UPGRADE_STEPS:
            kill_in_step(deployment, "next", step)
        upgrade(deployment, "next")
        require_version(deployment, "next")
    require_unnoticed(report, "Rollback and upgrade, killed in each step", figures)


def kill_in_step(deployment: Deployment, argument: str, step: int) -> None:
    """Start the script and kill it shortly after it has begun this step."""
    script = subprocess.Popen(
        ["deploy/upgrade.sh", argument],
        cwd=deployment.folder,
        env=os.environ | SETTINGS,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert script.stdout is not None
    output = []
    for line in script.stdout:
        output.append(line)
        if f" step {step}: " in line:
            time.sleep(KILL_DELAY_SECONDS)
            script.send_signal(signal.SIGKILL)
            break
    script.stdout.close()
    assert script.wait() == -signal.SIGKILL, "".join(output)
