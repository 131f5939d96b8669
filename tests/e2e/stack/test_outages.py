"""Test outages of parts of the stack: no payment is lost or made twice."""

import asyncio
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from tests.e2e.stack.environment import (
    CARD,
    IBAN,
    TIMEOUT_SECONDS,
    Environment,
    announcement,
    assert_ledgers_match,
    open_environment,
    outcome,
    wait_until,
)
from tests.e2e.stack.sandbox import decoded
from tests.e2e.stack.traffic import AnsweredPayment, Traffic
from tests.support.stack import Stack, running_stack

pytestmark = pytest.mark.e2e

SETTLE_SECONDS = 6
"""Long enough for a restart in between."""


@pytest.fixture(scope="session")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack to be broken; its callers soon get Pending."""
    env = {"SANDBOX_SETTLE_SECONDS": str(SETTLE_SECONDS), "INTEGRATOR_SYNC_BUDGET_SECONDS": "2"}
    with running_stack(tmp_path_factory.mktemp("outages"), env) as stack:
        yield stack


@pytest.fixture(scope="session")
def own(own_stack: Stack) -> Iterator[Environment]:
    with open_environment(own_stack) as environment:
        environment.sign_up(CARD, IBAN)
        yield environment


def assert_answered_within(seconds: float, environment: Environment, id: str) -> None:
    began = time.monotonic()
    assert outcome(environment.billwerk.get("Payment", id)) == "Succeeded"
    assert time.monotonic() - began < seconds


def test_without_a_worker_reads_are_fast_and_payments_continue_when_it_returns(
    own: Environment,
) -> None:
    known = own.paid("10.00")["transactionId"]
    body = own.billwerk.payment(own.agreements[CARD], "20.00")
    worker = own.stack.run["pids"]["worker"]
    os.kill(worker, signal.SIGSTOP)
    try:
        assert_answered_within(2, own, known)  # one question to the workflow, 1 s at most
        assert_answered_within(0.9, own, known)  # the store alone: less than any question takes
        answer = own.billwerk.post("Payment", body)
        assert outcome(answer) == "Pending"
        assert outcome(own.billwerk.get("Payment", body["transactionId"])) == "Pending"
        assert own.psp.ledger(body["transactionId"]) == []
    finally:
        os.kill(worker, signal.SIGCONT)
    result = own.seen("Payment", body, answer, webhooks=1)
    assert (result.last, result.booked) == ("Succeeded", ["charge"])
    assert result.webhooks == [announcement("payment", result.id)]
    assert_ledgers_match(result, "payment")
    assert own.stack.run["pids"]["worker"] == worker


def test_a_stopping_worker_completes_its_psp_call(own: Environment) -> None:
    """The PSP's response is neither lost nor requested again by the next worker."""
    faults = f"{own.stack.run['sandbox_psp']}/_control/faults"
    delay = {"kind": "delay", "seconds": 3, "operations": ["charge"], "count": 1}
    fault = httpx.post(faults, json=delay).raise_for_status().json()["id"]

    def in_flight() -> bool:
        return any(
            entry["id"] == fault and entry["hits"] for entry in httpx.get(faults).json()["data"]
        )

    body = own.billwerk.payment(own.agreements[CARD], "40.00")
    id = body["transactionId"]
    worker = own.stack.run["pids"]["worker"]
    with ThreadPoolExecutor(1) as caller:
        posting = caller.submit(own.billwerk.post, "Payment", body)
        wait_until(in_flight, "the call to the PSP")
        os.kill(worker, signal.SIGTERM)
        answer = posting.result()
    wait_until(lambda: own.stack.run["pids"]["worker"] != worker, "a new worker")
    assert "worker exited with code 0" in own.stack.console()
    assert own.psp.kinds(id) == ["charge"]  # it did not leave before the PSP had answered

    result = own.seen("Payment", body, answer, webhooks=1)
    assert (result.first, result.last, result.booked) == ("Pending", "Succeeded", ["charge"])
    calls = asyncio.run(calls_made(own.stack.run["temporal"], f"demo/payment/{id}", "charge"))
    assert calls == [(1, str(worker))]


async def calls_made(temporal: str, workflow: str, activity: str) -> list[tuple[int, str]]:
    """Return attempt and worker pid of each finished call, from the workflow's history."""
    client = await Client.connect(temporal)
    history = await client.get_workflow_handle(workflow).fetch_history()
    scheduled = {
        event.event_id
        for event in history.events
        if event.activity_task_scheduled_event_attributes.activity_type.name == activity
    }
    started = [event.activity_task_started_event_attributes for event in history.events]
    return [
        (event.attempt, event.identity.split("@")[0])
        for event in started
        if event.scheduled_event_id in scheduled
    ]


def kill(stack: Stack, name: str) -> None:
    """Kill a process; return when it has been restarted."""
    old = stack.run["pids"][name]
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: stack.run["pids"][name] != old, f"a new {name}")


def assert_paid_once(environment: Environment, payment: AnsweredPayment) -> None:
    """Assert that a payment succeeds as one charge and that a Pending caller is notified."""
    id = payment.request["transactionId"]
    body = environment.billwerk.wait_for("Payment", id, "Succeeded", TIMEOUT_SECONDS)
    assert environment.psp.kinds(id) == ["charge"]
    assert [item["externalItemId"] for item in body["payments"]] == [
        entry.psp_id for entry in environment.psp.ledger(id)
    ]
    if outcome(payment.answer) == "Pending":
        environment.billwerk.wait_for_webhook(id, 1, TIMEOUT_SECONDS)


