"""From a transaction's stored columns to the input of its workflow, the same for API and worker."""

from datetime import date
from decimal import Decimal
from typing import TypedDict

from contract.enums import PublicPaymentProviderRole
from workflows.gateway import STATE_TYPES
from workflows.messages import AnyInput, PaymentInput, PreauthInput, RefundInput
from workflows.state import AnyState, Kind, PaymentState, PreauthState, RefundState


class _Common(TypedDict):
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


def read_state(kind: Kind | str, snapshot: str) -> AnyState:
    """The state a stored snapshot stands for."""
    return STATE_TYPES[Kind(kind)].model_validate_json(snapshot)


def build_start(
    *,
    merchant_id: str,
    psp: str,
    psp_settings_id: str,
    transaction_id: str,
    external_id: str | None,
    kind: Kind | str,
    role: PublicPaymentProviderRole | str,
    currency: str,
    requested_amount: Decimal,
    key_window_seconds: int,
    related_id: str | None,
    snapshot: str | None,
    execute_on: date | None = None,
    agreement_id: str | None = None,
) -> AnyInput:
    """The input of a new transaction (`snapshot` None) or of one to continue from a snapshot.

    `related_id` is the preauth a payment captures or the payment a refund returns. `execute_on`
    counts for a new payment only; a continued one has it in its snapshot.
    """
    common = _Common(
        merchant_id=merchant_id,
        psp=psp,
        psp_settings_id=psp_settings_id,
        transaction_id=transaction_id,
        external_id=external_id or "",
        role=PublicPaymentProviderRole.read(role),
        currency=currency,
        requested_amount=requested_amount,
        key_window_seconds=key_window_seconds,
        agreement_id=agreement_id,
    )
    match Kind(kind):
        case Kind.PREAUTH:
            preauth = PreauthState.model_validate_json(snapshot) if snapshot else None
            return PreauthInput(**common, resume=preauth)
        case Kind.PAYMENT:
            payment = PaymentState.model_validate_json(snapshot) if snapshot else None
            return PaymentInput(
                **common,
                preauth_id=related_id,
                execute_on=payment.due_date if payment else execute_on,
                resume=payment,
            )
        case Kind.REFUND:
            if related_id is None:
                raise ValueError("A refund names the payment it returns.")
            refund = RefundState.model_validate_json(snapshot) if snapshot else None
            return RefundInput(**common, payment_id=related_id, resume=refund)
