"""Everything that is known of one transaction, from its workflow or, failing that, the store."""

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

PATIENCE = timedelta(milliseconds=300)
"""An open workflow answers a query in a fraction of it."""


class Source(StrEnum):
    """Whose word it is."""

    WORKFLOW = "workflow"
    STORE_GONE = "store: Temporal does not keep the workflow any more"
    STORE_SILENT = "store: the workflow did not answer"


class Asks(Protocol):
    """The part of the gateway that is needed here."""

    async def state(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str, timeout: timedelta
    ) -> AnyState: ...

    async def delivery(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str, timeout: timedelta
    ) -> Delivery: ...


@dataclass(frozen=True)
class Explained:
    """A transaction with its story and everything around it; lists are newest first."""

    row: TransactionRow
    state: AnyState
    source: Source
    story: Timeline
    deliveries: list[DeliveryRow]
    received: list[NotificationSummary]
    decisions: list[DecisionRow]
    related: list[TransactionSummary]


async def explain(store: Store, gateway: Asks, row: TransactionRow) -> Explained:
    """Look at the transaction from all sides at once."""
    key = (row.merchant_id, row.transaction_id)
    asked, deliveries, received, decisions, related = await asyncio.gather(
        _ask(gateway, row),
        store.deliveries(*key),
        store.received(*key),
        store.decisions(*key),
        store.related(row),
    )
    source, state, delivery = asked
    if state is None or state.version < row.version:
        state = read_state(row.kind, row.snapshot)
    if delivery is None or _knows_nothing(delivery):
        delivery = _as_kept(deliveries, gone=source is Source.STORE_GONE)
    return Explained(
        row=row,
        state=state,
        source=source,
        story=build_timeline(state, delivery, datetime.now(UTC), started_at=row.created_at),
        deliveries=deliveries,
        received=received,
        decisions=decisions,
        related=related,
    )


def _knows_nothing(delivery: Delivery) -> bool:
    """A run that has announced nothing itself does not know what earlier ones did."""
    behind = delivery.announced < delivery.to_announce
    return not behind and delivery.state is DeliveryState.IDLE and delivery.delivered_at is None


def _as_kept(deliveries: list[DeliveryRow], *, gone: bool) -> Delivery | None:
    """Where the change notifications stand, as the workflow would say it.

    What was on its way when the workflow went is on its way no more.
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


async def _ask(
    gateway: Asks, row: TransactionRow
) -> tuple[Source, AnyState | None, Delivery | None]:
    call = (row.merchant_id, TransactionKind(row.kind), row.transaction_id, PATIENCE)
    try:
        state, delivery = await asyncio.wait_for(
            asyncio.gather(gateway.state(*call), gateway.delivery(*call)),
            PATIENCE.total_seconds(),
        )
    except RPCError as error:
        gone = error.status is RPCStatusCode.NOT_FOUND
        return Source.STORE_GONE if gone else Source.STORE_SILENT, None, None
    except (TemporalError, TimeoutError, RuntimeError):
        return Source.STORE_SILENT, None, None
    return Source.WORKFLOW, state, delivery
