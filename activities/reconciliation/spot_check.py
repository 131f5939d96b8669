"""Third step of reconciliation: look up stored transactions at the PSP one by one."""

import logging
from collections import Counter
from dataclasses import astuple
from datetime import UTC, datetime, timedelta

from activities.fact_checks import find_vanished
from activities.psp_lookups import build_lookup, look_up, select_fetch
from activities.reconciliation.psp_account import PspAccount
from activities.reconciliation.time_slice import TimeSlice
from integrator.psp.errors import ProtocolError, PspError
from integrator.psp.types import Outcome
from integrator.store.backlog import UNDECIDED_REASONS
from integrator.store.database import Store
from integrator.store.models import FINAL_STATUSES, TransactionRow
from integrator.store.transaction_search import SweptRows
from integrator.transactions.row_isolation import RowIsolation, describe, is_outage
from integrator.transactions.transaction_client import TransactionClient
from integrator.transactions.workflow_inputs import read_state, resume_input
from workflows.messages import StepReport
from workflows.state import AnyState, Change, TransactionKind

log = logging.getLogger(__name__)

OPEN_STATUSES = ("Initiated", "Pending")
OPEN_EVERY = timedelta(hours=1)
OPEN_BATCH_SIZE = 200
FINAL_EVERY = timedelta(days=1)
FINAL_BATCH_SIZE = 50
FINAL_AGE = timedelta(days=400)
"""Older transactions cannot change any more."""
FAILED = "failed"


class SpotCheck:
    """Checks open transactions every hour, final ones in turn, least recently checked first."""

    def __init__(
        self,
        store: Store,
        transaction_client: TransactionClient,
        open_every: timedelta = OPEN_EVERY,
        final_every: timedelta = FINAL_EVERY,
    ) -> None:
        self._store = store
        self._transaction_client = transaction_client
        self._isolation = RowIsolation(store, "sample")
        self._open_every = open_every
        self._final_every = final_every

    async def run(self, account: PspAccount, time_slice: TimeSlice) -> StepReport:
        """Run one round; compared transactions are recorded even if the PSP fails half way."""
        await self._log_undecided(account.merchant.id)
        counts: Counter[str] = Counter()
        checked: list[str] = []
        processed: list[tuple[str, str]] = []
        rows = await self._select_due(account)
        try:
            for unreadable in rows.unreadable:
                checked.append(unreadable.key)
                await self._isolation.set_aside(*astuple(unreadable))
            for row in rows:
                result = await self._check(account, row)
                counts[result] += 1
                checked.append(row.transaction_id)
                if result != FAILED:
                    processed.append((row.merchant_id, row.transaction_id))
                if time_slice.expired:
                    break
        finally:
            # Those that failed as well: the next round goes on after them.
            await self._store.transactions.mark_checked(account.merchant.id, checked)
            await self._isolation.release(processed)
        return StepReport(counts=dict(counts))

    async def _check(self, account: PspAccount, row: TransactionRow) -> str:
        """Compare one transaction; one at which that fails is set aside, and counts as `failed`.

        An error of the merchant's present account, or an outage, ends the round.
        """
        try:
            return await self._compare(account, row)
        except Exception as error:
            is_of_account = isinstance(error, PspError) and not await account.is_former(row)
            if is_of_account or is_outage(error):
                raise
            await self._isolation.set_aside(row.merchant_id, row.transaction_id, describe(error))
            return FAILED

    async def _log_undecided(self, merchant_id: str) -> None:
        """Log how many transactions are undecided, for how long and why."""
        for group in await self._store.backlog.list_undecided_reasons(merchant_id):
            log.info(
                "Undecided transactions of %s: %d, the oldest since %s: %s",
                *(merchant_id, group.count, f"{group.since:%Y-%m-%d %H:%M} UTC"),
                UNDECIDED_REASONS[group.group[0]],
            )

    async def _select_due(self, account: PspAccount) -> SweptRows:
        merchant_id, now = account.merchant.id, datetime.now(UTC)
        open_rows = await self._store.transaction_search.list_to_check(
            merchant_id,
            OPEN_STATUSES,
            created_after=datetime.min.replace(tzinfo=UTC),
            checked_before=now - self._open_every,
            limit=OPEN_BATCH_SIZE,
        )
        final_rows = await self._store.transaction_search.list_to_check(
            merchant_id,
            FINAL_STATUSES,
            created_after=now - FINAL_AGE,
            checked_before=now - self._final_every,
            limit=FINAL_BATCH_SIZE,
        )
        open_rows.add(final_rows)
        return open_rows

    async def _compare(self, account: PspAccount, row: TransactionRow) -> str:
        state = read_state(row.kind, row.snapshot)
        psp_id = state.psp_transaction_id or state.psp_session_id
        try:
            outcome = await self._fetch(account, row, psp_id)
        except ProtocolError:
            log.warning("%s %s: the PSP's response cannot be parsed", row.kind, row.transaction_id)
            return "unreadable"
        if outcome is None:
            if psp_id is not None and not state.ended:
                log.warning("%s %s is unknown to the PSP", row.kind, row.transaction_id)
                return "missing"
            return "matched"
        if state.already_includes(outcome) and not _has_new_doubt(state, outcome):
            return "matched"
        log.warning("%s %s differs from the PSP's state", row.kind, row.transaction_id)
        await self._transaction_client.look_up(resume_input(row))
        return "different"

    async def _fetch(
        self, account: PspAccount, row: TransactionRow, psp_id: str | None
    ) -> Outcome | None:
        lookup = await build_lookup(self._store, row, psp_id)
        connection = await account.connection_for(row)
        fetch = select_fetch(connection, TransactionKind(row.kind))
        return (await look_up(account.adapter, fetch, lookup)).outcome


def _has_new_doubt(state: AnyState, outcome: Outcome) -> bool:
    """Return whether the answer contradicts what was booked, and no operator was asked yet."""
    trial = state.model_copy(deep=True)
    doubts = find_vanished(outcome, state)
    return any(trial.flag_attention(doubt) is not Change.NONE for doubt in doubts)
