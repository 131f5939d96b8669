"""What is done about a movement at the PSP, once it is known whose it is."""

import logging

from activities.reconciliation.matching import Match, MatchResult
from activities.reconciliation.psp_account import Account
from integrator.psp.types import Movement
from integrator.store.database import Store
from integrator.store.models import NewUnmatchedMovement, TransactionRow
from integrator.transactions.transaction_client import TransactionClient
from integrator.transactions.workflow_inputs import resume_input
from workflows.messages import PaymentInput, PreauthInput

log = logging.getLogger(__name__)

REMEMBERED = frozenset({MatchResult.TO_ADOPT, MatchResult.WAITING, MatchResult.STRAY})
"""Looked at again in every run until they have found their place."""


class MovementResolver:
    """Has differences looked up, movements made without us adopted, and keeps what is nobody's.

    Everything may be repeated: what was done already changes nothing.
    """

    def __init__(self, store: Store, gateway: TransactionClient) -> None:
        self._store = store
        self._gateway = gateway

    async def resolve(self, account: Account, movement: Movement, judgement: Match) -> None:
        """Do what the finding asks for."""
        if judgement.finding in REMEMBERED:
            await self._remember(account, movement, judgement.row)
        if judgement.row is None:
            return
        if judgement.finding is MatchResult.DIFFERENT:
            own = judgement.row
            log.warning("%s %s differs from the PSP's books", own.kind, own.transaction_id)
            await self._gateway.look_up(resume_input(own), judgement.look_under)
        elif judgement.adoption is not None:
            start = resume_input(judgement.row)
            if isinstance(start, PreauthInput | PaymentInput):
                await self._gateway.record_external_movement(start, judgement.adoption)

    async def _remember(
        self, account: Account, movement: Movement, owner: TransactionRow | None
    ) -> None:
        """Before anything else, so that a crash cannot make us forget it."""
        new = await self._store.add_stray(
            NewUnmatchedMovement(
                psp_settings_id=account.merchant.psp_settings_id,
                psp_id=movement.psp_id,
                kind=movement.kind.value,
                amount=movement.amount,
                currency=movement.currency,
                reference=movement.reference,
                parent_psp_id=movement.parent_psp_id,
                owner_id=owner.transaction_id if owner else None,
                booked_at=movement.booked_at,
            )
        )
        if new:
            log.warning(
                "Merchant %s: the PSP has the %s %s of %s %s, made without us, %s",
                account.merchant.id,
                movement.kind.value,
                movement.psp_id,
                movement.amount,
                movement.currency,
                f"on {owner.kind} {owner.transaction_id}" if owner else "on nothing of ours",
            )
