"""From a transaction's state to the contract's responses."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from starlette.responses import Response

from api.context import Context
from api.contract_response import answer
from api.errors import NotFound
from api.transactions.state_reader import Reading, current
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
from integrator.contract.money import InexactAmountError, UnknownCurrencyError, quantize
from integrator.psp.types import Fact, FactKind
from integrator.store import Agreement, RequestedTransaction, TransactionRow
from workflows.state import (
    AnyState,
    Failure,
    PaymentState,
    PreauthState,
    RefundState,
    TransactionKind,
    TransactionState,
)

Role = PublicPaymentProviderRole
DATED_ROLES = frozenset({Role.Debit, Role.MobilePay, Role.AmazonPay})


async def build_response(context: Context, reading: Reading) -> Response:
    """The answer to a POST and to every GET: a failed transaction is an error each time."""
    failed = reading.state.status is PaymentTransactionStatus.Failed
    wanted = not failed and not isinstance(reading.state, RefundState)
    return _response(reading, await _agreed(context, reading.row) if wanted else None)


async def build_response_from(
    context: Context,
    row: TransactionRow,
    reading: Coroutine[Any, Any, Reading],
    agreement: Agreement | None = None,
) -> Response:
    """As `respond`. Of a payment the agreement is read meanwhile, unless it is known: the outcome
    does not change it, as that of a preauth does."""
    if row.kind != TransactionKind.PAYMENT.value:
        return await build_response(context, await reading)
    if agreement is not None and agreement.usable:
        return _response(await reading, agreement.instrument)
    both = asyncio.gather(reading, _agreed(context, row), return_exceptions=True)
    known, agreed = await both  # a start must come to its end, whatever the store says meanwhile
    if isinstance(known, BaseException):
        raise known
    if isinstance(agreed, BaseException):
        raise agreed
    return _response(known, agreed)


async def get_response(
    context: Context, asked: RequestedTransaction | None, kind: TransactionKind
) -> Response:
    """The answer to a GET; what is malformed, of another kind or another's does not exist."""
    if asked is None or asked.transaction.kind != kind.value:
        raise NotFound(f"No {kind.value} with this id.")
    reading = await current(context, asked.transaction)
    if kind is TransactionKind.PREAUTH:  # its agreement may have changed with it
        return await build_response(context, reading)
    return _response(reading, asked.instrument)


def _response(reading: Reading, agreed: dict[str, Any] | None) -> Response:
    state = reading.state
    if state.status is PaymentTransactionStatus.Failed:
        error = failed(state.failure, state.last_updated)
        return answer(error, http_status(error.error_code))
    return answer(render(state, reading.row, agreed))


async def _agreed(context: Context, row: TransactionRow) -> dict[str, Any] | None:
    """The instrument of a transaction's agreement."""
    if row.agreement_id is None:
        return None
    agreement = await context.store.agreement(row.merchant_id, row.agreement_id)
    return agreement.instrument if agreement else None


def failed(failure: Failure | None, since: datetime) -> PaymentError:
    """The error a transaction ended with, as first received."""
    if failure is None:
        return PaymentError(received_at=since)
    return PaymentError(
        error_code=failure.code,
        error_message=failure.message,
        psp_error_code=failure.psp_code,
        received_at=failure.received_at,
    )


def render(
    state: AnyState, row: TransactionRow, agreed: dict[str, Any] | None
) -> PreauthResponse | PaymentResponse | RefundResponse:
    """For a transaction that has not failed; `agreed` is its agreement's instrument."""
    match state:
        case PreauthState():
            return _preauth(state, row, agreed)
        case PaymentState():
            return _payment(state, agreed)
        case RefundState():
            return _refund(state)


def _common(state: TransactionState) -> dict[str, Any]:
    return {
        "transaction_id": state.transaction_id,
        "external_transaction_id": state.external_id,
        "psp_transaction_id": state.psp_transaction_id,
        "currency": state.currency,
        "requested_amount": _money(state.requested_amount, state),
        "status": state.status,
        "last_updated": state.last_updated,
    }


def _preauth(
    state: PreauthState, row: TransactionRow, agreed: dict[str, Any] | None
) -> PreauthResponse:
    private = row.private or {}
    redirect: dict[str, Any] = {}
    # Also while Pending: a page that opened only after the caller had been told so.
    if state.undecided:
        redirect = private.get("redirect") or {}
    # Its own first: the agreement's is written a moment after the PSP's answer is known.
    instrument = private.get("instrument")
    if instrument is None and state.status is PaymentTransactionStatus.Succeeded:
        instrument = agreed
    return PreauthResponse(
        **_common(state),
        authorized_amount=_money(state.authorized_amount, state),
        expires_at=state.expires_at,
        bearer=_bearer(instrument) or None,
        redirect_url=redirect.get("url"),
        redirect_data=redirect.get("data"),
    )


def _payment(state: PaymentState, agreed: dict[str, Any] | None) -> PaymentResponse:
    dated = state.role in DATED_ROLES
    return PaymentResponse(
        **_common(state),
        payments=tuple(PaymentItem(**_item(fact, state)) for fact in state.facts_of(FactKind.PAID)),
        chargebacks=tuple(
            _chargeback(fact, state) for fact in state.facts_of(FactKind.CHARGED_BACK)
        ),
        refunded_amount=_money(state.refunded, state),
        refundable_amount=_money(state.refundable, state),
        bearer=_bearer(agreed),
        due_date=_midnight(state.due_date) if dated and state.due_date else None,
    )


def _refund(state: RefundState) -> RefundResponse:
    done = state.status is PaymentTransactionStatus.Succeeded
    facts = state.facts_of(FactKind.REFUNDED)
    latest = facts[-1] if facts else None
    return RefundResponse(
        **_common(state),
        refunded_amount=_money(state.refunded if done else Decimal(0), state),
        booking_date=_booking_date(latest, state),
        description=latest.description if latest else None,
    )


def _item(fact: Fact, state: TransactionState) -> dict[str, Any]:
    return {
        "external_item_id": fact.id,
        "amount": _money(fact.amount, state),
        "booking_date": _booking_date(fact, state),
        "description": fact.description,
    }


def _chargeback(fact: Fact, state: TransactionState) -> PaymentChargebackItem:
    return PaymentChargebackItem(
        **_item(fact, state),
        fee_amount=_money(fact.fee or Decimal(0), state),
        reason=fact.reason or PaymentChargebackReason.Unknown,
        psp_reason_code=fact.psp_reason_code,
        psp_reason_message=fact.psp_reason_message,
    )


def _booking_date(fact: Fact | None, state: TransactionState) -> date:
    """The PSP's day, else the day we learned of the movement: the member is mandatory."""
    if fact is not None and fact.booked_on is not None:
        return fact.booked_on
    return state.last_updated.astimezone(UTC).date()


def _bearer(instrument: dict[str, Any] | None) -> dict[str, str]:
    return dict((instrument or {}).get("bearer") or {})


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _money(amount: Decimal, state: TransactionState) -> Decimal:
    """With the decimals of its currency; what does not fit is shown as it is, never refused."""
    try:
        return quantize(amount, state.currency)
    except (InexactAmountError, UnknownCurrencyError):
        return amount
