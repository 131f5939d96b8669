"""Look-ups of transactions at their PSP: the request, its read and what the answer establishes."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import assert_never

from activities import psp_requests
from integrator.psp.errors import CredentialsRejected, PspError
from integrator.psp.lookup_result import LookupResult, interpret_answer
from integrator.psp.port import Adapter, Connection
from integrator.psp.types import Lookup, LookupAnswer
from integrator.store import StoreError
from integrator.store.database import Store
from integrator.store.models import TransactionRow
from workflows.state import TransactionKind

log = logging.getLogger(__name__)

Fetch = Callable[[Lookup], Awaitable[LookupAnswer]]


async def build_lookup(store: Store, row: TransactionRow, psp_id: str | None) -> Lookup:
    """Build the look-up of a transaction under one of its PSP ids, or under its reference."""
    reference = await _psp_reference(store, row, psp_id)
    return psp_requests.lookup(row, psp_id, reference, await _parent_psp_id(store, row))


def select_fetch(connection: Connection, kind: TransactionKind) -> Fetch:
    """Return the read of a kind of transaction."""
    match kind:
        case TransactionKind.PREAUTH:
            return connection.fetch_authorization
        case TransactionKind.PAYMENT:
            return connection.fetch_payment
        case TransactionKind.REFUND:
            return connection.fetch_refund
        case _:
            assert_never(kind)


async def look_up(adapter: Adapter, fetch: Fetch, lookup: Lookup) -> LookupResult:
    """Ask the PSP by `fetch`, a read of a connection of `adapter`. Raises `PspError`."""
    return interpret_answer(await fetch(lookup), lookup, adapter.capabilities.idempotency)


@asynccontextmanager
async def marking_failure(store: Store, row: TransactionRow) -> AsyncIterator[None]:
    """Mark the row if the PSP leaves the look-up in the block unanswered; an answer removes it.

    The marked look-ups are repeated as soon as the account answers again. Rejected credentials are
    an answer: only new ones help.
    """
    try:
        yield
    except CredentialsRejected:
        raise
    except PspError:
        try:
            await store.transactions.mark_lookup_failed(row.merchant_id, row.transaction_id)
        except StoreError as failure:
            # The look-up is then repeated on its schedule alone.
            log.warning("A failed look-up was not marked: %s", type(failure).__name__)
        raise
    if row.lookup_failed_at is not None:
        await store.transactions.clear_lookup_failed(row)


async def _psp_reference(store: Store, row: TransactionRow, psp_id: str | None) -> str:
    """Return the object's reference at the PSP: our id, unless the object is external."""
    if psp_id is None:
        return row.transaction_id
    unmatched = await store.unmatched_movements.get(row.psp_settings_id, psp_id)
    return (unmatched.reference if unmatched else None) or row.transaction_id


async def _parent_psp_id(store: Store, row: TransactionRow) -> str | None:
    """Return the PSP's id of the preauth that was captured or of the payment that was refunded."""
    if row.related_id is None:
        return None
    parent = await store.transactions.get(row.merchant_id, row.related_id)
    return parent.psp_transaction_id if parent else None
