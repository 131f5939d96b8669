"""Test the size of payments' histories in Temporal."""

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecutionStatus

from tests.e2e.stack.environment import TIMEOUT_SECONDS, Environment
from tests.e2e.stack.scenarios import Background

pytestmark = pytest.mark.e2e

SCHEDULED = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
ANSWERED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED
SIGNALED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
EVENTS_OF_A_SIGNAL = 5
"""The signal, a workflow task's three events, and the marker of the local activity."""


async def history(environment: Environment, workflow: str) -> tuple[list[EventType.ValueType], int]:
    """Return the types of a workflow's events and their size in bytes."""
    client = await Client.connect(environment.stack.run["temporal"])
    handle = client.get_workflow_handle(workflow)
    events = (await handle.fetch_history()).events
    return [event.event_type for event in events], sum(event.ByteSize() for event in events)


async def test_a_captured_payment_has_a_short_history(
    environment: Environment, background: Background, figures: list[str]
) -> None:
    result = background.captured.result(TIMEOUT_SECONDS)
    types, size = await history(environment, f"demo/payment/{result.id}")
    figures.append(f"a captured payment's history: {len(types)} events, {size} bytes")
    # The PSP's webhook adds no event unless it arrives before a busy worker's record.
    signals = types.count(SIGNALED)
    assert len(types) <= 20 + EVENTS_OF_A_SIGNAL * signals
    assert size <= 16 * 1024
    assert types.count(SCHEDULED) == 1
    assert SCHEDULED in types[: types.index(ANSWERED)]


async def test_a_captured_preauth_completes_and_its_payment_stays_open(
    environment: Environment, background: Background, figures: list[str]
) -> None:
    result = background.captured.result(TIMEOUT_SECONDS)
    assert result.parent is not None
    preauth = f"demo/preauth/{result.parent['transactionId']}"
    types, size = await history(environment, preauth)
    figures.append(f"its preauth's history, with checkout: {len(types)} events, {size} bytes")
    client = await Client.connect(environment.stack.run["temporal"])
    payment = await client.get_workflow_handle(f"demo/payment/{result.id}").describe()
    assert types[-1] == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED
    assert payment.status is WorkflowExecutionStatus.RUNNING
