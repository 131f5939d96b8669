"""Captures made without this service that have taken a preauth's reservation.

Reconciliation finds them in the PSP's list of movements. Where a look-up of the reservation names
one, and the reservation has ended here or could not be voided, it is recorded at once.
"""

import logging
from datetime import UTC, datetime

from activities.psp_lookups import build_lookup, look_up
from activities.reconciliation.matching import MatchResult, match_movement, movement_ids
from integrator.psp import registry
from integrator.psp.errors import PspError
from integrator.psp.port import Connection
from integrator.psp.toolkit.outcomes import paid_fact
from integrator.psp.types import Approved, HoldCapture, Movement, MovementKind, Outcome
from integrator.store.database import Store
from integrator.store.models import TransactionRow
from integrator.transactions.transaction_client import TransactionClient
from integrator.transactions.workflow_inputs import read_state, resume_input
from workflows.messages import PreauthInput
from workflows.state import PreauthState

log = logging.getLogger(__name__)


class ExternalCaptures:
    """Signals external captures to the preauths that they have taken."""

    def __init__(self, store: Store, transaction_client: TransactionClient) -> None:
        self._store = store
        self._transaction_client = transaction_client

    async def record_after_refused_void(
        self, row: TransactionRow, connection: Connection, psp_id: str
    ) -> None:
        """Look up a reservation that the PSP did not void; record the capture that has taken it.

        Without an answer reconciliation finds it later.
        """
        lookup = await build_lookup(self._store, row, psp_id)
        adapter = registry.get_adapter(row.psp)
        try:
            result = await look_up(adapter, connection.fetch_authorization, lookup)
        except PspError as error:
            log.warning("The refused void was not looked up: %s", type(error).__name__)
            return
        await self._record(row, result.outcome)

    async def record_after_lookup(self, row: TransactionRow, outcome: Outcome) -> None:
        """Record the capture that the look-up of a preauth names, if it is not one under way here.

        A preauth that was to be voided, or whose reservation has ended, is not captured any more.
        """
        if not isinstance(outcome, Approved) or outcome.capture is None:
            return
        state = read_state(row.kind, row.snapshot)
        if not isinstance(state, PreauthState) or state.captured_by is not None:
            return
        has_ended = state.ends_at is not None and state.ends_at <= datetime.now(UTC)
        if has_ended or state.cancelling or state.voids > 0:
            await self._record(row, outcome)

    async def _record(self, row: TransactionRow, outcome: Outcome | None) -> None:
        capture = outcome.capture if isinstance(outcome, Approved) else None
        if capture is None or row.psp_transaction_id is None:
            return
        movement = _build_movement(capture, row.psp_transaction_id)
        rows = await self._store.transaction_search.list_by_ids(
            row.merchant_id, row.psp, movement_ids(movement)
        )
        match = match_movement(movement, rows)
        if match.result is not MatchResult.TO_RECORD or match.external_movement is None:
            return
        start = resume_input(match.row or row)
        if isinstance(start, PreauthInput):
            await self._transaction_client.record_external_movement(start, match.external_movement)


def _build_movement(capture: HoldCapture, authorization_id: str) -> Movement:
    """Return the capture as the PSP's list of movements would show it."""
    fact = paid_fact(capture.psp_id, capture.amount, capture.booked_on)
    return Movement(
        kind=MovementKind.PAYMENT,
        psp_id=capture.psp_id,
        reference=capture.reference,
        parent_psp_id=authorization_id,
        amount=capture.amount,
        currency=capture.currency,
        booked_at=datetime.now(UTC),
        outcome=Approved(psp_id=capture.psp_id, facts=(fact,)),
    )
