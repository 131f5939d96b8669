"""Runs of reconciliation: complete, unfinished, with an unavailable PSP, cancelled."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from temporalio import activity
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from integrator.temporal.workflow_sandbox import runner
from tests.replay.scenarios.builders import HOUR, NOON, Handle
from workflows import activity_plans
from workflows.messages import PspFailure, ReconcileInput, StepReport
from workflows.reconcile import ReconcileWorkflow

Step = Callable[[], StepReport]
FULL_RUN = ReconcileInput(merchant_id="m")
STEPS = (activity_plans.REPAIR_EVENTS, activity_plans.SWEEP_MOVEMENTS, activity_plans.SAMPLE_FINAL)


def done() -> StepReport:
    return StepReport(counts={"matched": 1})


def unfinished() -> StepReport:
    return StepReport(counts={"matched": 1}, more=True)


def unavailable() -> StepReport:
    raise ApplicationError("The PSP was not reached", type=PspFailure.UNAVAILABLE)


@asynccontextmanager
async def run(
    env: WorkflowEnvironment, *steps: Step | None, start: ReconcileInput = FULL_RUN
) -> AsyncIterator[Handle]:
    """Run a worker and the workflow with these three steps; a None step never returns."""
    queue = f"reconcile-{uuid4().hex}"

    def create_activity(name: str, step: Step | None) -> Callable[..., Any]:
        @activity.defn(name=name)
        async def run_step(_: ReconcileInput) -> StepReport:
            if step is None:
                await asyncio.Event().wait()
                raise AssertionError("the event was set")
            return step()

        return run_step

    async with Worker(
        env.client,
        task_queue=queue,
        workflows=[ReconcileWorkflow],
        activities=[
            create_activity(plan.name, step) for plan, step in zip(STEPS, steps, strict=True)
        ],
        workflow_runner=runner(),
    ):
        yield await env.client.start_workflow(
            ReconcileWorkflow.run,
            start,
            id="m/reconcile-2026-01-16T12:00:00Z",
            task_queue=queue,
        )


async def reconcile_done(env: WorkflowEnvironment) -> Handle:
    """The second step has more to do than one run allows."""
    async with run(env, done, unfinished, done) as handle:
        await handle.result()
        return handle


async def reconcile_a_span_of_time(env: WorkflowEnvironment) -> Handle:
    """Only movements are compared, each call from where the last one stopped."""
    period = ReconcileInput(merchant_id="m", since=NOON, until=NOON + 3 * HOUR)
    reports = iter((unfinished().model_copy(update={"reached": NOON + HOUR}), done()))
    async with run(env, done, lambda: next(reports), done, start=period) as handle:
        await handle.result()
        return handle


async def reconcile_psp_away(env: WorkflowEnvironment) -> Handle:
    async with run(env, unavailable, done, done) as handle:
        await handle.result()
        return handle


async def reconcile_called_off(env: WorkflowEnvironment) -> Handle:
    """Cancelled while a step is retried."""
    with env.with_time_skipping_disabled():
        async with run(env, unavailable, done, done) as handle:
            await wait_for_failed_attempt(handle)
            await handle.cancel()
            try:
                await handle.result()
            except WorkflowFailureError:
                return handle
    raise AssertionError("the workflow was not cancelled")


async def reconcile_unanswered(env: WorkflowEnvironment) -> Handle:
    """A step that never returns. Recording takes the two minutes of its time limit."""
    with env.with_time_skipping_disabled():
        async with run(env, None, done, done) as handle:
            await handle.result()
            return handle


async def wait_for_failed_attempt(handle: Handle) -> None:
    """Wait until the first attempt of a step has failed."""
    for _ in range(200):
        pending = (await handle.describe()).raw_description.pending_activities
        if any(activity.attempt > 1 for activity in pending):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("no step has failed")


SCENARIOS = (
    reconcile_done,
    reconcile_a_span_of_time,
    reconcile_psp_away,
    reconcile_called_off,
    reconcile_unanswered,
)
