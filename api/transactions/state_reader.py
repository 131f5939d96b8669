"""The state of a transaction: from its workflow if that answers in time, else from the store."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio.client import RPCTimeoutOrCancelledError, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from api.metrics import QUERY_FALLBACKS
from integrator.contract import PaymentTransactionStatus
from integrator.contract.ids import is_transaction_id
from integrator.observability import log_setup
from integrator.store import Store, TransactionRow
from integrator.transactions.transaction_client import TransactionClient
from integrator.transactions.workflow_inputs import read_state
from workflows.state import AnyState, RefundState, TransactionKind

PAUSE_SECONDS = 5.0

log = logging.getLogger(__name__)


class CircuitBreaker:
    """Stops workflow queries for some seconds after one was not answered.

    Without a worker a query never fails fast: it waits for its whole timeout, and so would
    every read.
    """

    def __init__(
        self, pause: float = PAUSE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pause = pause
        self._clock = clock
        self._open_until = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether queries are to be skipped."""
        return self._clock() < self._open_until

    def trip(self) -> None:
        """Record that a query was not answered."""
        self._open_until = self._clock() + self._pause


@dataclass(frozen=True)
class Reading:
    """The state of a transaction, with its source.

    `workflow_missing`: Temporal has no workflow for it. Not `authoritative`: the store's state;
    the workflow may have a newer one.
    """

    row: TransactionRow
    state: AnyState
    workflow_missing: bool = False
    authoritative: bool = True


class StateReader:
    """Reads transactions from the store and asks their workflows for newer states."""

    def __init__(
        self, store: Store, transaction_client: TransactionClient, query_timeout_seconds: float
    ) -> None:
        self._store = store
        self._transaction_client = transaction_client
        self._query_timeout = timedelta(seconds=query_timeout_seconds)
        self.breaker = CircuitBreaker()

    async def find(
        self,
        merchant_id: str,
        kind: TransactionKind,
        transaction_id: str,
        *,
        require_authoritative: bool = False,
    ) -> Reading | None:
        """Return the current state of the merchant's transaction; None if none is of the kind."""
        if not is_transaction_id(transaction_id):
            return None
        log_setup.bind(transaction_id=transaction_id)
        row = await self._store.transactions.get(merchant_id, transaction_id)
        if row is None or row.kind != kind.value:
            return None
        return await self.read(row, require_authoritative=require_authoritative)

    async def read(self, row: TransactionRow, *, require_authoritative: bool = False) -> Reading:
        """Return the newest state of a transaction; a final state needs no query.

        While the circuit breaker is open the store's state is returned. A caller that would refuse
        a request permanently passes `require_authoritative`, which queries all the same.
        """
        stored = read_state(row.kind, row.snapshot)
        if stored.is_final or (self.breaker.is_open and not require_authoritative):
            if not stored.is_final:
                QUERY_FALLBACKS.labels("breaker_open").inc()
            return Reading(row, stored, authoritative=stored.is_final)
        try:
            queried = await self._query_workflow(row)
        except LookupError:
            return Reading(row, stored, workflow_missing=True)
        if (
            queried is not None
            and queried.version >= stored.version
            and row.kind != TransactionKind.PREAUTH.value
        ):
            return Reading(row, queried)
        # Both may have changed meanwhile: private data and snapshot must be of one row.
        current_row = await self.reload(row)
        stored = read_state(current_row.kind, current_row.snapshot)
        if queried is None or queried.version < stored.version:
            is_authoritative = queried is not None or stored.is_final
            return Reading(current_row, stored, authoritative=is_authoritative)
        return Reading(current_row, queried)

    async def reload(self, row: TransactionRow) -> TransactionRow:
        """Return the row as it is stored now."""
        return await self._store.transactions.get(row.merchant_id, row.transaction_id) or row

    async def read_instrument(self, reading: Reading) -> dict[str, Any] | None:
        """Return the payment instrument of the transaction's agreement.

        None for a refund and for a failed transaction, whose responses contain none.
        """
        row, state = reading.row, reading.state
        is_failed = state.status is PaymentTransactionStatus.Failed
        if is_failed or isinstance(state, RefundState) or row.agreement_id is None:
            return None
        agreement = await self._store.agreements.get(row.merchant_id, row.agreement_id)
        return agreement.instrument if agreement else None

    async def _query_workflow(self, row: TransactionRow) -> AnyState | None:
        """Return the workflow's state, None if not answered in time.

        Raises `LookupError` without a workflow.
        """
        try:
            async with asyncio.timeout(self._query_timeout.total_seconds()):
                return await self._transaction_client.state(
                    row.merchant_id,
                    TransactionKind(row.kind),
                    row.transaction_id,
                    self._query_timeout,
                )
        except WorkflowQueryFailedError:
            log.warning("Workflow of %s %s refused a query.", row.kind, row.transaction_id)
            QUERY_FALLBACKS.labels("refused").inc()
            return None
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise LookupError(row.transaction_id) from error
        except (TimeoutError, RuntimeError, RPCTimeoutOrCancelledError):
            pass
        QUERY_FALLBACKS.labels("unanswered").inc()
        self.breaker.trip()
        return None
