"""Debits that wait for their day: sent once, on it, also if their workflow was reset or ended."""

import asyncio
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from integrator.contract.enums import PaymentErrorCode
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.debit_dates import waiting_time
from integrator.psp.types import DateWindow
from tests.integration.workflows.conftest import (
    WorkflowHarness,
    approved,
    eventually,
    open_harness,
    start_environment,
    time_skipping_disabled,
)
from tests.integration.workflows.resets import FIRST, LAST, reset
from tests.integration.workflows.test_decisions import FAILED, decision
from tests.replay.scenarios.builders import NOT_FOUND, start_workflow
from tests.replay.scenarios.rewound import store, store_recorded
from tests.replay.scenarios.waiting import ACCEPTED, WAIT, stored_state, waiting_debit
from workflows import activity_plans
from workflows.state import DecisionKind, EvidenceKind, PaymentState, TransactionKind

PAYMENT = TransactionKind.PAYMENT


async def wait_until_sent(harness: WorkflowHarness, calls: int = 1) -> None:
    await eventually(lambda: len(harness.calls_of(activity_plans.CHARGE)) == calls)


async def wait_until_asked(harness: WorkflowHarness, times: int) -> None:
    await eventually(lambda: len(harness.calls_of(activity_plans.FETCH_PAYMENT)) >= times)


def charges(harness: WorkflowHarness) -> int:
    return len(harness.calls_of(activity_plans.CHARGE))


async def pending_timers(handle: WorkflowHandle[Any, Any]) -> list[str]:
    """Return the summaries of the timers that were started."""
    history = await handle.fetch_history()
    return [
        json.loads(event.user_metadata.summary.data)
        for event in history.events
        if event.HasField("timer_started_event_attributes")
    ]


async def test_a_debit_is_pending_at_once_and_sent_on_its_day(harness: WorkflowHarness) -> None:
    start = waiting_debit(harness)
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [ACCEPTED]
    state: PaymentState = await harness.create_recorded(start)
    assert (state.status, state.answered) == (Status.Pending, False)
    assert state.due_date == start.execute_on
    assert harness.webhooks == []
    await harness.advance_time(PAYMENT, WAIT - timedelta(minutes=1))
    assert charges(harness) == 0
    await harness.advance_time(PAYMENT, timedelta(minutes=2))
    await wait_until_sent(harness)
    await eventually(lambda: '"answered":true' in harness.records[-1].snapshot)
    state = await harness.state(PAYMENT)
    assert (state.status, state.psp_transaction_id) == (Status.Pending, "ch_1")
    assert charges(harness) == 1


async def test_the_wait_is_recorded_and_shown(harness: WorkflowHarness) -> None:
    start = waiting_debit(harness)
    await harness.create_recorded(start)
    assert start.send_at is not None
    recorded = PaymentState.model_validate_json(harness.records[-1].snapshot)
    assert recorded.waiting_until == start.send_at
    [summary] = await pending_timers(harness.handle(PAYMENT))
    assert summary == (
        f"the debit of {start.execute_on} is sent at {start.send_at:%Y-%m-%d %H:%M:%S} UTC"
    )


async def test_a_look_up_does_not_end_a_debit_that_waits(harness: WorkflowHarness) -> None:
    start = waiting_debit(harness)
    await harness.create_recorded(start)
    with time_skipping_disabled(harness.env):
        await harness.client.look_up(start)
        await eventually(lambda: harness.calls_of(activity_plans.FETCH_PAYMENT))
        state = await harness.state(PAYMENT)
    assert (state.status, state.answered) == (Status.Pending, False)
    await harness.advance_time(PAYMENT, WAIT + timedelta(minutes=1))
    await wait_until_sent(harness)


