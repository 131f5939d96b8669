"""Responses of the contract, built from a transaction's state."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from starlette.responses import Response

from api.contract_response import contract_response
from api.transactions.state_reader import Reading
from integrator.contract import (
    PaymentChargebackItem,
    PaymentChargebackReason,
    PaymentError,
    PaymentItem,
    PaymentResponse,
    PaymentTransactionStatus,
    PreauthResponse,
    PublicPaymentProviderRole,
    RefundResponse,
    http_status,
)
from integrator.contract.enums import DEBIT_ROLES
from integrator.contract.money import InexactAmountError, UnknownCurrencyError, quantize
from integrator.psp.types import Fact, FactKind
from integrator.store import TransactionRow
from workflows.state import (
    AnyState,
    Failure,
    PaymentState,
    PreauthState,
    RefundState,
    TransactionState,
)

Role = PublicPaymentProviderRole
ROLES_WITH_DUE_DATE = DEBIT_ROLES | {Role.MobilePay, Role.AmazonPay}


def build_response(reading: Reading, instrument: dict[str, Any] | None) -> Response:
    """Build the response to a POST or GET; a failed transaction is an error each time.

    `instrument` is the payment instrument of the transaction's agreement.
    """
    state = reading.state
    if state.status is PaymentTransactionStatus.Failed:
        error = build_error(state.failure, state.last_updated)
        return contract_response(error, http_status(error.error_code))
    return contract_response(build_body(state, reading.row, instrument))


def build_error(failure: Failure | None, since: datetime) -> PaymentError:
    """Return the error that a transaction failed with, as first received."""
    if failure is None:
        return PaymentError(received_at=since)
    return PaymentError(
        error_code=failure.code,
        error_message=failure.message,
        psp_error_code=failure.psp_code,
        received_at=failure.received_at,
    )


def build_body(
    state: AnyState, row: TransactionRow, instrument: dict[str, Any] | None
) -> PreauthResponse | PaymentResponse | RefundResponse:
    """Return the body for a transaction that has not failed, with its agreement's instrument."""
    match state:
        case PreauthState():
            return _build_preauth(state, row, instrument)
        case PaymentState():
            return _build_payment(state, instrument)
        case RefundState():
            return _build_refund(state)


def _common_members(state: TransactionState) -> dict[str, Any]:
    return {
        "transaction_id": state.transaction_id,
        "external_transaction_id": state.external_id,
        "psp_transaction_id": state.psp_transaction_id,
        "currency": state.currency,
        "requested_amount": _with_currency_decimals(state.requested_amount, state),
        "status": state.status,
        "last_updated": state.last_updated,
    }


def _build_preauth(
    state: PreauthState, row: TransactionRow, agreement_instrument: dict[str, Any] | None
) -> PreauthResponse:
    private = row.private or {}
    redirect: dict[str, Any] = {}
    # Also while Pending: the page may have been opened after the caller received Pending.
    if state.undecided:
        redirect = private.get("redirect") or {}
    # The preauth's own first: the agreement's is written a moment after the PSP's response.
    instrument = private.get("instrument")
    if instrument is None and state.status is PaymentTransactionStatus.Succeeded:
        instrument = agreement_instrument
    return PreauthResponse(
        **_common_members(state),
        authorized_amount=_with_currency_decimals(state.authorized_amount, state),
        expires_at=state.expires_at,
        bearer=_bearer_member(instrument) or None,
        redirect_url=redirect.get("url"),
        redirect_data=redirect.get("data"),
    )


def _build_payment(state: PaymentState, instrument: dict[str, Any] | None) -> PaymentResponse:
    has_due_date = state.role in ROLES_WITH_DUE_DATE
    return PaymentResponse(
        **_common_members(state),
        payments=(*_payment_items(state), *_reinstated_items(state)),
        chargebacks=tuple(
            _build_chargeback(fact, state) for fact in state.facts_of(FactKind.CHARGED_BACK)
        ),
        refunded_amount=_with_currency_decimals(state.refunded, state),
        refundable_amount=_with_currency_decimals(state.refundable, state),
        bearer=_bearer_member(instrument),
        due_date=_midnight(state.due_date) if has_due_date and state.due_date else None,
    )


def _build_refund(state: RefundState) -> RefundResponse:
    is_done = state.status is PaymentTransactionStatus.Succeeded
    facts = state.facts_of(FactKind.REFUNDED)
    latest = facts[-1] if facts else None
    return RefundResponse(
        **_common_members(state),
        refunded_amount=_with_currency_decimals(state.refunded if is_done else Decimal(0), state),
        booking_date=_booking_date(latest, state),
        description=latest.description if latest else None,
    )


def _item_members(fact: Fact, state: TransactionState) -> dict[str, Any]:
    return {
        "external_item_id": fact.id,
        "amount": _with_currency_decimals(fact.amount, state),
        "booking_date": _booking_date(fact, state),
        "description": fact.description,
    }


def _payment_items(state: PaymentState) -> Iterator[PaymentItem]:
    for fact in state.facts_of(FactKind.PAID):
        yield PaymentItem(**_item_members(fact, state))


def _reinstated_items(state: PaymentState) -> Iterator[PaymentItem]:
    """Yield the money of chargebacks that came back in full, as payments of their own.

    An item can neither be taken back nor have an amount of 0, so the chargeback stays as it is.
    """
    reversals = state.facts_of(FactKind.CHARGEBACK_REVERSED)
    for chargeback in state.facts_of(FactKind.CHARGED_BACK):
        last = next((fact for fact in reversed(reversals) if fact.reverses == chargeback.id), None)
        if last is not None and state.reversed_amount(chargeback) == chargeback.amount:
            item = last.model_copy(
                update={"id": f"{chargeback.id}/reinstated", "amount": chargeback.amount}
            )
            yield PaymentItem(**_item_members(item, state))


def _build_chargeback(fact: Fact, state: PaymentState) -> PaymentChargebackItem:
    """Return a chargeback with what did not come back of it, or with all if all came back."""
    remaining = fact.amount - state.reversed_amount(fact)
    shown = fact.model_copy(update={"amount": remaining}) if remaining else fact
    return PaymentChargebackItem(
        **_item_members(shown, state),
        fee_amount=_with_currency_decimals(fact.fee or Decimal(0), state),
        reason=fact.reason or PaymentChargebackReason.Unknown,
        psp_reason_code=fact.psp_reason_code,
        psp_reason_message=fact.psp_reason_message,
    )


def _booking_date(fact: Fact | None, state: TransactionState) -> date:
    """Return the PSP's booking day, else the day of the last update: the member is mandatory."""
    if fact is not None and fact.booked_on is not None:
        return fact.booked_on
    return state.last_updated.astimezone(UTC).date()


def _bearer_member(instrument: dict[str, Any] | None) -> dict[str, str]:
    return dict((instrument or {}).get("bearer") or {})


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _with_currency_decimals(amount: Decimal, state: TransactionState) -> Decimal:
    """Return the amount with its currency's decimals, unchanged if it has more."""
    try:
        return quantize(amount, state.currency)
    except (InexactAmountError, UnknownCurrencyError):
        return amount
