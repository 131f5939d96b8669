"""Runs of reconciliation: nothing to do, too much to do, a PSP that is away, a run called off."""

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
from tests.replay.scenarios.parts import HOUR, NOON, Handle
from workflows import activity_plans
from workflows.messages import PspFailure, ReconcileInput, StepReport
from workflows.reconcile import ReconcileWorkflow

Step = Callable[[], StepReport]
WHOLE = ReconcileInput(merchant_id="m")
STEPS = (activity_plans.REPAIR_EVENTS, activity_plans.SWEEP_MOVEMENTS, activity_plans.SAMPLE_FINAL)


def done() -> StepReport:
    return StepReport(counts={"matched": 1})


def endless() -> StepReport:
    return StepReport(counts={"matched": 1}, more=True)


def away() -> StepReport:
    raise ApplicationError("The PSP was not reached", type=PspFailure.UNAVAILABLE)


@asynccontextmanager
async def run(
    env: WorkflowEnvironment, *steps: Step | None, start: ReconcileInput = WHOLE
) -> AsyncIterator[Handle]:
    """A run whose three steps do as told; None never answers."""
    queue = f"reconcile-{uuid4().hex}"

    def act(name: str, step: Step | None) -> Callable[..., Any]:
        @activity.defn(name=name)
        async def acting(_: ReconcileInput) -> StepReport:
            if step is None:
                await asyncio.Event().wait()
                raise AssertionError("nothing sets it")
            return step()

        return acting

    async with Worker(
        env.client,
        task_queue=queue,
        workflows=[ReconcileWorkflow],
        activities=[act(plan.name, step) for plan, step in zip(STEPS, steps, strict=True)],
        workflow_runner=runner(),
    ):
        yield await env.client.start_workflow(
            ReconcileWorkflow.run,
            start,
            id="m/reconcile-2026-01-16T12:00:00Z",
            task_queue=queue,
        )


async def reconcile_done(env: WorkflowEnvironment) -> Handle:
    """The second step finds more than one run may do."""
    async with run(env, done, endless, done) as handle:
        await handle.result()
        return handle


async def reconcile_a_span_of_time(env: WorkflowEnvironment) -> Handle:
    """Only movements are compared, from where the step before has come to."""
    span = ReconcileInput(merchant_id="m", since=NOON, until=NOON + 3 * HOUR)
    reports = iter((endless().model_copy(update={"reached": NOON + HOUR}), done()))
    async with run(env, done, lambda: next(reports), done, start=span) as handle:
        await handle.result()
        return handle


async def reconcile_psp_away(env: WorkflowEnvironment) -> Handle:
    async with run(env, away, done, done) as handle:
        await handle.result()
        return handle


async def reconcile_called_off(env: WorkflowEnvironment) -> Handle:
    """Cancelled while a step is repeated."""
    with env.with_time_skipping_disabled():
        async with run(env, away, done, done) as handle:
            await eventually_failing(handle)
            await handle.cancel()
            try:
                await handle.result()
            except WorkflowFailureError:
                return handle
    raise AssertionError("it went on")


async def reconcile_unanswered(env: WorkflowEnvironment) -> Handle:
    """A step that never answers. Recording it takes the two minutes it is given."""
    with env.with_time_skipping_disabled():
        async with run(env, None, done, done) as handle:
            await handle.result()
            return handle


async def eventually_failing(handle: Handle) -> None:
    """Until the first attempt of a step has failed."""
    for _ in range(200):
        pending = (await handle.describe()).raw_description.pending_activities
        if any(activity.attempt > 1 for activity in pending):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("no step has failed")


STORIES = (
    reconcile_done,
    reconcile_a_span_of_time,
    reconcile_psp_away,
    reconcile_called_off,
    reconcile_unanswered,
)