async def test_a_debit_that_the_psp_has_is_not_sent(harness: WorkflowHarness) -> None:
    """For example one that an operator has created at the PSP."""
    start = waiting_debit(harness)
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [
        approved("ch_1", evidence=EvidenceKind.READ)
    ]
    await harness.create_recorded(start)
    with time_skipping_disabled(harness.env):
        await harness.client.look_up(start)
        await harness.wait_for_status(PAYMENT, Status.Succeeded)
    await harness.advance_time(PAYMENT, WAIT + timedelta(days=1))
    assert charges(harness) == 0


@pytest.mark.parametrize("reapply", [False, True], ids=["messages lost", "reapplied"])
@pytest.mark.parametrize("task", [FIRST, LAST], ids=["first task", "last task"])
async def test_a_reset_before_the_day_sends_once_on_it(
    harness: WorkflowHarness, task: int, reapply: bool
) -> None:
    start = waiting_debit(harness)
    await harness.create_recorded(start)
    store_recorded(harness)
    with time_skipping_disabled(harness.env):
        await reset(harness, PAYMENT, task, reapply=reapply)
        await harness.wait_for_status(PAYMENT, Status.Pending)
    assert charges(harness) == 0
    await harness.advance_time(PAYMENT, WAIT + timedelta(hours=2))
    await wait_until_sent(harness)
    assert all(call.psp_id for call in harness.calls_of(activity_plans.FETCH_PAYMENT))


async def test_a_terminated_debit_waits_on_and_is_sent_once(harness: WorkflowHarness) -> None:
    start = waiting_debit(harness)
    await harness.create_recorded(start)
    store_recorded(harness)
    await harness.handle(PAYMENT).terminate("test")
    with time_skipping_disabled(harness.env):
        # As the recovery job does it.
        recorded = PaymentState.model_validate_json(harness.records[-1].snapshot)
        await harness.client.look_up(start.model_copy(update={"resume": recorded}))
        await eventually(lambda: harness.calls_of(activity_plans.FETCH_PAYMENT))
        state = await harness.state(PAYMENT)
    assert (state.status, state.answered) == (Status.Pending, False)
    assert charges(harness) == 0
    await harness.advance_time(PAYMENT, WAIT + timedelta(hours=1))
    await wait_until_sent(harness)
    call = harness.calls_of(activity_plans.CHARGE)[0]
    assert call.idempotency_key == f"{harness.handle(PAYMENT).id}/charge"


async def test_a_debit_whose_day_has_passed_is_sent_at_once_by_a_later_run(
    harness: WorkflowHarness,
) -> None:
    """Temporal was restored from a backup, or was away, on the day."""
    start = waiting_debit(harness, send_at=datetime.now(UTC) - timedelta(days=2))
    state = stored_state(start)
    store(harness, state)
    await start_workflow(harness, start.model_copy(update={"resume": state}))
    await wait_until_sent(harness)
    await eventually(lambda: harness.records)
    assert PaymentState.model_validate_json(harness.records[-1].snapshot).answered


async def test_an_operator_ends_a_debit_that_waits_and_it_is_never_sent(
    harness: WorkflowHarness,
) -> None:
    start = waiting_debit(harness)
    await harness.create_recorded(start)
    reply = await harness.client.resolve(start, FAILED)
    assert (reply.status, reply.refusal) == (Status.Failed, None)
    await eventually(lambda: harness.webhooks)
    state = PaymentState.model_validate_json(harness.records[-1].snapshot)
    assert state.failure is not None
    assert (state.failure.code, state.waiting_until) == (PaymentErrorCode.Canceled, None)
    assert await harness.handle(PAYMENT).result() == Status.Failed.name
    assert charges(harness) == 0


async def test_a_decision_after_the_day_says_that_the_outcome_was_unknown(
    harness: WorkflowHarness,
) -> None:
    start = waiting_debit(harness, send_at=datetime.now(UTC) + timedelta(seconds=1))
    state = PaymentState.model_validate((await harness.create(start)).model_dump())
    late = decision(DecisionKind.FAILED, at=datetime.now(UTC) + timedelta(days=1))
    outcome = state.model_copy(update={"answered": False}).decided_outcome(late)
    assert outcome is not None
    assert getattr(outcome, "code", None) is PaymentErrorCode.Rejected


