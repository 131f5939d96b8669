"""Parts of the stack stop, die and come back while money moves; nothing is lost or done twice."""

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

from tests.e2e.platform import (
    CARD,
    HANG_SECONDS,
    IBAN,
    World,
    announcement,
    around,
    assert_same_books,
    outcome,
    wait_until,
)
from tests.e2e.sandbox import decoded
from tests.e2e.traffic import Answered, Traffic
from tests.support.stack import Stack

pytestmark = pytest.mark.e2e

SETTLE_SECONDS = 6
"""Long enough for a restart in between."""


@pytest.fixture(scope="session")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack to be broken; its callers are told Pending soon."""
    env = {"SANDBOX_SETTLE_SECONDS": str(SETTLE_SECONDS), "INTEGRATOR_SYNC_BUDGET_SECONDS": "2"}
    stack = Stack(tmp_path_factory.mktemp("outages"), env)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def own(own_stack: Stack) -> Iterator[World]:
    with around(own_stack) as world:
        world.sign_up(CARD, IBAN)
        yield world


def assert_answered_within(seconds: float, world: World, id: str) -> None:
    began = time.monotonic()
    assert outcome(world.billwerk.get("Payment", id)) == "Succeeded"
    assert time.monotonic() - began < seconds


def test_without_a_worker_reads_are_fast_and_payments_go_on_when_it_is_back(own: World) -> None:
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
    seen = own.seen("Payment", body, answer, webhooks=1)
    assert (seen.last, seen.booked) == ("Succeeded", ["charge"])
    assert seen.webhooks == [announcement("payment", seen.id)]
    assert_same_books(seen, "payment")
    assert own.stack.run["pids"]["worker"] == worker


def test_a_stopping_worker_brings_home_the_call_it_has_made(own: World) -> None:
    """Its answer is neither lost nor asked for again by the next worker."""
    faults = f"{own.stack.run['sandbox_psp']}/_control/faults"
    delay = {"kind": "delay", "seconds": 3, "operations": ["charge"], "count": 1}
    fault = httpx.post(faults, json=delay).raise_for_status().json()["id"]

    def in_flight() -> bool:
        return any(one["id"] == fault and one["hits"] for one in httpx.get(faults).json()["data"])

    body = own.billwerk.payment(own.agreements[CARD], "40.00")
    id = body["transactionId"]
    worker = own.stack.run["pids"]["worker"]
    with ThreadPoolExecutor(1) as caller:
        asked = caller.submit(own.billwerk.post, "Payment", body)
        wait_until(in_flight, "the call to the PSP")
        os.kill(worker, signal.SIGTERM)
        answer = asked.result()
    wait_until(lambda: own.stack.run["pids"]["worker"] != worker, "a new worker")
    assert "worker ended with code 0" in own.stack.console()
    assert own.psp.kinds(id) == ["charge"]  # it did not leave before the PSP had answered

    seen = own.seen("Payment", body, answer, webhooks=1)
    assert (seen.first, seen.last, seen.booked) == ("Pending", "Succeeded", ["charge"])
    calls = asyncio.run(calls_made(own.stack.run["temporal"], f"demo/payment/{id}", "charge"))
    assert calls == [(1, str(worker))]


async def calls_made(temporal: str, workflow: str, activity: str) -> list[tuple[int, str]]:
    """Attempt and worker's pid of each finished call, from the workflow's history."""
    client = await Client.connect(temporal)
    history = await client.get_workflow_handle(workflow).fetch_history()
    scheduled = {
        event.event_id
        for event in history.events
        if event.activity_task_scheduled_event_attributes.activity_type.name == activity
    }
    started = [event.activity_task_started_event_attributes for event in history.events]
    return [
        (one.attempt, one.identity.split("@")[0])
        for one in started
        if one.scheduled_event_id in scheduled
    ]


def kill(stack: Stack, name: str) -> None:
    """End a process without a word; returns when it has been started again."""
    old = stack.run["pids"][name]
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: stack.run["pids"][name] != old, f"a new {name}")


def assert_paid_once(world: World, payment: Answered) -> None:
    """It succeeds in the end, as one charge, and whoever was told Pending is told so."""
    id = payment.request["transactionId"]
    body = world.billwerk.wait_for("Payment", id, "Succeeded", HANG_SECONDS)
    assert world.psp.kinds(id) == ["charge"]
    assert [item["externalItemId"] for item in body["payments"]] == [
        entry.psp_id for entry in world.psp.ledger(id)
    ]
    if outcome(payment.answer) == "Pending":
        world.billwerk.wait_for_webhook(id, 1, HANG_SECONDS)


@pytest.fixture(scope="session")
def payments(own: World) -> list[Answered]:
    """Payments made while each process was killed once."""
    with Traffic(own) as traffic:
        for name in ("worker", "sandbox_psp", "temporal", "api"):
            traffic.wait_for_more(12)
            kill(own.stack, name)
        traffic.wait_for_more(12)
    return traffic.payments


def test_every_caller_is_answered_though_each_process_is_killed_in_turn(
    payments: list[Answered], figures: list[str]
) -> None:
    answers = [outcome(payment.answer) for payment in payments]
    assert set(answers) <= {"Succeeded", "Pending"}
    lost = sum(payment.lost for payment in payments)
    figures.append(
        f"four processes killed under {len(payments)} payments: "
        f"{lost} answers lost, {answers.count('Pending')} answered Pending"
    )


@pytest.mark.usefixtures("comes_last")
def test_killed_processes_lose_no_payment_and_make_none_twice(
    own: World, payments: list[Answered]
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
    """What was there before a stack was stopped with Ctrl-C and started again."""

    run: dict[str, Any]
    settings: bytes
    paid: httpx.Response
    paid_request: dict[str, Any]
    pending: httpx.Response
    pending_request: dict[str, Any]
    exit_code: int
    left_over: list[str]


@pytest.fixture(scope="session")
def restart(own: World, payments: list[Answered]) -> Restart:
    """A restart after the killing, with what that left to be done still open."""
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


def test_token_and_settings_outlive_a_restart(own: World, restart: Restart) -> None:
    assert own.stack.run["merchants"] == restart.run["merchants"]
    assert own.billwerk.client.get("/api/Settings").content == restart.settings


def test_what_was_pending_at_a_restart_is_settled_and_announced(
    own: World, restart: Restart
) -> None:
    seen = own.seen("Payment", restart.pending_request, restart.pending, webhooks=1)
    assert (seen.first, seen.last, seen.booked) == ("Pending", "Succeeded", ["charge"])
    assert seen.webhooks == [announcement("payment", seen.id)]
    assert_same_books(seen, "payment")


def test_a_payment_from_before_a_restart_is_known_and_can_be_refunded(
    own: World, restart: Restart
) -> None:
    id = restart.paid_request["transactionId"]
    assert own.billwerk.get("Payment", id).content == restart.paid.content
    assert own.billwerk.post("Payment", restart.paid_request).content == restart.paid.content
    assert own.psp.kinds(id) == ["charge"]
    refund = decoded(own.billwerk.post("Refund", own.billwerk.refund(id, "30.00")))
    assert (refund["status"], refund["refundedAmount"]) == ("Succeeded", 30)


def put_in_place_of(file: Path, copy: Path | None) -> None:
    """A backup instead of a SQLite database, or nothing at all; only while nobody has it open."""
    for one in file.parent.glob(f"{file.name}*"):
        one.unlink()
    if copy is not None:
        shutil.copy(copy, file)


@pytest.mark.usefixtures("comes_last")
def test_restored_backups_of_different_times_move_no_money_twice(
    own: World, tmp_path: Path
) -> None:
    """First a store older than Temporal, then a Temporal that has forgotten everything."""
    before = own.paid("31.00")
    store, copy = own.stack.data_dir / "integrator.db", tmp_path / "backup.db"
    with closing(sqlite3.connect(store)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    in_between = own.paid("32.00")
    ids = [body["transactionId"] for body in (before, in_between)]

    own.stack.stop()
    put_in_place_of(store, copy)
    own.stack.start()
    assert own.billwerk.get("Payment", ids[1]).status_code == 404
    assert outcome(own.billwerk.post("Payment", in_between)) == "Succeeded"
    assert outcome(own.billwerk.get("Payment", ids[1])) == "Succeeded"

    own.stack.stop()
    put_in_place_of(own.stack.data_dir / "temporal.db", None)
    own.stack.start()
    for body in (before, in_between):
        assert outcome(own.billwerk.post("Payment", body)) == "Succeeded"
    assert [own.psp.kinds(id) for id in ids] == [["charge"], ["charge"]]
    refund = own.billwerk.refund(ids[0], "31.00")
    assert outcome(own.billwerk.post("Refund", refund)) == "Succeeded"
    assert own.psp.kinds(refund["transactionId"]) == ["refund"]
