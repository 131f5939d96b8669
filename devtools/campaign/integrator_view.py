"""The integrator's own books: its store and its workflows."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowQueryFailedError,
)
from temporalio.service import RPCError

from devtools.campaign.transaction import Transaction
from integrator.crypto.keys import KeyRing
from integrator.settings import Settings
from integrator.store import Store, TransactionRow
from integrator.temporal.client import connect

MERCHANT = "demo"
_AT_ONCE = 24
_ALL = 1_000_000


@dataclass(frozen=True)
class Row:
    """A transaction as the store keeps it."""

    status: str
    version: int
    snapshot: Mapping[str, Any]
    evidence: str


@dataclass(frozen=True)
class Workflow:
    """A transaction's workflow: `state` and `delivery` are what it answers itself."""

    status: str
    busy: tuple[str, ...] = ()
    state: Mapping[str, Any] | None = None
    delivery: Mapping[str, Any] | None = None


def workflow_id(of: Transaction) -> str:
    """The one workflow a transaction may have."""
    return f"{MERCHANT}/{of.kind}/{of.id}"


class IntegratorBooks:
    """Reads the running stack's database and its Temporal server."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._settings = Settings(
            data_dir=Path(env["INTEGRATOR_DATA_DIR"]),
            temporal_port=int(env["INTEGRATOR_TEMPORAL_PORT"]),
        )
        keys = KeyRing.from_settings(self._settings)
        self._store = Store(self._settings.resolved_database_url, keys)
        self._client: Client | None = None

    async def close(self) -> None:
        """Let go of the database."""
        await self._store.close()

    async def rows(self) -> dict[str, Row]:
        """Every transaction in the store."""
        found = await self._store.list_transactions(limit=_ALL)
        return {row.transaction_id: _row(row) for row in found}

    async def undelivered(self) -> int:
        """Notifications that have not reached their transactions."""
        now = datetime.now(UTC)
        return len(await self._store.undelivered_notifications(older_than=now))

    async def busy(self, of: Transaction) -> tuple[str, ...]:
        """What a transaction's workflow is doing or waiting for somebody else to do."""
        return (await self._describe(await self._handle(of)))[1]

    async def workflows(self, of: Iterable[Transaction]) -> dict[str, Workflow]:
        """The workflows of these transactions; those without one are left out."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(each: Transaction) -> tuple[str, Workflow | None]:
            async with gate:
                return each.id, await self._workflow(each)

        found = await asyncio.gather(*(one(each) for each in of))
        return {id: workflow for id, workflow in found if workflow is not None}

    async def history(self, of: Transaction) -> list[str]:
        """The events of a transaction's workflow, a line for each."""
        handle = await self._handle(of)
        try:
            events = (await handle.fetch_history()).events
        except RPCError as error:
            return [f"no history: {error.message}"]
        return [_event(event) for event in events]

    async def _workflow(self, of: Transaction) -> Workflow | None:
        handle = await self._handle(of)
        status, busy = await self._describe(handle)
        if not status:
            return None
        return Workflow(
            status, busy, await _query(handle, "state"), await _query(handle, "delivery")
        )

    async def _describe(self, handle: WorkflowHandle[Any, Any]) -> tuple[str, tuple[str, ...]]:
        try:
            found = await handle.describe()
        except RPCError:
            return "", ()
        status = found.status or WorkflowExecutionStatus.RUNNING
        if status is not WorkflowExecutionStatus.RUNNING:
            # Temporal still shows the attempt that was called off.
            return status.name, ()
        raw = found.raw_description
        busy = [
            f"{activity.activity_type.name}, attempt {activity.attempt}"
            for activity in raw.pending_activities
        ]
        if raw.HasField("pending_workflow_task"):
            busy.append(f"workflow task, attempt {raw.pending_workflow_task.attempt}")
        return status.name, tuple(busy)

    async def _handle(self, of: Transaction) -> WorkflowHandle[Any, Any]:
        return (await self._temporal()).get_workflow_handle(workflow_id(of))

    async def _temporal(self) -> Client:
        if self._client is None:
            self._client = await connect(self._settings, lazy=False)
        return self._client


async def _query(handle: WorkflowHandle[Any, Any], name: str) -> Mapping[str, Any] | None:
    try:
        answer: Mapping[str, Any] = await handle.query(name, rpc_timeout=timedelta(seconds=20))
    except (RPCError, WorkflowQueryFailedError):
        return None
    return answer


def _row(row: TransactionRow) -> Row:
    return Row(row.status, row.version, json.loads(row.snapshot), row.evidence or "")


def _event(event: Any) -> str:
    name = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_").lower()
    return f"{event.event_time.ToDatetime():%H:%M:%S.%f} {name} {_detail(event)}".rstrip()


def _detail(event: Any) -> str:
    which = event.WhichOneof("attributes")
    attributes = getattr(event, which) if which else None
    parts = [
        getattr(attributes, "signal_name", ""),
        getattr(getattr(attributes, "activity_type", None), "name", ""),
    ]
    failure = getattr(attributes, "failure", None)
    if failure is not None and failure.message:
        parts.append(failure.message)
    return " ".join(part for part in parts if part)
