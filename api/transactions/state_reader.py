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
    """A transaction as known now; `gone` when Temporal says that it has no workflow.

    Not `sure`: the store's state, while the workflow may know more.
    """

    row: TransactionRow
    state: AnyState
    workflow_missing: bool = False
    authoritative: bool = True


async def read(
    context: Context,
    merchant_id: str,
    kind: TransactionKind,
    transaction_id: str,
    *,
    insist: bool = False,
) -> Reading | None:
    """The current state of the merchant's transaction of that kind, None for anything else."""
    if not is_transaction_id(transaction_id):
        return None
    log_setup.bind(transaction_id=transaction_id)
    row = await context.store.transaction(merchant_id, transaction_id)
    if row is None or row.kind != kind.value:
        return None
    return await current(context, row, insist=insist)


async def current(context: Context, row: TransactionRow, *, insist: bool = False) -> Reading:
    """The newest state of a transaction: nobody is asked when nothing can change any more.

    A read need not wait for a worker that did not answer just now; who wants to refuse something
    for good has to `insist`.
    """
    stored = read_state(row.kind, row.snapshot)
    if stored.is_final or (context.breaker.tripped and not insist):
        if not stored.is_final:
            QUERY_FALLBACKS.labels("breaker_open").inc()
        return Reading(row, stored, authoritative=stored.is_final)
    try:
        asked = await _ask(context, row)
    except LookupError:
        return Reading(row, stored, workflow_missing=True)
    if (
        asked is not None
        and asked.version >= stored.version
        and row.kind != TransactionKind.PREAUTH.value
    ):
        return Reading(row, asked)
    # Both may have moved while we waited: private parts and snapshot belong together.
    fresh = await context.store.transaction(row.merchant_id, row.transaction_id) or row
    stored = read_state(fresh.kind, fresh.snapshot)
    if asked is None or asked.version < stored.version:
        return Reading(fresh, stored, authoritative=asked is not None or stored.is_final)
    return Reading(fresh, asked)


async def _ask(context: Context, row: TransactionRow) -> AnyState | None:
    """The workflow's answer, None if there is none in time; LookupError without a workflow."""
    limit = timedelta(seconds=context.settings.query_timeout_seconds)
    try:
        async with asyncio.timeout(limit.total_seconds()):
            return await context.gateway.state(
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
    context.breaker.trip()
    return None
