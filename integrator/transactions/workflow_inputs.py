"""Convert stored transactions to workflow inputs and workflow states to store records."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import TypedDict, cast

from integrator.contract import money
from integrator.contract.enums import PublicPaymentProviderRole
from integrator.psp import registry
from integrator.store import Store, TransactionRow
from integrator.store.models import DUE_PARENT, DUE_VOID, RecordUpdate
from integrator.transactions.transaction_client import STATE_TYPES
from workflows.messages import AnyInput, PaymentInput, PreauthInput, RefundInput
from workflows.state import AnyState, PaymentState, PreauthState, RefundState, TransactionKind


class _CommonFields(TypedDict):
    merchant_id: str
    psp: str
    psp_settings_id: str
    transaction_id: str
    external_id: str
    role: PublicPaymentProviderRole
    currency: str
    requested_amount: Decimal
    key_window_seconds: int
    agreement_id: str | None
    currency_exponent: int | None
    announce_version: int | None
    parent_due: bool
    durable_reads: bool


def initial_input(row: TransactionRow) -> AnyInput:
    """Build the input of a transaction that has not started."""
    return _build_input(row, None)


def resume_input(row: TransactionRow, state: AnyState | None = None) -> AnyInput:
    """Build the input that continues from `state`, or from the stored snapshot."""
    return _build_input(row, state or read_state(row.kind, row.snapshot))


def input_refresher(store: Store) -> Callable[[AnyInput], Awaitable[AnyInput]]:
    """Return a function that updates an input's state from the store, for a closed workflow."""

    async def refresh(start: AnyInput) -> AnyInput:
        row = await store.transactions.get(start.merchant_id, start.transaction_id)
        return resume_input(row) if row is not None else start

    return refresh


def build_record(
    merchant_id: str,
    state: AnyState,
    snapshot: str,
    *,
    activate_agreement: bool = False,
    announce_version: int | None = None,
    parent_due: bool = False,
) -> RecordUpdate:
    """Build the store's record of a state; `snapshot` is that state as JSON."""
    due = [DUE_PARENT] if parent_due else []
    if isinstance(state, PreauthState) and state.void_open:
        due.append(DUE_VOID)
    return RecordUpdate(
        merchant_id=merchant_id,
        transaction_id=state.transaction_id,
        status=state.status.name,
        version=state.version,
        snapshot=snapshot,
        evidence=state.evidence.model_dump_json() if state.evidence else None,
        decided_at=state.evidence.at if state.evidence else None,
        psp_transaction_id=state.psp_transaction_id,
        psp_session_id=state.psp_session_id,
        activate_agreement=activate_agreement,
        needs_attention=state.attention is not None,
        announce_version=announce_version,
        due_steps=",".join(due) or None,
        send_at=state.waiting_until,
    )


def read_state(kind: TransactionKind | str, snapshot: str) -> AnyState:
    """Parse a stored snapshot."""
    return STATE_TYPES[TransactionKind(kind)].model_validate_json(snapshot)


def _build_input(row: TransactionRow, resume: AnyState | None) -> AnyInput:
    """Build the input that continues from `resume`, or that of a new transaction if it is None."""
    common = _CommonFields(
        merchant_id=row.merchant_id,
        psp=row.psp,
        psp_settings_id=row.psp_settings_id,
        transaction_id=row.transaction_id,
        external_id=row.external_id or "",
        role=PublicPaymentProviderRole.parse(row.role),
        currency=row.currency,
        requested_amount=row.requested_amount,
        key_window_seconds=registry.get_adapter(row.psp).capabilities.idempotency.window_seconds,
        agreement_id=row.agreement_id,
        currency_exponent=money.find_exponent(row.currency),
        announce_version=row.announce_version if resume is not None else None,
        parent_due=row.parent_due and resume is not None,
        durable_reads=True,
    )
    match TransactionKind(row.kind):
        case TransactionKind.PREAUTH:
            return PreauthInput(**common, resume=cast(PreauthState | None, resume))
        case TransactionKind.PAYMENT:
            payment = cast(PaymentState | None, resume)
            first = payment or PaymentState.model_validate_json(row.snapshot)
            return PaymentInput(
                **common,
                preauth_id=row.related_id,
                execute_on=first.due_date,
                send_at=first.send_at,
                resume=payment,
            )
        case TransactionKind.REFUND:
            if row.related_id is None:
                raise ValueError("A refund needs the id of its payment: `related_id` is missing.")
            refund = cast(RefundState | None, resume)
            return RefundInput(**common, payment_id=row.related_id, resume=refund)
