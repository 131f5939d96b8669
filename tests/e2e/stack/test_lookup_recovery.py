"""Test that unknown outcomes are found out soon after a PSP that answered no look-up recovers.

Its stack is its own: no look-up of it is answered, no webhook arrives, and reconciliation is off.
"""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Any

import httpx
import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from tests.e2e.stack.environment import IBAN, Environment, open_environment, outcome, wait_until
from tests.support.stack import Stack, running_stack
from workflows.messages import LOOK_UP, workflow_id
from workflows.state import TransactionKind

pytestmark = pytest.mark.e2e

DEBITS = 8
COUNTED = 1_000_000
"""Never reached: the sandbox counts the hits of limited faults only."""
PROBES = 3
"""Unanswered questions of the job to wait for."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    env = {
        "SANDBOX_SETTLE_SECONDS": "1",
        "INTEGRATOR_SYNC_BUDGET_SECONDS": "2",
        # It would find the outcomes, too, by its own list of events.
        "INTEGRATOR_RECONCILE_EVERY_SECONDS": "86400",
    }
    with running_stack(tmp_path_factory.mktemp("lookups"), env) as stack:
        yield stack


@pytest.fixture(scope="module")
def environment(stack: Stack) -> Iterator[Environment]:
    with open_environment(stack) as environment:
        environment.sign_up(IBAN)
        yield environment


@pytest.fixture(scope="module", autouse=True)
def _start_background() -> None:
    """Disable the background scenarios: this file uses its own stack."""


class Faults:
    """Faults of the stack's sandbox PSP."""

    def __init__(self, environment: Environment) -> None:
        self._url = f"{environment.stack.run['sandbox_psp']}/_control/faults"

    def set(self, **fault: Any) -> str:
        return str(httpx.post(self._url, json=fault).raise_for_status().json()["id"])

    def hits(self, fault: str) -> int:
        faults = httpx.get(self._url).raise_for_status().json()["data"]
        return int(next(entry["hits"] for entry in faults if entry["id"] == fault))

    def remove(self, fault: str) -> None:
        httpx.delete(f"{self._url}/{fault}").raise_for_status()


def workflow(id: str) -> str:
    return workflow_id("demo", TransactionKind.PAYMENT, id)


async def ask_for_lookups(temporal: str, ids: list[str]) -> None:
    client = await Client.connect(temporal)
    for id in ids:
        await client.get_workflow_handle(workflow(id)).signal(LOOK_UP)


async def count_events(temporal: str, id: str) -> tuple[int, int]:
    """Return how often the workflow was signalled to look up, and how often that had no answer."""
    client = await Client.connect(temporal)
    history = await client.get_workflow_handle(workflow(id)).fetch_history()
    names = [
        event.workflow_execution_signaled_event_attributes.signal_name for event in history.events
    ]
    ends = (EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED, EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT)
    return names.count(LOOK_UP), sum(event.event_type in ends for event in history.events)


def has_given_up(temporal: str, id: str) -> bool:
    return asyncio.run(count_events(temporal, id)) == (1, 1)


def failed_lookups(stack: Stack) -> int:
    with closing(sqlite3.connect(stack.data_dir / "integrator.db")) as database:
        query = "SELECT count(*) FROM transactions WHERE lookup_failed_at IS NOT NULL"
        return int(database.execute(query).fetchone()[0])


def test_all_unknown_outcomes_are_known_within_a_minute_after_the_psp_answers_again(
    environment: Environment, figures: list[str]
) -> None:
    faults, stack = Faults(environment), environment.stack
    faults.set(kind="drop_webhook")
    unreadable = faults.set(kind="error", operations=["fetch", "search"], count=COUNTED)
    bodies = [
        environment.billwerk.debit(environment.agreements[IBAN], "49.90") for _ in range(DEBITS)
    ]
    ids = [body["transactionId"] for body in bodies]
    assert {outcome(environment.billwerk.post("Payment", body)) for body in bodies} == {"Pending"}
    asyncio.run(ask_for_lookups(stack.run["temporal"], ids))
    wait_until(lambda: failed_lookups(stack) == DEBITS, "failed look-ups")
    temporal = stack.run["temporal"]
    for id in ids:
        wait_until(partial(has_given_up, temporal, id), f"the failed look-up of {id}")
    hits = faults.hits(unreadable)
    wait_until(lambda: faults.hits(unreadable) >= hits + PROBES, "questions of the job")
    assert asyncio.run(count_events(temporal, ids[0]))[0] == 1

    faults.remove(unreadable)
    began = time.monotonic()
    for id in ids:
        environment.billwerk.wait_for("Payment", id, "Succeeded", 60)
    figures.append(
        f"{DEBITS} unknown outcomes known {time.monotonic() - began:.0f} s after healing"
    )
    wait_until(lambda: failed_lookups(stack) == 0, "the end of all marks")
    assert all(asyncio.run(count_events(temporal, id))[0] >= 2 for id in ids)
