"""Reconciliation on a real server: external movements, look-ups, runs and schedules."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.client import Client, ScheduleOverlapPolicy, WorkflowHistory
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from integrator.contract.enums import PaymentCancellationStatus, PaymentErrorCode
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.jobs.reconciliation_schedules import ReconciliationSchedules
from integrator.psp.types import Approved, Fact, FactKind
from integrator.store import Merchant, Store
from integrator.temporal.workflow_sandbox import runner
from tests.integration.workflows.conftest import WorkflowHarness, approved, eventually
from workflows import activity_plans
from workflows.messages import (
    PspFailure,
    PspReply,
    ReconcileInput,
    ReconcileReport,
    ReserveRequest,
    StepReport,
)
from workflows.reconcile import MAX_ROUNDS, ReconcileWorkflow, schedule_id
from workflows.state import EvidenceKind, ExternalMovement, MovementStatus, TransactionKind

START = ReconcileInput(merchant_id="m")
TEN = Decimal("10.00")


def build_movement(
    psp_id: str, amount: str, status: MovementStatus = MovementStatus.BOOKED
) -> ExternalMovement:
    return ExternalMovement(
        psp_id=psp_id,
        amount=Decimal(amount),
        currency="EUR",
        status=status,
        booked_on=date(2026, 1, 16),
    )


def reservation() -> PspReply:
    ends = datetime.now(UTC) + timedelta(days=7)
    return approved("auth_1", kind=FactKind.AUTHORIZED, expires_at=ends, psp_id="auth_1")


class TestRefundOfTheDashboard:
    async def test_it_is_booked_and_announced_once(self, harness: WorkflowHarness) -> None:
        harness.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
        start = harness.payment()
        await harness.create(start)
        for _ in range(3):
            await harness.client.record_external_movement(start, build_movement("re_9", "4.00"))
        await eventually(lambda: harness.webhooks)
        state = await harness.state(TransactionKind.PAYMENT)
        assert (state.refunded, state.refundable) == (Decimal("4.00"), Decimal("6.00"))
        assert [webhook.transaction_id for webhook in harness.webhooks] == [harness.transaction_id]
        assert '"psp:re_9"' in harness.records[-1].snapshot

    async def test_our_own_refund_can_reserve_only_the_rest(self, harness: WorkflowHarness) -> None:
        harness.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
        start = harness.payment()
        state = await harness.create(start)
        await harness.client.record_external_movement(
            start, build_movement("re_9", "4.00", MovementStatus.OPEN)
        )
        resumed = start.model_copy(update={"resume": state})
        too_much = ReserveRequest(by="r1", amount=Decimal("6.01"), currency="EUR")
        reply = await harness.client.reserve(resumed, too_much)
        assert reply.refusal is not None
        assert reply.refusal.code is PaymentErrorCode.InvalidAmount
        rest = ReserveRequest(by="r2", amount=Decimal("6.00"), currency="EUR")
        assert (await harness.client.reserve(resumed, rest)).refusal is None
        assert harness.webhooks == []

    async def test_a_closed_payment_is_reopened(self, harness: WorkflowHarness) -> None:
        harness.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
        start = harness.payment()
        state = await harness.create(start)
        await harness.advance_time(TransactionKind.PAYMENT, timedelta(days=401))
        await harness.handle(TransactionKind.PAYMENT).result()
        await harness.client.record_external_movement(
            start.model_copy(update={"resume": state}), build_movement("re_9", "4.00")
        )
        await eventually(lambda: harness.webhooks)
        assert (await harness.state(TransactionKind.PAYMENT)).refunded == Decimal("4.00")


class TestCaptureOfTheDashboard:
    async def test_it_is_announced_and_ends_the_preauth(self, harness: WorkflowHarness) -> None:
        harness.answers[activity_plans.AUTHORIZE.name] = [reservation()]
        start = harness.preauth()
        before = await harness.create(start)
        await harness.client.record_external_movement(start, build_movement("ch_9", "10.00"))
        assert await harness.handle(TransactionKind.PREAUTH).result() == "Succeeded"
        assert len(harness.webhooks) == 1
        state = await harness.state(TransactionKind.PREAUTH)
        assert state.last_updated > before.last_updated
        resumed = start.model_copy(update={"resume": state})
        cancelled = await harness.client.cancel(resumed)
        assert cancelled.status is PaymentCancellationStatus.NotCancelled
        assert harness.calls_of(activity_plans.VOID) == []

    async def test_a_payment_of_the_same_amount_receives_its_id(
        self, harness: WorkflowHarness
    ) -> None:
        harness.answers[activity_plans.AUTHORIZE.name] = [reservation()]
        start = harness.preauth()
        await harness.create(start)
        await harness.client.record_external_movement(start, build_movement("ch_9", "6.00"))
        await harness.handle(TransactionKind.PREAUTH).result()
        resumed = start.model_copy(update={"resume": await harness.state(TransactionKind.PREAUTH)})
        other = ReserveRequest(by="p1", amount=TEN, currency="EUR")
        reply = await harness.client.reserve(resumed, other)
        assert reply.refusal is not None
        assert reply.refusal.code is PaymentErrorCode.InvalidPreconditions
        same = ReserveRequest(by="p2", amount=Decimal("6.00"), currency="EUR")
        for _ in range(2):
            reply = await harness.client.reserve(resumed, same)
            assert (reply.taken_by, reply.refusal) == ("ch_9", None)

    async def test_an_open_external_capture_prevents_expiry(self, harness: WorkflowHarness) -> None:
        harness.answers[activity_plans.AUTHORIZE.name] = [reservation()]
        start = harness.preauth()
        await harness.create(start)
        await harness.client.record_external_movement(
            start, build_movement("ch_9", "10.00", MovementStatus.OPEN)
        )
        await harness.advance_time(TransactionKind.PREAUTH, timedelta(days=8))
        state = await harness.state(TransactionKind.PREAUTH)
        assert (state.status, state.captured_by) == (Status.Succeeded, "psp:ch_9")
        assert harness.calls_of(activity_plans.FETCH_AUTHORIZATION) == []


class TestLookUp:
    async def test_an_open_transaction_asks_the_psp(self, harness: WorkflowHarness) -> None:
        harness.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
        back = Fact(kind=FactKind.CHARGED_BACK, id="cb_1", amount=TEN)
        harness.answers[activity_plans.FETCH_PAYMENT.name] = [
            PspReply(outcome=Approved(psp_id="psp_1", facts=(back,)), evidence=EvidenceKind.READ)
        ]
        start = harness.payment()
        await harness.create(start)
        await harness.client.look_up(start)
        await eventually(lambda: harness.webhooks)
        assert (await harness.state(TransactionKind.PAYMENT)).refundable == 0
        assert [call.psp_id for call in harness.calls_of(activity_plans.FETCH_PAYMENT)] == ["psp_1"]

    async def test_a_second_movement_is_looked_up_by_its_own_id(
        self, harness: WorkflowHarness
    ) -> None:
        harness.answers[activity_plans.CHARGE.name] = [approved("ch_1", psp_id="ch_1")]
        harness.answers[activity_plans.FETCH_PAYMENT.name] = [
            lambda call: approved(
                call.psp_id or "", psp_id=call.psp_id or "", evidence=EvidenceKind.READ
            )
        ]
        start = harness.payment()
        await harness.create(start)
        await harness.client.look_up(start, "ch_2")
        await eventually(lambda: harness.webhooks)
        state = await harness.state(TransactionKind.PAYMENT)
        assert state.paid == Decimal("20.00")
        assert "ch_2" in {call.psp_id for call in harness.calls_of(activity_plans.FETCH_PAYMENT)}

    async def test_it_is_repeated_until_the_psp_answers(self, harness: WorkflowHarness) -> None:
        harness.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
        back = Fact(kind=FactKind.CHARGED_BACK, id="cb_1", amount=TEN)
        harness.answers[activity_plans.FETCH_PAYMENT.name] = [
            ApplicationError("unavailable", type=PspFailure.UNAVAILABLE, non_retryable=True),
            PspReply(outcome=Approved(psp_id="psp_1", facts=(back,)), evidence=EvidenceKind.READ),
        ]
        start = harness.payment()
        await harness.create(start)
        await harness.client.look_up(start)
        await eventually(lambda: harness.calls_of(activity_plans.FETCH_PAYMENT))
        await harness.advance_time(TransactionKind.PAYMENT, timedelta(minutes=2))
        await eventually(lambda: harness.webhooks)


class FakeSteps:
    """Fakes of the three activities with scripted results; the last one is repeated."""

    def __init__(self) -> None:
        self.answers: dict[str, list[StepReport | ApplicationError]] = {
            step.name: [StepReport()]
            for step in (
                activity_plans.REPAIR_EVENTS,
                activity_plans.SWEEP_MOVEMENTS,
                activity_plans.SAMPLE_FINAL,
            )
        }
        self.called: list[str] = []
        self.inputs: list[ReconcileInput] = []

    def activities(self) -> list[Callable[..., Any]]:
        return [self._activity(name) for name in self.answers]

    def _activity(self, name: str) -> Callable[..., Any]:
        @activity.defn(name=name)
        async def run(start: ReconcileInput) -> StepReport:
            self.called.append(name)
            self.inputs.append(start)
            script = self.answers[name]
            answer = script.pop(0) if len(script) > 1 else script[0]
            if isinstance(answer, ApplicationError):
                raise answer
            return answer

        return run


@pytest.fixture
async def steps(env: WorkflowEnvironment) -> AsyncIterator[tuple[FakeSteps, str]]:
    fake_steps, queue = FakeSteps(), f"test-{uuid4().hex}"
    async with Worker(
        env.client,
        task_queue=queue,
        workflows=[ReconcileWorkflow],
        activities=fake_steps.activities(),
        workflow_runner=runner(),
    ):
        yield fake_steps, queue


async def run_reconciliation(
    env: WorkflowEnvironment, queue: str, start: ReconcileInput = START
) -> tuple[ReconcileReport, WorkflowHistory]:
    handle = await env.client.start_workflow(
        ReconcileWorkflow.run, start, id=f"m/reconcile-{uuid4().hex}", task_queue=queue
    )
    report = await handle.result()
    return report, await handle.fetch_history()


class TestRun:
    async def test_it_adds_up_what_its_steps_counted(
        self, env: WorkflowEnvironment, steps: tuple[FakeSteps, str]
    ) -> None:
        fake_steps, queue = steps
        fake_steps.answers[activity_plans.REPAIR_EVENTS.name] = [
            StepReport(counts={"listed": 100}, more=True),
            StepReport(counts={"listed": 7, "repaired": 1}),
        ]
        fake_steps.answers[activity_plans.SWEEP_MOVEMENTS.name] = [
            StepReport(counts={"matched": 3})
        ]
        report, history = await run_reconciliation(env, queue)
        assert report == ReconcileReport(
            events={"listed": 107, "repaired": 1}, movements={"matched": 3}
        )
        assert sum(event.ByteSize() for event in history.events) < 12 * 1024

    async def test_a_step_without_end_goes_on_in_the_next_run(
        self, env: WorkflowEnvironment, steps: tuple[FakeSteps, str]
    ) -> None:
        fake_steps, queue = steps
        fake_steps.answers[activity_plans.SWEEP_MOVEMENTS.name] = [
            StepReport(counts={"matched": 1}, more=True)
        ]
        report, _ = await run_reconciliation(env, queue)
        assert report.movements == {"matched": MAX_ROUNDS}
        assert fake_steps.called[-1] == activity_plans.SAMPLE_FINAL.name

    async def test_an_unavailable_psp_fails_neither_the_run_nor_other_steps(
        self, env: WorkflowEnvironment, steps: tuple[FakeSteps, str]
    ) -> None:
        fake_steps, queue = steps
        unavailable = ApplicationError("The PSP was not reached", type=PspFailure.UNAVAILABLE)
        fake_steps.answers[activity_plans.REPAIR_EVENTS.name] = [unavailable]
        fake_steps.answers[activity_plans.SAMPLE_FINAL.name] = [StepReport(counts={"matched": 2})]
        report, _ = await run_reconciliation(env, queue)
        assert report.problems == {activity_plans.REPAIR_EVENTS.name: "The PSP was not reached"}
        assert report.sample == {"matched": 2}
        fake_steps.answers[activity_plans.REPAIR_EVENTS.name] = [StepReport(counts={"listed": 1})]
        report, _ = await run_reconciliation(env, queue)
        assert (report.events, report.problems) == ({"listed": 1}, {})

    async def test_a_period_is_compared_and_nothing_else_is_done(
        self, env: WorkflowEnvironment, steps: tuple[FakeSteps, str]
    ) -> None:
        fake_steps, queue = steps
        since = datetime(2026, 1, 15, tzinfo=UTC)
        middle, until = since + timedelta(hours=1), since + timedelta(hours=2)
        fake_steps.answers[activity_plans.SWEEP_MOVEMENTS.name] = [
            StepReport(counts={"matched": 3}, more=True, reached=middle),
            StepReport(counts={"stray": 1}, reached=until),
        ]
        start = START.model_copy(update={"since": since, "until": until})
        report, _ = await run_reconciliation(env, queue, start)
        assert report.movements == {"matched": 3, "stray": 1}
        assert (report.reached, report.more) == (until, False)
        assert [start.since for start in fake_steps.inputs] == [since, middle]
        assert fake_steps.called == [activity_plans.SWEEP_MOVEMENTS.name] * 2


class FakeMerchants:
    """Fake of the store's merchants, as far as schedules need them."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)

    async def list_all(self) -> list[Merchant]:
        return [Merchant(name, "fake", "s", datetime.now(UTC)) for name in self.names]


