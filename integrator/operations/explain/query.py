"""Collect all data of one transaction, from its workflow or else from the store."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Protocol

from temporalio.exceptions import TemporalError
from temporalio.service import RPCError, RPCStatusCode

from integrator.store.database import Store
from integrator.store.models import (
    DecisionRow,
    DeliveryRow,
    NotificationSummary,
    TransactionRow,
    TransactionSummary,
)
from integrator.transactions.workflow_inputs import read_state
from workflows.messages import Delivery, DeliveryState
from workflows.state import AnyState, TransactionKind
from workflows.timeline import Timeline, build_timeline

QUERY_TIMEOUT = timedelta(milliseconds=300)
"""An open workflow answers a query in a fraction of this time."""


class Source(StrEnum):
    """Where the state comes from."""

    WORKFLOW = "workflow"
    STORE_GONE = "store: Temporal does not keep the workflow any more"
    STORE_SILENT = "store: the workflow did not answer"


class StateQueries(Protocol):
    """The part of the transaction client used here."""

    async def state(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str, timeout: timedelta
    ) -> AnyState: ...

    async def delivery(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str, timeout: timedelta
    ) -> Delivery: ...


@dataclass(frozen=True)
class TransactionDetails:
    """A transaction with its timeline and related data; lists are newest first."""

    row: TransactionRow
    state: AnyState
    source: Source
    timeline: Timeline
    deliveries: list[DeliveryRow]
    notifications: list[NotificationSummary]
    decisions: list[DecisionRow]
    related: list[TransactionSummary]


async def explain(
    store: Store, transaction_client: StateQueries, row: TransactionRow
) -> TransactionDetails:
    """Collect a transaction's data concurrently from its workflow and the store."""
    key = (row.merchant_id, row.transaction_id)
    queried, deliveries, notifications, decisions, related = await asyncio.gather(
        _query_workflow(transaction_client, row),
        store.deliveries.list_by_transaction(*key),
        store.notifications.list_summaries(*key),
        store.decisions.list_newest(*key),
        store.transaction_search.list_related(row),
    )
    source, state, delivery = queried
    if state is None or state.version < row.version:
        state = read_state(row.kind, row.snapshot)
    if delivery is None or _is_empty(delivery):
        delivery = _delivery_from_log(deliveries, gone=source is Source.STORE_GONE)
    return TransactionDetails(
        row=row,
        state=state,
        source=source,
        timeline=build_timeline(state, delivery, datetime.now(UTC), started_at=row.created_at),
        deliveries=deliveries,
        notifications=notifications,
        decisions=decisions,
        related=related,
    )


def _is_empty(delivery: Delivery) -> bool:
    """Check whether the run has announced nothing itself: it lacks what earlier runs announced."""
    pending = delivery.announced < delivery.to_announce
    return not pending and delivery.state is DeliveryState.IDLE and delivery.delivered_at is None


def _delivery_from_log(deliveries: list[DeliveryRow], *, gone: bool) -> Delivery | None:
    """Build the delivery state from the delivery log, as the workflow would return it.

    If the workflow is gone, what it was still delivering counts as undelivered.
    """
    if not deliveries:
        return None
    last = deliveries[0]
    open_state = DeliveryState.UNDELIVERED if gone else DeliveryState.DELIVERING
    state = {
        "delivered": DeliveryState.IDLE,
        "delivering": open_state,
        "undelivered": DeliveryState.UNDELIVERED,
    }[last.state]
    delivered = next((row for row in deliveries if row.delivered_at is not None), None)
    return Delivery(
        state=state,
        to_announce=last.version,
        announced=delivered.version if delivered else 0,
        since=last.began_at,
        delivered_at=delivered.delivered_at if delivered else None,
        last_error=last.last_error,
    )


async def _query_workflow(
    transaction_client: StateQueries, row: TransactionRow
) -> tuple[Source, AnyState | None, Delivery | None]:
    call = (row.merchant_id, TransactionKind(row.kind), row.transaction_id, QUERY_TIMEOUT)
    try:
        state, delivery = await asyncio.wait_for(
            asyncio.gather(transaction_client.state(*call), transaction_client.delivery(*call)),
            QUERY_TIMEOUT.total_seconds(),
        )
    except RPCError as error:
        gone = error.status is RPCStatusCode.NOT_FOUND
        return Source.STORE_GONE if gone else Source.STORE_SILENT, None, None
    except (TemporalError, TimeoutError, RuntimeError):
        return Source.STORE_SILENT, None, None
    return Source.WORKFLOW, state, delivery
