"""Test operators' commands on a running stack of their own.

Their faults would hit the scenarios of the shared stack, and they stop its worker.
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

from tests.e2e.stack.environment import CARD, Environment, open_environment, outcome, wait_until
from tests.support.stack import Stack, running_stack

pytestmark = pytest.mark.e2e

LINES = 40


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    env = {"SANDBOX_SETTLE_SECONDS": "1", "INTEGRATOR_SYNC_BUDGET_SECONDS": "1"}
    with running_stack(tmp_path_factory.mktemp("operators"), env) as stack:
        yield stack


@pytest.fixture(scope="module")
def environment(stack: Stack) -> Iterator[Environment]:
    with open_environment(stack) as environment:
        environment.sign_up(CARD)
        yield environment


@pytest.fixture(scope="module", autouse=True)
def _start_background() -> None:
    """Disable the background scenarios: this file uses its own stack."""


@dataclass
class Operator:
    """Runs commands on the stack's machine."""

    stack: Stack

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command, expect the exit code and return its output."""
        done = subprocess.run(
            [sys.executable, "-m", "integrator.cli", *arguments],
            env=self.stack.env,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def run_json(self, *arguments: str, code: int = 0) -> Any:
        """Run a command and return its JSON document."""
        return json.loads(self.run(*arguments, "--json", code=code))

    def delete_workflow(self, kind: str, id: str) -> None:
        """Delete a workflow, as after Temporal's retention."""
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
def dropped_charges(environment: Environment) -> Iterator[None]:
    """Drop responses and webhooks of booked charges: the outcome stays unknown."""
    faults = f"{environment.stack.run['sandbox_psp']}/_control/faults"
    fault = {"kind": "drop", "when": "after", "operations": ["charge"]}
    httpx.post(faults, json=fault).raise_for_status()
    dropped_webhook = {"kind": "drop_webhook"}
    httpx.post(faults, json=dropped_webhook).raise_for_status()
    try:
        yield
    finally:
        httpx.delete(faults).raise_for_status()


def without_source(screen: str) -> list[str]:
    """Return the lines of an explanation except the one with the state's source."""
    lines = screen.splitlines()
    assert len(lines) <= LINES
    return [line for line in lines if not line.startswith(("Present state", "State from"))]


def eventually(read: Callable[[], Any], condition: Callable[[Any], bool], what: str) -> Any:
    """Read until the condition holds; each command takes long enough for a pause."""
    deadline = time.monotonic() + 40
    while not condition(value := read()):
        assert time.monotonic() < deadline, f"still waiting for {what}: {value}"
    return value


def test_a_timeline_survives_its_workflow(environment: Environment, operator: Operator) -> None:
    id = environment.paid("30.00")["transactionId"]
    refund = environment.billwerk.refund(id, "10.00")
    assert outcome(environment.billwerk.post("Refund", refund)) == "Succeeded"
    environment.psp.charge_back(id, 500)
    wait_until(lambda: environment.billwerk.webhooks_of(id) != [], "the chargeback's announcement")
    before = eventually(
        lambda: operator.run("explain", id),
        lambda screen: "HTTP 200" in screen and "Present state of its workflow." in screen,
        "the delivery's record",
    )
    for expected in ("30.00 EUR taken", "10.00 EUR given back", "5.00 EUR charged back"):
        assert expected in before
    assert refund["transactionId"] in before
    operator.delete_workflow("payment", id)
    after = eventually(
        lambda: operator.run("explain", id),
        lambda screen: "State from the store: Temporal does not keep" in screen,
        "the workflow's end",
    )
    assert without_source(after) == without_source(before)
    charge = environment.psp.ledger(id)[0].psp_id
    assert operator.run_json("explain", charge)["transaction"]["transaction_id"] == id


def test_an_unknown_outcome_is_decided_by_an_operator(
    environment: Environment, operator: Operator
) -> None:
    with dropped_charges(environment):
        body = environment.billwerk.payment(environment.agreements[CARD], "20.00")
        assert outcome(environment.billwerk.post("Payment", body)) == "Pending"
        id = body["transactionId"]
        undecided = operator.run("explain", id)
        assert len(undecided.splitlines()) <= LINES
        assert "what became of the request" in undecided
        wait_until(lambda: environment.psp.ledger(id) != [], "the dropped booking")
        psp_id = environment.psp.ledger(id)[0].psp_id
        arguments = ("--psp-id", psp_id, "--amount", "20.00", "--by", "ada", "--yes")
        reason = ("--reason", "seen at the PSP's dashboard")
        done = operator.run_json("resolve", id, "succeeded", *reason, *arguments)
    changes = (done["status_before"], done["status_after"], done["refusal"])
    assert changes == ("Pending", "Succeeded", None)
    assert outcome(environment.billwerk.get("Payment", id)) == "Succeeded"
    wait_until(lambda: environment.billwerk.webhooks_of(id) != [], "the decision's announcement")
    (decision, *_) = operator.run_json("decisions", "--merchant", "demo")["decisions"]
    assert (decision["transaction_id"], decision["outcome"]) == (id, "done")
    assert (decision["decided_by"], decision["reason"]) == ("ada", "seen at the PSP's dashboard")
    refused = operator.run_json("resolve", id, "failed", *reason, "--yes", code=1)
    assert "Succeeded already" in refused["refusal"]
    assert environment.psp.kinds(id) == ["charge"]


def test_undelivered_webhooks_are_redelivered_by_filter(
    environment: Environment, operator: Operator
) -> None:
    environment.billwerk.respond = lambda body: 503
    body = environment.billwerk.payment(environment.agreements[CARD], "20.05")
    assert outcome(environment.billwerk.post("Payment", body)) == "Pending"
    id = body["transactionId"]
    wait_until(
        lambda: any(a.body["TransactionId"] == id for a in environment.billwerk.attempts), "a try"
    )
    listed = eventually(
        lambda: operator.run_json("list", "--webhook", "delivering"),
        lambda found: found["transactions"] != [],
        "the failed attempt's record",
    )
    assert [row["transaction_id"] for row in listed["transactions"]] == [id]
    # Without its workflow the delivery is not retried.
    operator.delete_workflow("payment", id)
    environment.billwerk.respond = lambda body: 200
    chosen = ("webhook", "redeliver", "--merchant", "demo", "--since", "1h")
    selected = operator.run_json(*chosen, "--dry-run")["asked"]
    assert f"demo/{id}" in selected
    assert operator.run_json(*chosen)["asked"] == selected
    wait_until(lambda: environment.billwerk.webhooks_of(id) != [], "what was missed")


def test_reconciliation_is_started_by_command(environment: Environment, operator: Operator) -> None:
    done = operator.run_json("reconcile", "--merchant", "demo", "--since", "1h")
    assert done["problems"] == {}
    assert done["movements"].get("stray", 0) == 0


def test_doctor_detects_an_unresponsive_worker(stack: Stack, operator: Operator) -> None:
    report = operator.run_json("doctor")
    assert report["healthy"], report
    checks = {result["check"] for result in report["findings"]}
    assert {"clock", "workers of integrator", "merchant demo", "search attributes"} <= checks
    assert stack.demo["api_key"] not in json.dumps(report)
    worker = int(stack.run["pids"]["worker"])
    os.kill(worker, signal.SIGSTOP)
    try:
        report = operator.run_json("doctor", code=1)
    finally:
        os.kill(worker, signal.SIGCONT)
    bad = {result["check"] for result in report["findings"] if result["level"] == "problem"}
    assert bad == {"workers of integrator", "workers of integrator-reconcile"}
