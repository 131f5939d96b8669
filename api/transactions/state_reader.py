"""The state of a transaction: from its workflow if that answers in time, else from the store."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta

from temporalio.client import RPCTimeoutOrCancelledError, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from api.context import Context
from api.metrics import QUERY_FALLBACKS
from integrator.contract.ids import is_transaction_id
from integrator.observability import log_setup
from integrator.store import TransactionRow
from integrator.transactions.workflow_inputs import read_state
from workflows.state import AnyState, TransactionKind

log = logging.getLogger(__name__)


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


async def read_transaction(
    context: Context,
    merchant_id: str,
    kind: TransactionKind,
    transaction_id: str,
    *,
    require_authoritative: bool = False,
) -> Reading | None:
    """Return the current state of the merchant's transaction, None if there is none of the kind."""
    if not is_transaction_id(transaction_id):
        return None
    log_setup.bind(transaction_id=transaction_id)
    row = await context.store.transaction(merchant_id, transaction_id)
    if row is None or row.kind != kind.value:
        return None
    return await read_current(context, row, require_authoritative=require_authoritative)


async def read_current(
    context: Context, row: TransactionRow, *, require_authoritative: bool = False
) -> Reading:
    """Return the newest state of a transaction; a final state needs no query.

    While the circuit breaker is open the store's state is returned. A caller that would refuse a
    request permanently passes `require_authoritative`, which queries all the same.
    """
    stored = read_state(row.kind, row.snapshot)
    if stored.is_final or (context.query_breaker.is_open and not require_authoritative):
        if not stored.is_final:
            QUERY_FALLBACKS.labels("breaker_open").inc()
        return Reading(row, stored, authoritative=stored.is_final)
    try:
        queried = await _query_workflow(context, row)
    except LookupError:
        return Reading(row, stored, workflow_missing=True)
    if (
        queried is not None
        and queried.version >= stored.version
        and row.kind != TransactionKind.PREAUTH.value
    ):
        return Reading(row, queried)
    # Both may have changed meanwhile: private data and snapshot must be of one row.
    current_row = await context.store.transaction(row.merchant_id, row.transaction_id) or row
    stored = read_state(current_row.kind, current_row.snapshot)
    if queried is None or queried.version < stored.version:
        return Reading(current_row, stored, authoritative=queried is not None or stored.is_final)
    return Reading(current_row, queried)


async def _query_workflow(context: Context, row: TransactionRow) -> AnyState | None:
    """Return the workflow's state, None if not answered in time.

    Raises `LookupError` without a workflow.
    """
    limit = timedelta(seconds=context.settings.query_timeout_seconds)
    try:
        async with asyncio.timeout(limit.total_seconds()):
            return await context.transaction_client.state(
                row.merchant_id, TransactionKind(row.kind), row.transaction_id, limit
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
    context.query_breaker.trip()
    return None
