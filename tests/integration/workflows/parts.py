"""Runtime for the parts of a workflow, without Temporal: a clock, and scripted activities."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from temporalio.common import RawValue, TypedSearchAttributes
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import PayloadConverter
from temporalio.exceptions import ActivityError, ApplicationError, RetryState

from tests.unit.workflows.test_state import T0
from workflows import activity_plans
from workflows.messages import PaymentInput, PreauthInput, PspFailure, RefundInput
from workflows.state import AnyState, PaymentState, PreauthState
from workflows.transaction_context import TransactionContext

NOW = T0 + timedelta(minutes=1)
WORKFLOW_ID = "m/payment/t1"


class WorkflowRuntime:
    """Fakes of the functions of `temporalio.workflow`.

    `results` holds what the activities return or raise, in order; a callable is called with the
    activity's input. `calls` are the names and inputs so far.
    """

    def __init__(self) -> None:
        self.time = NOW
        self.results: dict[str, list[Any]] = defaultdict(list)
        self.calls: list[tuple[str, Any]] = []
        self.search_attributes = TypedSearchAttributes.empty
        self.upserts: list[Any] = []
        self.details: list[str] = []

    def now(self) -> datetime:
        return self.time

    def info(self) -> Any:
        return SimpleNamespace(
            workflow_id=WORKFLOW_ID,
            first_execution_run_id="run-1",
            start_time=NOW,
            typed_search_attributes=self.search_attributes,
        )

    def patched(self, _: str) -> bool:
        return True

    async def execute(self, name: str, argument: Any, **_: Any) -> Any:
        self.calls.append((name, argument))
        await asyncio.sleep(0)
        result = self.results[name].pop(0)
        if isinstance(result, Exception):
            raise result
        return result(argument) if callable(result) else result

    async def execute_regular(self, name: str, argument: Any, **_: Any) -> RawValue:
        """Execute an activity whose plan converts the result itself."""
        result = await self.execute(name, argument)
        return RawValue(self.payload_converter().to_payload(result))

    def payload_converter(self) -> PayloadConverter:
        return pydantic_data_converter.payload_converter

    async def wait_condition(self, condition: Callable[[], bool]) -> None:
        while not condition():  # noqa: ASYNC110 - a state has no event
            await asyncio.sleep(0)

    def calls_of(self, plan: activity_plans.ActivityPlan[Any, Any]) -> list[Any]:
        return [argument for name, argument in self.calls if name == plan.name]


async def run_until(part: Any, condition: Callable[[], bool]) -> None:
    """Run a part that runs for ever until the condition holds; raise what it raises."""
    task = asyncio.ensure_future(part)
    for _ in range(1000):
        if condition() or task.done():
            break
        await asyncio.sleep(0)
    if task.done():
        task.result()
    task.cancel()
    assert condition()


def context_of(state: AnyState) -> TransactionContext:
    """Return the context of a first run with this state."""
    common = {
        **{"merchant_id": "m", "psp": "fake", "psp_settings_id": "s", "key_window_seconds": 86_400},
        **{
            name: getattr(state, name)
            for name in ("transaction_id", "external_id", "role", "currency", "requested_amount")
        },
    }
    if isinstance(state, PreauthState):
        return TransactionContext(PreauthInput(**common), state)
    if isinstance(state, PaymentState):
        return TransactionContext(PaymentInput(**common), state)
    return TransactionContext(RefundInput(**common, payment_id=state.payment_id), state)


def activity_failure(failure: PspFailure = PspFailure.UNAVAILABLE) -> ActivityError:
    """Return what a workflow gets when an activity has failed for good."""
    error = ActivityError(
        "failed",
        scheduled_event_id=1,
        started_event_id=2,
        identity="",
        activity_type="",
        activity_id="",
        retry_state=RetryState.TIMEOUT,
    )
    error.__cause__ = ApplicationError("out of order", type=failure)
    return error
