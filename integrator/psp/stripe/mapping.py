"""Mapping of Stripe's objects to outcomes and facts; pure except for the clock.

Only statuses that are known to be final are mapped as final: a new status is `Pending`.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.errors import ProtocolError
from integrator.psp.stripe import instruments
from integrator.psp.stripe.error_codes import chargeback_reason, error_code, failure_code
from integrator.psp.stripe.money import to_major
from integrator.psp.stripe.wire import (
    BalanceTransaction,
    Charge,
    CheckoutSession,
    Dispute,
    ErrorDetail,
    PaymentIntent,
    Refund,
    SetupIntent,
)
from integrator.psp.toolkit import time_formats
from integrator.psp.toolkit.outcomes import ended_outcome, failed_outcome, paid_fact, refunded_fact
from integrator.psp.toolkit.time_formats import utc_date, utc_datetime
from integrator.psp.types import (
    Approved,
    Declined,
    Fact,
    FactKind,
    Outcome,
    Pending,
    RedirectRequired,
)

ABANDONED_AFTER = timedelta(hours=24)
"""After this time a PaymentIntent is not confirmed any more: Stripe may have dropped the key."""

_INQUIRY_STATUSES = (
    "warning_needs_response",
    "warning_under_review",
    "warning_closed",
    "prevented",
)
_NEEDS_PAYMENT_METHOD = "requires_payment_method"


def session_outcome(session: CheckoutSession) -> Outcome:
    """Return the outcome of a checkout session, or of its intent once it is completed.

    A session that ended before its expiry was closed.
    """
    expires_at = utc_datetime(session.expires_at)
    intent = session.payment_intent
    if session.status == "open":
        return RedirectRequired(psp_id=session.id, url=session.url, expires_at=expires_at)
    if session.status == "expired":
        error = intent.last_payment_error if isinstance(intent, PaymentIntent) else None
        if error is not None:
            return _failed_outcome(session.id, error)
        if time_formats.now() < expires_at:
            return ended_outcome(session.id, Status.Cancelled, "The checkout session was closed.")
        return ended_outcome(session.id, Status.Expired, "The checkout session expired.")
    if session.status != "complete":
        return Pending(psp_id=session.id)
    if isinstance(intent, PaymentIntent):
        return hold_outcome(intent)
    if isinstance(session.setup_intent, SetupIntent):
        return setup_outcome(session.setup_intent)
    raise ProtocolError("Stripe returned a completed checkout session without intent.")


def setup_outcome(setup: SetupIntent, iban: str | None = None) -> Outcome:
    """Return whether a payment method was stored."""
    if setup.status == "succeeded":
        return Approved(psp_id=setup.id, instrument=instruments.instrument_from_setup(setup, iban))
    if setup.status == "canceled":
        return ended_outcome(setup.id, Status.Cancelled, "The sign-up was cancelled.")
    if setup.status.startswith("requires_") and setup.last_setup_error is not None:
        return _failed_outcome(setup.id, setup.last_setup_error)
    return Pending(psp_id=setup.id)


def hold_outcome(intent: PaymentIntent, now: datetime | None = None) -> Outcome:
    """Return the outcome of a reservation; a captured one was authorized."""
    charge = intent.latest_charge
    if intent.status in ("requires_capture", "succeeded"):
        capture_before = charge.capture_before if isinstance(charge, Charge) else None
        fact = Fact(
            kind=FactKind.AUTHORIZED,
            id=intent.id,
            amount=to_major(intent.amount, intent.currency),
            expires_at=utc_datetime(capture_before) if capture_before else None,
        )
        instrument = instruments.instrument_from_method(intent.payment_method, intent.customer)
        return Approved(psp_id=intent.id, facts=(fact,), instrument=instrument)
    return _unfinished_outcome(intent, intent.id, now)


def payment_outcome(
    intent: PaymentIntent, disputes: Sequence[Dispute] = (), now: datetime | None = None
) -> Outcome:
    """Return the outcome of a payment, with its chargebacks.

    A capture is identified by its charge, since the intent identifies the reservation.
    """
    charge = intent.latest_charge
    id = intent.charge_id if intent.is_manual_capture else intent.id
    if intent.status == "succeeded":
        if intent.charge_id is None:
            raise ProtocolError("Stripe returned a successful payment without charge.")
        booked_on = _booking_date(charge) if intent.is_manual_capture else utc_date(intent.created)
        amount = to_major(intent.amount_received, intent.currency)
        fact = paid_fact(intent.charge_id, amount, booked_on)
        return Approved(psp_id=id, facts=(fact, *chargeback_facts(disputes)))
    if intent.is_manual_capture and isinstance(charge, Charge) and charge.status == "failed":
        return _failed_charge_outcome(charge)
    return _unfinished_outcome(intent, id, now)


def charge_outcome(charge: Charge, disputes: Sequence[Dispute] = ()) -> Outcome:
    """Return the outcome of a capture."""
    if charge.status == "failed":
        return _failed_charge_outcome(charge)
    if charge.status != "succeeded" or not charge.captured:
        return Pending(psp_id=charge.id)
    amount = to_major(charge.amount_captured, charge.currency)
    fact = paid_fact(charge.id, amount, _booking_date(charge))
    return Approved(psp_id=charge.id, facts=(fact, *chargeback_facts(disputes)))


def refund_outcome(refund: Refund) -> Outcome:
    """Return the outcome of a refund."""
    if refund.status == "succeeded":
        amount = to_major(refund.amount, refund.currency)
        fact = refunded_fact(refund.id, amount, utc_date(refund.created))
        return Approved(psp_id=refund.id, facts=(fact,))
    if refund.status == "failed":
        reason = refund.failure_reason
        return failed_outcome(refund.id, failure_code(reason), reason)
    if refund.status == "canceled":
        return ended_outcome(refund.id, Status.Cancelled, "The refund was cancelled.")
    return Pending(psp_id=refund.id)


def void_outcome(psp_object: PaymentIntent | CheckoutSession) -> Outcome:
    """Return whether a reservation was released, or an open checkout session closed."""
    if psp_object.status in ("canceled", "expired"):
        return Approved(psp_id=psp_object.id)
    return Pending(psp_id=psp_object.id)


def chargeback_facts(disputes: Sequence[Dispute]) -> tuple[Fact, ...]:
    """Return a fact for every dispute that withdrew money from the merchant's balance.

    An inquiry withdraws none. A dispute won later still counts, because the contract has no
    reversal of a chargeback and facts must not depend on the time of a look-up; its message says
    that it was won.
    """
    return tuple(_chargeback_fact(item) for item in disputes if _has_withdrawn_money(item))


def _unfinished_outcome(intent: PaymentIntent, id: str | None, now: datetime | None) -> Outcome:
    """Return the outcome of an intent that has neither reserved nor taken money.

    At the hosted page (the only place where we request future usage) the customer may try again.
    Elsewhere no customer is present to complete `requires_action`.
    """
    error = intent.last_payment_error
    if intent.status == "canceled":
        is_expired = intent.cancellation_reason in ("expired", "automatic")
        status = Status.Expired if is_expired else Status.Cancelled
        return ended_outcome(intent.id, status, f"The payment was cancelled: {status.name}.")
    if intent.setup_future_usage is None and intent.status == "requires_action":
        return Declined(psp_id=id, code=Code.Rejected, psp_code="authentication_required")
    if (
        intent.setup_future_usage is None
        and intent.status == _NEEDS_PAYMENT_METHOD
        and error is not None
    ):
        return _failed_outcome(id, error)
    if intent.status in (_NEEDS_PAYMENT_METHOD, "requires_confirmation"):
        checked_at = now or utc_datetime(intent.created)
        if checked_at - utc_datetime(intent.created) > ABANDONED_AFTER:
            message = "The payment was created at Stripe, but never confirmed."
            return Declined(psp_id=id, code=Code.PSPConnectionTimeout, message=message)
    return Pending(psp_id=id)


def _failed_outcome(psp_id: str | None, error: ErrorDetail) -> Declined:
    psp_code = error.decline_code or error.code_or_type
    return failed_outcome(psp_id, error_code(error), psp_code, error.message)


def _failed_charge_outcome(charge: Charge) -> Declined:
    code = charge.failure_code
    return failed_outcome(charge.id, failure_code(code), code, charge.failure_message)


def _booking_date(charge: Charge | str | None) -> date | None:
    """Return the date of the balance transaction; a captured charge has its reservation's date."""
    transaction = charge.balance_transaction if isinstance(charge, Charge) else None
    return utc_date(transaction.created) if isinstance(transaction, BalanceTransaction) else None


def _has_withdrawn_money(dispute: Dispute) -> bool:
    if dispute.status in _INQUIRY_STATUSES:
        return False
    transactions = dispute.balance_transactions
    return any(item.amount < 0 for item in transactions) or (
        dispute.status == "lost" and not transactions
    )


def _chargeback_fact(dispute: Dispute) -> Fact:
    withdrawals = [item for item in dispute.balance_transactions if item.amount < 0]
    fees = [
        to_major(one.fee, one.currency) for one in withdrawals if one.currency == dispute.currency
    ]
    won = dispute.status == "won"
    return Fact(
        kind=FactKind.CHARGED_BACK,
        id=dispute.id,
        amount=to_major(dispute.amount, dispute.currency),
        fee=sum(fees, Decimal(0)) if fees else None,
        booked_on=utc_date(withdrawals[0].created if withdrawals else dispute.created),
        reason=chargeback_reason(dispute.reason),
        psp_reason_code=dispute.reason,
        psp_reason_message="The dispute was won: Stripe returned the money." if won else None,
    )
