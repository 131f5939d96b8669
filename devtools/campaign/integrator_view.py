"""The integrator's records: its store and its workflows."""

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
_MAX_CONCURRENT_CALLS = 24
_NO_LIMIT = 1_000_000


@dataclass(frozen=True)
class StoredTransaction:
    """Transaction as recorded in the store; `due` names what is still to be done for it."""

    status: str
    version: int
    snapshot: Mapping[str, Any]
    evidence: str
    due: str = ""


@dataclass(frozen=True)
class WorkflowView:
    """State of a transaction's workflow; `state` and `delivery` are its query results."""

    status: str
    pending_work: tuple[str, ...] = ()
    state: Mapping[str, Any] | None = None
    delivery: Mapping[str, Any] | None = None


def workflow_id(transaction: Transaction) -> str:
    """Return the id of a transaction's workflow."""
    return f"{MERCHANT}/{transaction.kind}/{transaction.id}"


class IntegratorView:
    """Reads the running stack's database and its Temporal server."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._settings = Settings(
            data_dir=Path(env["INTEGRATOR_DATA_DIR"]),
            temporal_port=int(env["INTEGRATOR_TEMPORAL_PORT"]),
        )
        self.keys = KeyRing.from_settings(self._settings)
        self._store = Store(self._settings.resolved_database_url, self.keys)
        self._client: Client | None = None

    async def close(self) -> None:
        """Close the database connections."""
        await self._store.close()

    async def rows(self) -> dict[str, StoredTransaction]:
        """Return every transaction in the store by id."""
        rows = await self._store.transaction_search.list_newest(limit=_NO_LIMIT)
        return {row.transaction_id: _row(row) for row in rows}

    async def undelivered(self) -> int:
        """Return the number of PSP notifications not delivered to their transactions."""
        now = datetime.now(UTC)
        return len(await self._store.notifications.list_pending(older_than=now))

    async def erase_agreement(self, agreement: str) -> None:
        """Erase the data of an agreement's customer, as `integrator erase` does."""
        await self._store.erasure.erase_agreement(MERCHANT, agreement)

    async def pending_work(self, transaction: Transaction) -> tuple[str, ...]:
        """Return the pending activities and workflow task of a transaction's workflow."""
        return (await self._describe(await self._handle(transaction)))[1]

    async def workflows(self, transactions: Iterable[Transaction]) -> dict[str, WorkflowView]:
        """Return the workflows of these transactions; transactions without one are omitted."""
        semaphore = asyncio.Semaphore(_MAX_CONCURRENT_CALLS)

        async def read_workflow(transaction: Transaction) -> tuple[str, WorkflowView | None]:
            async with semaphore:
                return transaction.id, await self._workflow(transaction)

        workflows = await asyncio.gather(*map(read_workflow, transactions))
        return {id: workflow for id, workflow in workflows if workflow is not None}

    async def history(self, transaction: Transaction) -> list[str]:
        """Return the events of a transaction's workflow, one line each."""
        handle = await self._handle(transaction)
        try:
            events = (await handle.fetch_history()).events
        except RPCError as error:
            return [f"no history: {error.message}"]
        return [_format_event(event) for event in events]

    async def _workflow(self, transaction: Transaction) -> WorkflowView | None:
        handle = await self._handle(transaction)
        status, pending_work = await self._describe(handle)
        if not status:
            return None
        return WorkflowView(
            status, pending_work, await _query(handle, "state"), await _query(handle, "delivery")
        )

    async def _describe(self, handle: WorkflowHandle[Any, Any]) -> tuple[str, tuple[str, ...]]:
        try:
            description = await handle.describe()
        except RPCError:
            return "", ()
        status = description.status or WorkflowExecutionStatus.RUNNING
        if status is not WorkflowExecutionStatus.RUNNING:
            # Temporal still lists the cancelled attempt of a closed workflow.
            return status.name, ()
        raw = description.raw_description
        pending_work = [
            f"{activity.activity_type.name}, attempt {activity.attempt}"
            for activity in raw.pending_activities
        ]
        if raw.HasField("pending_workflow_task"):
            pending_work.append(f"workflow task, attempt {raw.pending_workflow_task.attempt}")
        return status.name, tuple(pending_work)

    async def _handle(self, transaction: Transaction) -> WorkflowHandle[Any, Any]:
        return (await self.temporal()).get_workflow_handle(workflow_id(transaction))

    async def temporal(self) -> Client:
        """Return the client of the Temporal server, connected at first use."""
        if self._client is None:
            self._client = await connect(self._settings, lazy=False)
        return self._client


async def _query(handle: WorkflowHandle[Any, Any], name: str) -> Mapping[str, Any] | None:
    try:
        result: Mapping[str, Any] = await handle.query(name, rpc_timeout=timedelta(seconds=20))
    except (RPCError, WorkflowQueryFailedError):
        return None
    return result


def _row(row: TransactionRow) -> StoredTransaction:
    # A due announcement may already be delivered: the recovery job removes the mark within minutes.
    # Lost changes are found by the webhooks that the receiver got.
    due = [row.due_steps] if row.due_steps is not None else []
    snapshot, evidence = json.loads(row.snapshot), row.evidence or ""
    return StoredTransaction(row.status, row.version, snapshot, evidence, ", ".join(due))


def _format_event(event: Any) -> str:
    name = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_").lower()
    return f"{event.event_time.ToDatetime():%H:%M:%S.%f} {name} {_event_details(event)}".rstrip()


def _event_details(event: Any) -> str:
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
