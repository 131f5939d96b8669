"""How much a payment leaves in Temporal."""

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecutionStatus

from tests.e2e.platform import HANG_SECONDS, World
from tests.e2e.scenarios import Background

pytestmark = pytest.mark.e2e

SCHEDULED = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
ANSWERED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED
SIGNALED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
EVENTS_OF_A_SIGNAL = 5
"""Itself, a workflow task's three, and the mark of what is recorded then."""


async def history(world: World, workflow: str) -> tuple[list[EventType.ValueType], int]:
    """The types of a workflow's events, and their size in bytes."""
    client = await Client.connect(world.stack.run["temporal"])
    handle = client.get_workflow_handle(workflow)
    events = (await handle.fetch_history()).events
    return [event.event_type for event in events], sum(event.ByteSize() for event in events)


async def test_a_captured_payment_has_a_short_history(
    world: World, background: Background, figures: list[str]
) -> None:
    seen = background.captured.result(HANG_SECONDS)
    types, size = await history(world, f"demo/payment/{seen.id}")
    figures.append(f"a captured payment's history: {len(types)} events, {size} bytes")
    # The PSP's own webhook has nothing to add, unless it overtakes a busy worker's record.
    overtaken = types.count(SIGNALED)
    assert len(types) <= 20 + EVENTS_OF_A_SIGNAL * overtaken
    assert size <= 16 * 1024
    assert types.count(SCHEDULED) == 1
    assert SCHEDULED in types[: types.index(ANSWERED)]


async def test_a_captured_preauth_is_over_and_a_payment_stays_open(
    world: World, background: Background, figures: list[str]
) -> None:
    seen = background.captured.result(HANG_SECONDS)
    assert seen.owner is not None
    preauth = f"demo/preauth/{seen.owner['transactionId']}"
    types, size = await history(world, preauth)
    figures.append(f"its preauth's history, with checkout: {len(types)} events, {size} bytes")
    client = await Client.connect(world.stack.run["temporal"])
    payment = await client.get_workflow_handle(f"demo/payment/{seen.id}").describe()
    assert types[-1] == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED
    assert payment.status is WorkflowExecutionStatus.RUNNING
