"""From a stored transaction to the input of its workflow, and from its state to the store."""

from collections.abc import Awaitable, Callable

from psp import registry
from store import Store, TransactionRow
from store.rows import RecordUpdate
from workflows.messages import AnyInput
from workflows.starts import build_start, read_state
from workflows.state import AnyState, PaymentState


def first_start(row: TransactionRow) -> AnyInput:
    """The start of a transaction that has not begun."""
    return _start(row, None)


def resuming(row: TransactionRow, state: AnyState | None = None) -> AnyInput:
    """A start that continues from `state`, or from the stored one."""
    return _start(row, state.model_dump_json() if state else row.snapshot)


def refresher(store: Store) -> Callable[[AnyInput], Awaitable[AnyInput]]:
    """Brings a start's state up to date with the store, for a workflow that has closed."""

    async def refresh(start: AnyInput) -> AnyInput:
        row = await store.transaction(start.merchant_id, start.transaction_id)
        return resuming(row) if row is not None else start

    return refresh


def record_of(
    merchant_id: str, state: AnyState, snapshot: str, *, activate_agreement: bool = False
) -> RecordUpdate:
    """What the store is to hold of a state; `snapshot` is that state as JSON."""
    return RecordUpdate(
        merchant_id=merchant_id,
        transaction_id=state.transaction_id,
        status=state.status.name,
        version=state.version,
        snapshot=snapshot,
        evidence=state.evidence.model_dump_json() if state.evidence else None,
        psp_transaction_id=state.psp_transaction_id,
        psp_session_id=state.psp_session_id,
        activate_agreement=activate_agreement,
        needs_attention=state.attention is not None,
    )


def _start(row: TransactionRow, snapshot: str | None) -> AnyInput:
    first = read_state(row.kind, row.snapshot)
    return build_start(
        merchant_id=row.merchant_id,
        psp=row.psp,
        psp_settings_id=row.psp_settings_id,
        transaction_id=row.transaction_id,
        external_id=row.external_id,
        kind=row.kind,
        role=row.role,
        currency=row.currency,
        requested_amount=row.requested_amount,
        key_window_seconds=registry.adapter(row.psp).capabilities.idempotency.window_seconds,
        related_id=row.related_id,
        snapshot=snapshot,
        execute_on=first.due_date if isinstance(first, PaymentState) else None,
        agreement_id=row.agreement_id,
    )