@pytest.fixture(scope="session")
def payments(own: Environment) -> list[AnsweredPayment]:
    """Payments made while each process was killed once."""
    with Traffic(own) as traffic:
        for name in ("worker", "sandbox_psp", "temporal", "api"):
            traffic.wait_for_more(12)
            kill(own.stack, name)
        traffic.wait_for_more(12)
    return traffic.payments


def test_every_caller_gets_a_response_while_each_process_is_killed_in_turn(
    payments: list[AnsweredPayment], figures: list[str]
) -> None:
    answers = [outcome(payment.answer) for payment in payments]
    assert set(answers) <= {"Succeeded", "Pending"}
    lost = sum(payment.lost for payment in payments)
    figures.append(
        f"four processes killed under {len(payments)} payments: "
        f"{lost} answers lost, {answers.count('Pending')} answered Pending"
    )


@pytest.mark.usefixtures("run_last")
def test_killed_processes_lose_and_duplicate_no_payment(
    own: Environment, payments: list[AnsweredPayment]
) -> None:
    for payment in payments:
        assert_paid_once(own, payment)


def alive(pid: int) -> bool:
    """Whether a process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@dataclass(frozen=True)
class Restart:
    """State before a stack was stopped with Ctrl-C and started again."""

    run: dict[str, Any]
    settings: bytes
    paid: httpx.Response
    paid_request: dict[str, Any]
    pending: httpx.Response
    pending_request: dict[str, Any]
    exit_code: int
    left_over: list[str]


@pytest.fixture(scope="session")
def restart(own: Environment, payments: list[AnsweredPayment]) -> Restart:
    """A restart after the kills, with their open work."""
    paid = own.paid("30.00")
    debit = own.billwerk.debit(own.agreements[IBAN], "49.90")
    pending = own.billwerk.post("Payment", debit)
    run = own.stack.run
    settings = own.billwerk.client.get("/api/Settings").content
    answer = own.billwerk.get("Payment", paid["transactionId"])
    exit_code = own.stack.stop()
    left_over = [name for name, pid in run["pids"].items() if alive(pid)]
    own.stack.start()
    return Restart(run, settings, answer, paid, pending, debit, exit_code, left_over)


def test_a_stopped_stack_leaves_nothing_running(restart: Restart) -> None:
    assert (restart.exit_code, restart.left_over) == (0, [])


def test_token_and_settings_survive_a_restart(own: Environment, restart: Restart) -> None:
    assert own.stack.run["merchants"] == restart.run["merchants"]
    assert own.billwerk.client.get("/api/Settings").content == restart.settings


def test_a_payment_pending_at_a_restart_is_decided_and_announced(
    own: Environment, restart: Restart
) -> None:
    result = own.seen("Payment", restart.pending_request, restart.pending, webhooks=1)
    assert (result.first, result.last, result.booked) == ("Pending", "Succeeded", ["charge"])
    assert result.webhooks == [announcement("payment", result.id)]
    assert_ledgers_match(result, "payment")


def test_a_payment_from_before_a_restart_is_known_and_can_be_refunded(
    own: Environment, restart: Restart
) -> None:
    id = restart.paid_request["transactionId"]
    assert own.billwerk.get("Payment", id).content == restart.paid.content
    assert own.billwerk.post("Payment", restart.paid_request).content == restart.paid.content
    assert own.psp.kinds(id) == ["charge"]
    refund = decoded(own.billwerk.post("Refund", own.billwerk.refund(id, "30.00")))
    assert (refund["status"], refund["refundedAmount"]) == ("Succeeded", 30)


def replace_database(file: Path, copy: Path | None) -> None:
    """Replace a closed SQLite database by a backup, or remove it."""
    for database_file in file.parent.glob(f"{file.name}*"):
        database_file.unlink()
    if copy is not None:
        shutil.copy(copy, file)


@pytest.mark.usefixtures("run_last")
def test_restored_backups_of_different_times_duplicate_no_payment(
    own: Environment, tmp_path: Path
) -> None:
    """First a store older than Temporal, then an empty Temporal."""
    before = own.paid("31.00")
    store, copy = own.stack.data_dir / "integrator.db", tmp_path / "backup.db"
    with closing(sqlite3.connect(store)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    in_between = own.paid("32.00")
    ids = [body["transactionId"] for body in (before, in_between)]

    own.stack.stop()
    replace_database(store, copy)
    own.stack.start()
    assert own.billwerk.get("Payment", ids[1]).status_code == 404
    assert outcome(own.billwerk.post("Payment", in_between)) == "Succeeded"
    assert outcome(own.billwerk.get("Payment", ids[1])) == "Succeeded"

    own.stack.stop()
    replace_database(own.stack.data_dir / "temporal.db", None)
    own.stack.start()
    for body in (before, in_between):
        assert outcome(own.billwerk.post("Payment", body)) == "Succeeded"
    assert [own.psp.kinds(id) for id in ids] == [["charge"], ["charge"]]
    refund = own.billwerk.refund(ids[0], "31.00")
    assert outcome(own.billwerk.post("Refund", refund)) == "Succeeded"
    assert own.psp.kinds(refund["transactionId"]) == ["refund"]
