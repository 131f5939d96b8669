"""Movements that had no place in our books when they were found: have they one by now?"""

from collections import Counter
from datetime import datetime

from activities.reconciliation.matching import OWN_KIND, Match, MatchResult, ids_of, judge
from activities.reconciliation.psp_account import Account
from activities.reconciliation.resolution import MovementResolver
from integrator.contract.enums import PublicPaymentProviderRole
from integrator.psp.errors import ProtocolError
from integrator.psp.types import Lookup, Movement, MovementKind, Outcome, Pending
from integrator.store.database import Store
from integrator.store.models import TransactionRow, UnmatchedMovement
from workflows.messages import StepReport
from workflows.state import TransactionKind

AT_ONCE = 50
SETTLED = frozenset(
    {MatchResult.MATCHED, MatchResult.DIFFERENT, MatchResult.ADOPTED, MatchResult.VOID}
)


class StrayCheck:
    """Looks at the unresolved ones again, least recently checked first."""

    def __init__(self, store: Store, dealer: MovementResolver) -> None:
        self._store = store
        self._dealer = dealer

    async def run(self, account: Account, seen_before: datetime) -> StepReport:
        """One round; what is settled is kept as such and not looked at any more."""
        counts: Counter[str] = Counter()
        settings_id = account.merchant.psp_settings_id
        for stray in await self._store.open_strays(settings_id, seen_before, AT_ONCE):
            judgement = await self._judge_again(account, stray)
            settled = judgement.finding in SETTLED
            await self._note(account, stray, judgement.row, settled=settled)
            counts["resolved" if settled else "unresolved"] += 1
        return StepReport(counts=dict(counts))

    async def _judge_again(self, account: Account, stray: UnmatchedMovement) -> Match:
        merchant = account.merchant
        known = _movement(stray, Pending(psp_id=stray.psp_id))
        rows = await self._store.transactions_named(merchant.id, merchant.psp, ids_of(known))
        judgement = judge(known, rows)
        if judgement.row is None or judgement.finding is MatchResult.ADOPTED:
            # Nobody's as before, or in its place: either way there is nothing to ask the PSP.
            return judgement
        try:
            outcome = await self._ask(account, stray, judgement.row)
        except ProtocolError:
            outcome = None  # this one's own fault, no outage: the others must not wait for it
        if outcome is None:
            return Match(MatchResult.WAITING, judgement.row)
        movement = _movement(stray, outcome)
        judgement = judge(movement, rows)
        await self._dealer.resolve(account, movement, judgement)
        return judgement

    async def _ask(
        self, account: Account, stray: UnmatchedMovement, row: TransactionRow
    ) -> Outcome | None:
        lookup = Lookup(
            reference=stray.reference or row.transaction_id,
            psp_id=stray.psp_id,
            currency=stray.currency,
            role=PublicPaymentProviderRole.read(row.role),
        )
        connection = account.connection
        match OWN_KIND[MovementKind(stray.kind)]:
            case TransactionKind.PREAUTH:
                return await connection.fetch_authorization(lookup)
            case TransactionKind.PAYMENT:
                return await connection.fetch_payment(lookup)
            case TransactionKind.REFUND:
                return await connection.fetch_refund(lookup)

    async def _note(
        self,
        account: Account,
        stray: UnmatchedMovement,
        owner: TransactionRow | None,
        *,
        settled: bool,
    ) -> None:
        owner_id = owner.transaction_id if owner else None
        await self._store.check_stray(
            stray.psp_settings_id, stray.psp_id, owner_id=owner_id, resolved=settled
        )
        if settled:
            # Its own notifications waited for a transaction that will never come.
            for parked in await self._store.parked_for(account.merchant.id, [stray.psp_id]):
                await self._store.set_notification(parked.id, "known", transaction_id=owner_id)


def _movement(stray: UnmatchedMovement, outcome: Outcome) -> Movement:
    return Movement(
        kind=MovementKind(stray.kind),
        psp_id=stray.psp_id,
        reference=stray.reference,
        parent_psp_id=stray.parent_psp_id,
        amount=stray.amount,
        currency=stray.currency,
        booked_at=stray.booked_at,
        outcome=outcome,
    )
