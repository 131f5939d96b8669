"""Handle matched movements: look up, record or keep as unmatched."""

import logging

from activities.reconciliation.matching import Match, MatchResult
from activities.reconciliation.psp_account import PspAccount
from integrator.psp.types import Movement
from integrator.store.database import Store
from integrator.store.models import NewUnmatchedMovement, TransactionRow
from integrator.transactions.transaction_client import TransactionClient
from integrator.transactions.workflow_inputs import resume_input
from workflows.messages import PaymentInput, PreauthInput

log = logging.getLogger(__name__)

STORED_RESULTS = frozenset({MatchResult.TO_RECORD, MatchResult.WAITING, MatchResult.UNMATCHED})
"""Checked again in every run until they are resolved."""


class MovementResolver:
    """Requests look-ups of differences, records external movements, stores unmatched ones.

    Every step is idempotent.
    """

    def __init__(self, store: Store, transaction_client: TransactionClient) -> None:
        self._store = store
        self._transaction_client = transaction_client

    async def resolve(self, account: PspAccount, movement: Movement, match: Match) -> None:
        """Handle one movement according to its match result."""
        if match.result in STORED_RESULTS:
            await self._store_unmatched(account, movement, match.row)
        if match.row is None:
            return
        if match.result is MatchResult.DIFFERENT:
            row = match.row
            log.warning("%s %s differs from the PSP's state", row.kind, row.transaction_id)
            await self._transaction_client.look_up(resume_input(row), match.lookup_psp_id)
        elif match.external_movement is not None:
            start = resume_input(match.row)
            if isinstance(start, PreauthInput | PaymentInput):
                await self._transaction_client.record_external_movement(
                    start, match.external_movement
                )

    async def _store_unmatched(
        self, account: PspAccount, movement: Movement, parent: TransactionRow | None
    ) -> None:
        """Store the movement before anything else, so that a crash cannot lose it."""
        new = await self._store.unmatched_movements.add(
            NewUnmatchedMovement(
                psp_settings_id=account.merchant.psp_settings_id,
                psp_id=movement.psp_id,
                kind=movement.kind.value,
                amount=movement.amount,
                currency=movement.currency,
                reference=movement.reference,
                parent_psp_id=movement.parent_psp_id,
                owner_id=parent.transaction_id if parent else None,
                booked_at=movement.booked_at,
            )
        )
        if new:
            log.warning(
                "Merchant %s: the PSP has an external %s %s of %s %s, %s",
                account.merchant.id,
                movement.kind.value,
                movement.psp_id,
                movement.amount,
                movement.currency,
                f"on {parent.kind} {parent.transaction_id}"
                if parent
                else "on no known transaction",
            )
