"""Check again the movements that could not be matched when they were found."""

from collections import Counter
from datetime import datetime

from activities.psp_lookups import look_up, select_fetch
from activities.reconciliation.matching import (
    OWN_KIND,
    Match,
    MatchResult,
    match_movement,
    movement_ids,
)
from activities.reconciliation.psp_account import PspAccount
from activities.reconciliation.resolution import MovementResolver
from integrator.contract.enums import PublicPaymentProviderRole
from integrator.psp.errors import ProtocolError
from integrator.psp.types import Lookup, Movement, MovementKind, Outcome, Pending
from integrator.store.database import Store
from integrator.store.models import TransactionRow, UnmatchedMovement
from workflows.messages import StepReport

BATCH_SIZE = 50
RESOLVED_RESULTS = frozenset(
    {MatchResult.MATCHED, MatchResult.DIFFERENT, MatchResult.RECORDED, MatchResult.NO_EFFECT}
)


class UnmatchedCheck:
    """Matches unresolved movements again, least recently checked first."""

    def __init__(self, store: Store, resolver: MovementResolver) -> None:
        self._store = store
        self._resolver = resolver

    async def run(self, account: PspAccount, seen_before: datetime) -> StepReport:
        """Run one round; resolved movements are stored as such and not checked any more."""
        counts: Counter[str] = Counter()
        settings_id = account.merchant.psp_settings_id
        for unmatched in await self._store.unmatched_movements.list_open_by_account(
            settings_id, seen_before, BATCH_SIZE
        ):
            match = await self._match_again(account, unmatched)
            resolved = match.result in RESOLVED_RESULTS
            await self._store_result(account, unmatched, match.row, resolved=resolved)
            counts["resolved" if resolved else "unresolved"] += 1
        return StepReport(counts=dict(counts))

    async def _match_again(self, account: PspAccount, unmatched: UnmatchedMovement) -> Match:
        merchant = account.merchant
        known_movement = _build_movement(unmatched, Pending(psp_id=unmatched.psp_id))
        rows = await self._store.transaction_search.list_by_ids(
            merchant.id, merchant.psp, movement_ids(known_movement)
        )
        match = match_movement(known_movement, rows)
        if match.row is None or match.result is MatchResult.RECORDED:
            # Unmatched as before, or recorded by now: no look-up is needed.
            return match
        try:
            outcome = await self._fetch(account, unmatched, match.row)
        except ProtocolError:
            # Only this movement is at fault, no outage: it must not block the others.
            outcome = None
        if outcome is None:
            return Match(MatchResult.WAITING, match.row)
        movement = _build_movement(unmatched, outcome)
        match = match_movement(movement, rows)
        await self._resolver.resolve(account, movement, match)
        return match

    async def _fetch(
        self, account: PspAccount, unmatched: UnmatchedMovement, row: TransactionRow
    ) -> Outcome | None:
        lookup = Lookup(
            reference=unmatched.reference or row.transaction_id,
            psp_id=unmatched.psp_id,
            currency=unmatched.currency,
            role=PublicPaymentProviderRole.parse(row.role),
            parent_psp_id=unmatched.parent_psp_id,
            created_at=unmatched.booked_at,
        )
        fetch = select_fetch(account.connection, OWN_KIND[MovementKind(unmatched.kind)])
        return (await look_up(account.adapter, fetch, lookup)).outcome

    async def _store_result(
        self,
        account: PspAccount,
        unmatched: UnmatchedMovement,
        parent: TransactionRow | None,
        *,
        resolved: bool,
    ) -> None:
        parent_id = parent.transaction_id if parent else None
        await self._store.unmatched_movements.record_check(
            unmatched.psp_settings_id, unmatched.psp_id, owner_id=parent_id, resolved=resolved
        )
        if resolved:
            # Its parked notifications waited for a transaction that will never exist.
            for parked in await self._store.notifications.list_parked(
                account.merchant.id, [unmatched.psp_id]
            ):
                await self._store.notifications.set_state(
                    parked.id, "known", transaction_id=parent_id
                )


def _build_movement(unmatched: UnmatchedMovement, outcome: Outcome) -> Movement:
    return Movement(
        kind=MovementKind(unmatched.kind),
        psp_id=unmatched.psp_id,
        reference=unmatched.reference,
        parent_psp_id=unmatched.parent_psp_id,
        amount=unmatched.amount,
        currency=unmatched.currency,
        booked_at=unmatched.booked_at,
        outcome=outcome,
    )
