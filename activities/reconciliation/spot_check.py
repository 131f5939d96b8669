"""The third step of reconciliation: our transactions, asked for at the PSP one by one."""

import logging
from collections import Counter
from datetime import UTC, datetime, timedelta

from activities import psp_requests
from activities.reconciliation.psp_account import Account, reference_of
from activities.reconciliation.time_slice import Share
from integrator.psp.errors import ProtocolError
from integrator.psp.types import Outcome
from integrator.store.database import Store
from integrator.store.models import FINAL_STATUSES, TransactionRow
from integrator.transactions.transaction_client import TransactionClient
from integrator.transactions.workflow_inputs import read_state, resume_input
from workflows.messages import StepReport
from workflows.state import TransactionKind

log = logging.getLogger(__name__)

OPEN_STATUSES = ("Initiated", "Pending")
OPEN_EVERY = timedelta(hours=1)
OPEN_AT_ONCE = 200
FINAL_EVERY = timedelta(days=1)
FINAL_AT_ONCE = 50
FINAL_AGE = timedelta(days=400)
"""Nothing older can change any more."""


class Sample:
    """Open transactions every hour, finished ones in turn, least recently compared first."""

    def __init__(
        self,
        store: Store,
        gateway: TransactionClient,
        open_every: timedelta = OPEN_EVERY,
        final_every: timedelta = FINAL_EVERY,
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._open_every = open_every
        self._final_every = final_every

    async def run(self, account: Account, share: Share) -> StepReport:
        """One round. What was compared is remembered even if the PSP goes away half way."""
        counts: Counter[str] = Counter()
        done: list[str] = []
        try:
            for row in await self._due(account):
                counts[await self._compare(account, row)] += 1
                done.append(row.transaction_id)
                if share.used_up:
                    break
        finally:
            await self._store.transactions_checked(account.merchant.id, done)
        return StepReport(counts=dict(counts))

    async def _due(self, account: Account) -> list[TransactionRow]:
        merchant_id, now = account.merchant.id, datetime.now(UTC)
        undecided = await self._store.transactions_to_check(
            merchant_id,
            OPEN_STATUSES,
            created_after=datetime.min.replace(tzinfo=UTC),
            checked_before=now - self._open_every,
            limit=OPEN_AT_ONCE,
        )
        final = await self._store.transactions_to_check(
            merchant_id,
            FINAL_STATUSES,
            created_after=now - FINAL_AGE,
            checked_before=now - self._final_every,
            limit=FINAL_AT_ONCE,
        )
        return undecided + final

    async def _compare(self, account: Account, row: TransactionRow) -> str:
        state = read_state(row.kind, row.snapshot)
        psp_id = state.psp_transaction_id or state.psp_session_id
        try:
            outcome = await self._fetch(account, row, psp_id)
        except ProtocolError:
            log.warning("%s %s: the PSP's answer is not readable", row.kind, row.transaction_id)
            return "unreadable"
        if outcome is None:
            if psp_id is not None and not state.ended:
                log.warning("%s %s is unknown to the PSP", row.kind, row.transaction_id)
                return "missing"
            return "matched"
        if state.already_includes(outcome):
            return "matched"
        log.warning("%s %s differs from the PSP's books", row.kind, row.transaction_id)
        await self._gateway.look_up(resume_input(row))
        return "different"

    async def _fetch(
        self, account: Account, row: TransactionRow, psp_id: str | None
    ) -> Outcome | None:
        lookup = psp_requests.lookup(row, psp_id, await reference_of(self._store, row, psp_id))
        connection = await account.connection_of(row)
        match TransactionKind(row.kind):
            case TransactionKind.PREAUTH:
                return await connection.fetch_authorization(lookup)
            case TransactionKind.PAYMENT:
                return await connection.fetch_payment(lookup)
            case TransactionKind.REFUND:
                return await connection.fetch_refund(lookup)
