"""What a transaction's workflow looks like from outside."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from integrator.admin.errors import OperatorError
from integrator.store.models import TransactionRow
from integrator.transactions.transaction_client import WorkflowCondition
from workflows.messages import (
    AnyInput,
    Delivery,
    DeliveryState,
    PaymentInput,
    PreauthInput,
    ReservationResult,
)
from workflows.state import AnyState, TransactionKind

FAILING_FROM = 3
"""Attempts of one workflow task from which on it counts as failing: a restart costs one or two."""

QUERY_TIMEOUT = timedelta(seconds=5)
SILENT_LIMIT = 5
"""So many unanswered queries, and none answered, mean that no worker runs."""

_SILENT: Sequence[RPCStatusCode] = (
    *(RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED),
    RPCStatusCode.FAILED_PRECONDITION,
)


class HealingClient(Protocol):
    """The part of the transaction client used here."""

    async def describe(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str
    ) -> WorkflowCondition: ...

    async def state(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str, timeout: timedelta
    ) -> AnyState: ...

    async def delivery(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str, timeout: timedelta
    ) -> Delivery: ...

    async def look_up(self, start: AnyInput, psp_id: str | None = None) -> None: ...

    async def redeliver(self, start: AnyInput) -> None: ...

    async def close_reservation(
        self, start: PreauthInput | PaymentInput, result: ReservationResult
    ) -> None: ...


@dataclass(frozen=True)
class WorkflowView:
    """A workflow: whether it runs, its state, and why there is none if it runs without one."""

    running: bool
    state: AnyState | None = None
    problem: str | None = None


NOT_RUNNING = WorkflowView(running=False)


class WorkflowReader:
    """Reads workflows without changing them.

    Raises `OperatorError` if no worker answers, and what the transaction client raises.
    """

    def __init__(self, transaction_client: HealingClient) -> None:
        self._transaction_client = transaction_client
        self._answered = False
        self._silent = 0

    async def read(self, row: TransactionRow) -> WorkflowView:
        """Return the view of a transaction's workflow."""
        key = (row.merchant_id, TransactionKind(row.kind), row.transaction_id)
        try:
            condition = await self._transaction_client.describe(*key)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return NOT_RUNNING
        if not condition.running:
            return NOT_RUNNING
        if condition.task_attempts >= FAILING_FROM:
            problem = f"its task has failed {condition.task_attempts - 1} times"
            return WorkflowView(running=True, problem=problem)
        return await self._query(key)

    async def announces_since(self, row: TransactionRow, changed_at: datetime) -> bool:
        """Return whether a running workflow announces a change, or has announced or given it up."""
        key = (row.merchant_id, TransactionKind(row.kind), row.transaction_id)
        delivery = await self._transaction_client.delivery(*key, QUERY_TIMEOUT)
        if delivery.state is not DeliveryState.IDLE or delivery.announced < delivery.to_announce:
            return True
        return delivery.delivered_at is not None and delivery.delivered_at >= changed_at

    async def _query(self, key: tuple[str, TransactionKind, str]) -> WorkflowView:
        try:
            state = await self._transaction_client.state(*key, QUERY_TIMEOUT)
        except WorkflowQueryFailedError:
            self._answered = True
            problem = "it refuses queries: paused, or the code does not fit its history"
            return WorkflowView(running=True, problem=problem)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return NOT_RUNNING
            if error.status not in _SILENT:
                raise
            self._count_silent()
            problem = f"it does not answer queries ({error.status.name})"
            return WorkflowView(running=True, problem=problem)
        self._answered = True
        return WorkflowView(running=True, state=state)

    def _count_silent(self) -> None:
        self._silent += 1
        if self._silent >= SILENT_LIMIT and not self._answered:
            raise OperatorError("No worker answers queries; check that one runs.")
