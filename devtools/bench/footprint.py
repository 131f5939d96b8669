"""What one captured payment leaves behind: in Temporal's history and in the store."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from devtools.bench.integrator_driver import Platform
from devtools.bench.stack import MERCHANT, Stack, settle
from integrator.settings import Settings
from integrator.store.engine import open_engine
from integrator.store.tables import metadata
from workflows.messages import workflow_id
from workflows.state import TransactionKind

_SOME = 50
"""Payments over which the growth of the store is averaged."""

_ACTIONS = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
    EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
    EventType.EVENT_TYPE_TIMER_STARTED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
    EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
}
"""Events that Temporal Cloud bills as one action each, when nothing is retried; local activities
are billed once for the workflow task that ran them (docs.temporal.io/evaluate/cloud/actions)."""


@dataclass(frozen=True)
class Footprint:
    """Of one workflow."""

    events: int
    bytes: int
    actions: int


async def costs(stack: Stack, platform: Platform) -> dict[str, float]:
    """Figures of one payment each, without those of the preauth it captures."""
    charged = await platform.pay()
    captured = await platform.capture(await platform.reserve())
    await settle(1)
    found = {
        f"{word}: {name}": float(value)
        for word, id in (("charge", charged), ("capture", captured))
        for name, value in vars(await _footprint(stack.client, id)).items()
    }
    return found | await _growth(stack, platform)


async def _footprint(client: Client, id: str) -> Footprint:
    handle = client.get_workflow_handle(workflow_id(MERCHANT, TransactionKind.PAYMENT, id))
    events = (await handle.fetch_history()).events
    billed = sum(event.event_type in _ACTIONS for event in events)
    # A workflow task that ran local activities leaves their markers with its own event's id.
    tasks = {
        event.marker_recorded_event_attributes.workflow_task_completed_event_id
        for event in events
        if event.event_type == EventType.EVENT_TYPE_MARKER_RECORDED
    }
    return Footprint(len(events), sum(e.ByteSize() for e in events), billed + len(tasks))


async def _growth(stack: Stack, platform: Platform) -> dict[str, float]:
    before = await _store(stack.settings)
    for _ in range(_SOME):
        await platform.pay()
    await settle(1)
    after = await _store(stack.settings)
    return {f"charge: {name}": (after[name] - before[name]) / _SOME for name in after}


async def _store(settings: Settings) -> Counter[str]:
    engine = open_engine(settings.resolved_database_url)
    try:
        async with engine.connect() as connection:
            rows = sum([await _rows(connection, table) for table in metadata.sorted_tables])
            size = await connection.scalar(text(_SIZE[engine.dialect.name]))
    finally:
        await engine.dispose()
    return Counter({"store rows": rows, "store bytes": int(size or 0)})


async def _rows(connection: AsyncConnection, table: Any) -> int:
    return int(await connection.scalar(select(func.count()).select_from(table)) or 0)


_SIZE = {
    "sqlite": "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
    "postgresql": "SELECT pg_database_size(current_database())",
}