async def test_a_debit_that_was_decided_as_succeeded_is_not_sent(harness: WorkflowHarness) -> None:
    start = waiting_debit(harness)
    await harness.create_recorded(start)
    paid = decision(DecisionKind.SUCCEEDED, psp_id="ch_9", amount=Decimal("10.00"))
    assert (await harness.client.resolve(start, paid)).status is Status.Succeeded
    await harness.advance_time(PAYMENT, WAIT + timedelta(days=1))
    assert charges(harness) == 0


async def test_a_debit_without_create_is_sent_on_its_day_and_announced(
    harness: WorkflowHarness,
) -> None:
    await start_workflow(harness, waiting_debit(harness))
    await harness.advance_time(PAYMENT, timedelta(hours=2))
    await eventually(lambda: harness.webhooks)
    assert charges(harness) == 0
    await harness.advance_time(PAYMENT, WAIT)
    await wait_until_sent(harness)


async def test_a_wait_survives_workers_without_a_cache(
    uncached_harness: WorkflowHarness,
) -> None:
    harness = uncached_harness
    await harness.create_recorded(waiting_debit(harness))
    await harness.advance_time(PAYMENT, WAIT + timedelta(minutes=1))
    await wait_until_sent(harness)


@pytest.mark.parametrize(
    "zone", ["UTC", "Europe/London", "Europe/Stockholm", "Pacific/Kiritimati", "Etc/GMT+12"]
)
@pytest.mark.parametrize(("latest", "ahead"), [(0, 3), (14, 45), (360, 400)])
async def test_a_debit_is_sent_on_the_day_in_the_psps_zone(
    env: Any, zone: str, latest: int, ahead: int
) -> None:
    window = DateWindow(earliest_days=0, latest_days=latest, zone=zone)
    now = datetime.now(UTC)
    day: date = now.date() + timedelta(days=ahead)
    async with open_harness(env) as harness:
        send_at = waiting_time(day, window, harness.transaction_id, now)
        assert send_at is not None
        await harness.create(waiting_debit(harness, execute_on=day, send_at=send_at))
        await harness.advance_time(PAYMENT, send_at - now - timedelta(minutes=1))
        assert charges(harness) == 0
        await harness.advance_time(PAYMENT, timedelta(minutes=2))
        await wait_until_sent(harness)


async def test_an_absence_after_sending_counts_again(harness: WorkflowHarness) -> None:
    """Once it may have been sent, the outcome is looked up as for every payment."""
    start = waiting_debit(harness)
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [NOT_FOUND]
    await harness.create_recorded(start)
    await harness.advance_time(PAYMENT, WAIT + timedelta(minutes=1))
    await wait_until_sent(harness)
    await harness.advance_time(PAYMENT, timedelta(minutes=10))
    await eventually(lambda: harness.calls_of(activity_plans.FETCH_PAYMENT))


async def test_a_long_history_continues_while_the_debit_waits() -> None:
    async with (
        start_environment({"limit.historyCount.suggestContinueAsNew": "30"}) as env,
        open_harness(env) as harness,
    ):
        start = waiting_debit(harness)
        await harness.create_recorded(start)
        store_recorded(harness)
        first_run = (await harness.handle(PAYMENT).describe()).run_id
        with time_skipping_disabled(env):
            async with asyncio.timeout(60):
                while (await harness.handle(PAYMENT).describe()).run_id == first_run:
                    known = len(harness.calls_of(activity_plans.FETCH_PAYMENT))
                    await harness.client.look_up(start)
                    await wait_until_asked(harness, known + 1)
        assert charges(harness) == 0
        await harness.advance_time(PAYMENT, WAIT + timedelta(minutes=1))
        await wait_until_sent(harness)
