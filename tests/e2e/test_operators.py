"""What an operator does at the command line while the system runs, on a stack of its own.

Its faults would hit whatever else is played on a shared one, and its worker is held up.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client

from tests.e2e.platform import CARD, World, around, outcome, wait_until
from tests.support.stack import Stack

pytestmark = pytest.mark.e2e

LINES = 40


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    env = {"SANDBOX_SETTLE_SECONDS": "1", "INTEGRATOR_SYNC_BUDGET_SECONDS": "1"}
    stack = Stack(tmp_path_factory.mktemp("operators"), env)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="module")
def world(stack: Stack) -> Iterator[World]:
    with around(stack) as world:
        world.sign_up(CARD)
        yield world


@pytest.fixture(scope="module", autouse=True)
def _from_the_start() -> None:
    """What the other files play in the background is not wanted here."""


@dataclass
class Operator:
    """Types commands on the stack's machine."""

    stack: Stack

    def types(self, *arguments: str, code: int = 0) -> str:
        """What the command prints, having ended with this exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "integrator.cli", *arguments],
            env=self.stack.env,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def reads(self, *arguments: str, code: int = 0) -> Any:
        """The command's document."""
        return json.loads(self.types(*arguments, "--json", code=code))

    def forgets(self, kind: str, id: str) -> None:
        """Temporal's retention is over: the workflow is gone."""
        asyncio.run(_delete(self.stack.run["temporal"], f"demo/{kind}/{id}"))


@pytest.fixture(scope="module")
def operator(stack: Stack) -> Operator:
    return Operator(stack)


async def _delete(address: str, id: str) -> None:
    client = await Client.connect(address)
    await client.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(
            namespace="default", workflow_execution=WorkflowExecution(workflow_id=id)
        )
    )


@contextmanager
def dropped_charges(world: World) -> Iterator[None]:
    """Charges are booked, and nobody hears of it: the outcome stays unknown."""
    faults = f"{world.stack.run['sandbox_psp']}/_control/faults"
    fault = {"kind": "drop", "when": "after", "operations": ["charge"]}
    httpx.post(faults, json=fault).raise_for_status()
    silence = {"kind": "drop_webhook"}
    httpx.post(faults, json=silence).raise_for_status()
    try:
        yield
    finally:
        httpx.delete(faults).raise_for_status()


def told(screen: str) -> list[str]:
    """The lines of an explanation but for the one that names its source."""
    lines = screen.splitlines()
    assert len(lines) <= LINES
    return [line for line in lines if not line.startswith("As ")]


def eventually(read: Callable[[], Any], wanted: Callable[[Any], bool], what: str) -> Any:
    """What is read as soon as it is as wanted; each command takes long enough for a pause."""
    deadline = time.monotonic() + 40
    while not wanted(found := read()):
        assert time.monotonic() < deadline, f"still waiting for {what}: {found}"
    return found


def test_a_story_outlives_its_workflow(world: World, operator: Operator) -> None:
    id = world.paid("30.00")["transactionId"]
    refund = world.billwerk.refund(id, "10.00")
    assert outcome(world.billwerk.post("Refund", refund)) == "Succeeded"
    world.psp.charge_back(id, 500)
    wait_until(lambda: world.billwerk.received(id) != [], "the chargeback's announcement")
    before = eventually(
        lambda: operator.types("explain", id),
        lambda screen: "HTTP 200" in screen and "As its workflow says now." in screen,
        "the delivery's record",
    )
    for said in ("30.00 EUR taken", "10.00 EUR given back", "5.00 EUR charged back"):
        assert said in before
    assert refund["transactionId"] in before
    operator.forgets("payment", id)
    after = eventually(
        lambda: operator.types("explain", id),
        lambda screen: "As the store says: Temporal does not keep" in screen,
        "the workflow's end",
    )
    assert told(after) == told(before)
    charge = world.psp.ledger(id)[0].psp_id
    assert operator.reads("explain", charge)["transaction"]["transaction_id"] == id


def test_an_unknown_outcome_is_decided(world: World, operator: Operator) -> None:
    with dropped_charges(world):
        body = world.billwerk.payment(world.agreements[CARD], "20.00")
        assert outcome(world.billwerk.post("Payment", body)) == "Pending"
        id = body["transactionId"]
        undecided = operator.types("explain", id)
        assert len(undecided.splitlines()) <= LINES
        assert "what became of the request" in undecided
        wait_until(lambda: world.psp.ledger(id) != [], "the booking nobody heard of")
        psp_id = world.psp.ledger(id)[0].psp_id
        arguments = ("--psp-id", psp_id, "--amount", "20.00", "--by", "ada", "--yes")
        reason = ("--reason", "seen at the PSP's dashboard")
        done = operator.reads("resolve", id, "succeeded", *reason, *arguments)
    changes = (done["status_before"], done["status_after"], done["refusal"])
    assert changes == ("Pending", "Succeeded", None)
    assert outcome(world.billwerk.get("Payment", id)) == "Succeeded"
    wait_until(lambda: world.billwerk.received(id) != [], "the decision's announcement")
    (decision, *_) = operator.reads("decisions", "--merchant", "demo")["decisions"]
    assert (decision["transaction_id"], decision["outcome"]) == (id, "done")
    assert (decision["decided_by"], decision["reason"]) == ("ada", "seen at the PSP's dashboard")
    refused = operator.reads("resolve", id, "failed", *reason, "--yes", code=1)
    assert "Succeeded already" in refused["refusal"]
    assert world.psp.kinds(id) == ["charge"]


def test_what_a_dead_target_missed_is_announced_by_filter(world: World, operator: Operator) -> None:
    world.billwerk.answer = lambda body: 503
    body = world.billwerk.payment(world.agreements[CARD], "20.05")
    assert outcome(world.billwerk.post("Payment", body)) == "Pending"
    id = body["transactionId"]
    wait_until(lambda: any(a.body["TransactionId"] == id for a in world.billwerk.attempts), "a try")
    listed = eventually(
        lambda: operator.reads("list", "--webhook", "delivering"),
        lambda found: found["transactions"] != [],
        "the failed attempt's record",
    )
    assert [row["transaction_id"] for row in listed["transactions"]] == [id]
    # Without its workflow nobody would try again.
    operator.forgets("payment", id)
    world.billwerk.answer = lambda body: 200
    chosen = ("webhook", "redeliver", "--merchant", "demo", "--since", "1h")
    meant = operator.reads(*chosen, "--dry-run")["asked"]
    assert f"demo/{id}" in meant
    assert operator.reads(*chosen)["asked"] == meant
    wait_until(lambda: world.billwerk.received(id) != [], "what was missed")


def test_the_books_are_compared_now(world: World, operator: Operator) -> None:
    done = operator.reads("reconcile", "--merchant", "demo", "--since", "1h")
    assert done["problems"] == {}
    assert done["movements"].get("stray", 0) == 0


def test_the_doctor_sees_a_worker_that_does_not_work(stack: Stack, operator: Operator) -> None:
    found = operator.reads("doctor")
    assert found["healthy"], found
    checks = {finding["check"] for finding in found["findings"]}
    assert {"clock", "workers of integrator", "merchant demo", "search attributes"} <= checks
    assert stack.demo["api_key"] not in json.dumps(found)
    worker = int(stack.run["pids"]["worker"])
    os.kill(worker, signal.SIGSTOP)
    try:
        found = operator.reads("doctor", code=1)
    finally:
        os.kill(worker, signal.SIGCONT)
    bad = {finding["check"] for finding in found["findings"] if finding["level"] == "problem"}
    assert bad == {"workers of integrator", "workers of integrator-reconcile"}
