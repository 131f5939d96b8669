"""From a row of the store to the start of its workflow."""

from psp import registry
from store.rows import TransactionRow
from workflows.messages import AnyInput
from workflows.starts import build_start


def start_of(row: TransactionRow) -> AnyInput:
    """The start that reopens the transaction's workflow from its stored state."""
    semantics = registry.adapter(row.psp).capabilities.idempotency
    return build_start(
        kind=row.kind,
        merchant_id=row.merchant_id,
        psp=row.psp,
        psp_settings_id=row.psp_settings_id,
        transaction_id=row.transaction_id,
        external_id=row.external_id or "",
        role=row.role,
        currency=row.currency,
        requested_amount=row.requested_amount,
        key_window_seconds=semantics.window_seconds,
        related_id=row.related_id,
        snapshot=row.snapshot,
    )