@asynccontextmanager
async def open_keeper(
    client: Client, queue: str, minutes: int, *names: str
) -> AsyncIterator[tuple[ReconciliationSchedules, FakeMerchants]]:
    merchants = FakeMerchants(*names)
    store = cast(Store, SimpleNamespace(merchants=merchants))
    yield ReconciliationSchedules(store, client, queue, timedelta(minutes=minutes)), merchants


class TestSchedule:
    async def test_every_merchant_has_a_schedule_also_one_added_later(
        self, env: WorkflowEnvironment
    ) -> None:
        first, second = f"a-{uuid4().hex}", f"b-{uuid4().hex}"
        async with open_keeper(env.client, "q", 5, first) as (keeper, merchants):
            assert await keeper.run() == 1
            merchants.names.append(second)
            assert await keeper.run() == 1
            assert await keeper.run() == 0
        for name in (first, second):
            described = await env.client.get_schedule_handle(schedule_id(name)).describe()
            assert described.schedule.spec.intervals[0].every == timedelta(minutes=5)
            assert described.schedule.policy.overlap is ScheduleOverlapPolicy.SKIP

    async def test_a_changed_interval_is_applied_and_nothing_else_changes(
        self, env: WorkflowEnvironment
    ) -> None:
        name = f"c-{uuid4().hex}"
        handle = env.client.get_schedule_handle(schedule_id(name))
        async with open_keeper(env.client, "q", 5, name) as (keeper, _):
            await keeper.run()
        await handle.pause(note="requested by the PSP")
        async with open_keeper(env.client, "q", 7, name) as (keeper, _):
            await keeper.run()
        described = await handle.describe()
        assert described.schedule.spec.intervals[0].every == timedelta(minutes=7)
        assert described.schedule.state.paused
        assert described.schedule.state.note == "requested by the PSP"

    async def test_it_runs_the_workflow(
        self, env: WorkflowEnvironment, steps: tuple[FakeSteps, str]
    ) -> None:
        fake_steps, queue = steps
        name = f"d-{uuid4().hex}"
        async with open_keeper(env.client, queue, 60, name) as (keeper, _):
            await keeper.run()
        handle = env.client.get_schedule_handle(schedule_id(name))
        await handle.trigger()
        await eventually(lambda: len(fake_steps.called) >= 3, 20)
        await handle.delete()
