"""Footprint of one payment: in Temporal's history and in the store."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from devtools.bench.integrator_driver import IntegratorDriver
from devtools.bench.stack import MERCHANT, Stack, cool_down
from integrator.settings import Settings
from integrator.store.engine import open_engine
from integrator.store.tables import metadata
from workflows.messages import workflow_id
from workflows.state import TransactionKind

_SAMPLE_SIZE = 50
"""Number of payments over which the growth of the store is averaged."""

_BILLED_EVENTS = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
    EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
    EventType.EVENT_TYPE_TIMER_STARTED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
    EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
}
"""Events that Temporal Cloud bills as one action each if nothing is retried. Local activities are
billed once per workflow task that ran them (docs.temporal.io/evaluate/cloud/actions)."""


@dataclass(frozen=True)
class Footprint:
    """History size and billed actions of one workflow."""

    events: int
    bytes: int
    actions: int


async def measure_footprint(stack: Stack, driver: IntegratorDriver) -> dict[str, float]:
    """Return the figures of a charge and a capture; those of the preauth are not included."""
    charged = await driver.pay()
    captured = await driver.capture(await driver.reserve())
    await cool_down(1)
    figures = {
        f"{operation}: {name}": float(value)
        for operation, id in (("charge", charged), ("capture", captured))
        for name, value in vars(await _footprint(stack.client, id)).items()
    }
    return figures | await _store_growth(stack, driver)


async def _footprint(client: Client, id: str) -> Footprint:
    handle = client.get_workflow_handle(workflow_id(MERCHANT, TransactionKind.PAYMENT, id))
    events = (await handle.fetch_history()).events
    billed_events = sum(event.event_type in _BILLED_EVENTS for event in events)
    # Markers of local activities refer to the event of the workflow task that ran them.
    tasks = {
        event.marker_recorded_event_attributes.workflow_task_completed_event_id
        for event in events
        if event.event_type == EventType.EVENT_TYPE_MARKER_RECORDED
    }
    return Footprint(len(events), sum(e.ByteSize() for e in events), billed_events + len(tasks))


async def _store_growth(stack: Stack, driver: IntegratorDriver) -> dict[str, float]:
    before = await _store_size(stack.settings)
    for _ in range(_SAMPLE_SIZE):
        await driver.pay()
    await cool_down(1)
    after = await _store_size(stack.settings)
    return {f"charge: {name}": (after[name] - before[name]) / _SAMPLE_SIZE for name in after}


async def _store_size(settings: Settings) -> Counter[str]:
    engine = open_engine(settings.resolved_database_url)
    try:
        async with engine.connect() as connection:
            rows = sum([await _row_count(connection, table) for table in metadata.sorted_tables])
            size = await connection.scalar(text(_SIZE[engine.dialect.name]))
    finally:
        await engine.dispose()
    return Counter({"store rows": rows, "store bytes": int(size or 0)})


async def _row_count(connection: AsyncConnection, table: Any) -> int:
    return int(await connection.scalar(select(func.count()).select_from(table)) or 0)


_SIZE = {
    "sqlite": "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
    "postgresql": "SELECT pg_database_size(current_database())",
}
