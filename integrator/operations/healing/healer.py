"""What heals each kind of finding: a signal to the workflow, reopened from the store if it closed.

Each is harmless when repeated, and announces only what it changes.
"""

from integrator.operations.healing.diagnosis import unannounced_since
from integrator.operations.healing.findings import Finding, FindingKind
from integrator.operations.healing.workflow_view import HealingClient
from integrator.psp import registry
from integrator.store.database import Store
from integrator.store.models import TransactionRow
from integrator.transactions.parent_result import report_to_parent
from integrator.transactions.workflow_inputs import read_state, resume_input


class Healer:
    """Heals findings; raises what store and transaction client raise."""

    def __init__(self, store: Store, transaction_client: HealingClient) -> None:
        self._store = store
        self._transaction_client = transaction_client

    async def heal(self, finding: Finding) -> None:
        """Heal one finding by its transaction's present row."""
        row = await self._store.transactions.get(finding.merchant_id, finding.id)
        if row is None:
            raise LookupError("The transaction is not in the store.")
        match finding.kind:
            case FindingKind.ANNOUNCEMENT_LOST:
                await self._announce(row)
            case FindingKind.PARENT_UNINFORMED:
                await report_to_parent(self._store, self._transaction_client, row)
            case FindingKind.FAILURE_UNPROVEN:
                await self._compare_with_psp(row)
            case FindingKind.STATE_BEHIND:
                await self._merge(row)
            case _:
                await self._transaction_client.look_up(resume_input(row))

    async def _announce(self, row: TransactionRow) -> None:
        """Record that an announcement is due, so that it survives its workflow, and request it."""
        key = (row.merchant_id, row.transaction_id)
        await self._store.transactions.require_announcement(*key)
        await self._transaction_client.redeliver(resume_input(row))

    async def _merge(self, row: TransactionRow) -> None:
        """Request a look-up, with which the workflow takes the row over, and announces its change.

        A change that was announced before is not announced again.
        """
        key = (row.merchant_id, row.transaction_id)
        deliveries = await self._store.deliveries.list_by_transaction(*key)
        state = read_state(row.kind, row.snapshot)
        if unannounced_since(row, state, deliveries) is not None:
            await self._store.transactions.require_announcement(*key)
        await self._transaction_client.look_up(resume_input(row))

    async def _compare_with_psp(self, row: TransactionRow) -> None:
        """Request a look-up, which goes on until the PSP answers: money there needs attention."""
        if not registry.get_adapter(row.psp).capabilities.can_read:
            raise ValueError("The PSP cannot be asked.")
        await self._transaction_client.look_up(resume_input(row))
        await self._store.transactions.mark_checked(row.merchant_id, [row.transaction_id])
