"""Mapping of Stripe's objects to outcomes and facts; pure except for the clock.

Only statuses that are known to be final are mapped as final: a new status is `Pending`.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.errors import ProtocolError
from integrator.psp.stripe import instruments
from integrator.psp.stripe.disputes import chargeback_facts, verify_dispute
from integrator.psp.stripe.error_codes import error_code, failure_code
from integrator.psp.stripe.money import to_major
from integrator.psp.stripe.wire import (
    BookingEntry,
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
    HoldCapture,
    Outcome,
    Pending,
    RedirectRequired,
)

ABANDONED_AFTER = timedelta(hours=24)
"""After this time a PaymentIntent is not confirmed any more: Stripe may have dropped the key."""

SESSION_LIFETIME = timedelta(hours=24)
"""https://docs.stripe.com/api/checkout/sessions/create#create_checkout_session-expires_at"""

_NEEDS_PAYMENT_METHOD = "requires_payment_method"


def session_outcome(session: CheckoutSession) -> Outcome:
    """Return the outcome of a checkout session, or of its intent once it is completed.

    A session that ended before its expiry was closed.
    """
    now = time_formats.now()
    expires_at = None if session.expires_at is None else utc_datetime(session.expires_at)
    intent = session.payment_intent
    if session.status == "open":
        expires_at = expires_at or now + SESSION_LIFETIME
        return RedirectRequired(psp_id=session.id, url=session.url, expires_at=expires_at)
    if session.status == "expired":
        error = intent.last_payment_error if isinstance(intent, PaymentIntent) else None
        if error is not None:
            return _failed_outcome(session.id, error)
        if expires_at and now < expires_at:
            return ended_outcome(session.id, Status.Cancelled, "The checkout session was closed.")
        return ended_outcome(session.id, Status.Expired, "The checkout session expired.")
    if session.status != "complete":
        return Pending(psp_id=session.id)
    if isinstance(intent, PaymentIntent):
        _require_same(session, intent, intent.currency)
        return hold_outcome(intent)
    if isinstance(session.setup_intent, SetupIntent):
        _require_same(session, session.setup_intent, None)
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
    charge = verify_charge(intent)
    if intent.status in ("requires_capture", "succeeded"):
        capture_before = charge.capture_before if isinstance(charge, Charge) else None
        fact = Fact(
            kind=FactKind.AUTHORIZED,
            id=intent.id,
            amount=to_major(intent.amount, intent.currency),
            expires_at=utc_datetime(capture_before) if capture_before else None,
            currency=intent.currency,
            reference=intent.reference,
        )
        instrument = instruments.instrument_from_method(intent.payment_method, intent.customer)
        return Approved(
            psp_id=intent.id, facts=(fact,), instrument=instrument, capture=_hold_capture(intent)
        )
    return _unfinished_outcome(intent, intent.id, now)


def _hold_capture(intent: PaymentIntent) -> HoldCapture | None:
    """Return the capture that has taken a reservation; None if none has."""
    if intent.status != "succeeded" or intent.charge_id is None or intent.amount_received <= 0:
        return None
    return HoldCapture(
        psp_id=intent.charge_id,
        amount=to_major(intent.amount_received, intent.currency),
        currency=intent.currency,
        reference=intent.capture_reference,
        booked_on=_booking_date(intent.latest_charge),
    )


def payment_outcome(
    intent: PaymentIntent, disputes: Sequence[Dispute] = (), now: datetime | None = None
) -> Outcome:
    """Return the outcome of a payment, with its chargebacks.

    A capture is identified by its charge, since the intent identifies the reservation.
    """
    charge = verify_charge(intent)
    id = intent.charge_id if intent.is_manual_capture else intent.id
    if intent.status == "succeeded":
        if intent.charge_id is None:
            raise ProtocolError("Stripe returned a successful payment without charge.")
        fact = paid_fact(
            intent.charge_id,
            to_major(intent.amount_received, intent.currency),
            _payment_date(intent),
        )
        fact = identify(fact, intent.currency, intent.payment_reference)
        for dispute in disputes:
            verify_dispute(dispute, intent.charge_id, intent.id, intent.currency)
        return Approved(psp_id=id, facts=(fact, *chargeback_facts(disputes, id)))
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
    intent = charge.payment_intent
    reference = intent.payment_reference if isinstance(intent, PaymentIntent) else None
    fact = paid_fact(charge.id, amount, _booking_date(charge))
    fact = identify(fact, charge.currency, reference)
    for dispute in disputes:
        verify_dispute(dispute, charge.id, charge.intent_id, charge.currency)
    return Approved(psp_id=charge.id, facts=(fact, *chargeback_facts(disputes, charge.id)))


def refund_outcome(refund: Refund, payment_id: str | None = None) -> Outcome:
    """Return the outcome of a refund; raises `ProtocolError` if it is not one of `payment_id`."""
    verify_payment(refund, payment_id)
    if refund.status == "succeeded":
        amount = to_major(refund.amount, refund.currency)
        fact = refunded_fact(refund.id, amount, _booking_date(refund) or _date(refund.created))
        fact = identify(fact, refund.currency, refund.reference, refund.payment_id)
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


def verify_charge(intent: PaymentIntent) -> Charge | str | None:
    """Return the latest charge of an intent; raises `ProtocolError` if it is not the intent's."""
    charge = intent.latest_charge
    if isinstance(charge, Charge):
        if charge.intent_id not in (None, intent.id):
            raise ProtocolError(f"Stripe returned {intent.id} with the charge of another payment.")
        if charge.currency != intent.currency:
            raise ProtocolError(f"Stripe returned {intent.id} with a charge in another currency.")
    return charge


def verify_payment(refund: Refund, payment_id: str | None) -> None:
    """Raise `ProtocolError` for a refund of another payment than `payment_id`, if that is known."""
    if payment_id is None:
        return
    is_intent = payment_id.startswith("pi_")
    if (refund.intent_id if is_intent else refund.charge) not in (None, payment_id):
        raise ProtocolError(f"Stripe returned the refund {refund.id} of another payment.")


def identify(
    fact: Fact, currency: str, reference: str | None, payment_id: str | None = None
) -> Fact:
    """Return a fact with what its object says about itself, for the core's own comparison."""
    identity = {"currency": currency, "reference": reference, "parent_psp_id": payment_id}
    return fact.model_copy(update=identity)


def _require_same(
    session: CheckoutSession, intent: PaymentIntent | SetupIntent, currency: str | None
) -> None:
    """Raise `ProtocolError` unless the intent of a session is in its name and currency."""
    if None not in (intent.reference, session.reference) and intent.reference != session.reference:
        raise ProtocolError(f"The session {session.id} has the intent of another transaction.")
    if None not in (currency, session.currency) and currency != session.currency:
        raise ProtocolError(f"The session {session.id} has an intent in another currency.")


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
    is_unconfirmed = intent.status in (_NEEDS_PAYMENT_METHOD, "requires_confirmation")
    if is_unconfirmed and _is_abandoned(intent, now):
        message = "The payment was created at Stripe, but never confirmed."
        return Declined(psp_id=id, code=Code.PSPConnectionTimeout, message=message)
    return Pending(psp_id=id)


def _is_abandoned(intent: PaymentIntent, now: datetime | None) -> bool:
    if now is None or intent.created is None:
        return False
    return now - utc_datetime(intent.created) > ABANDONED_AFTER


def _failed_outcome(psp_id: str | None, error: ErrorDetail) -> Declined:
    psp_code = error.decline_code or error.code_or_type
    return failed_outcome(psp_id, error_code(error), psp_code, error.message)


def _failed_charge_outcome(charge: Charge) -> Declined:
    code = charge.failure_code
    return failed_outcome(charge.id, failure_code(code), code, charge.failure_message)


def _payment_date(intent: PaymentIntent) -> date | None:
    """Return the day of the movement.

    Where the balance transaction is not expanded, as in an event, it is the day of the intent, on
    which a payment without reservation moves money unless it is a debit.
    """
    booked_on = _booking_date(intent.latest_charge)
    return booked_on if booked_on or intent.is_manual_capture else _date(intent.created)


def _booking_date(movement: Charge | Refund | str | None) -> date | None:
    """Return the date of the balance transaction; None if it is not expanded.

    A captured charge has its reservation's creation time, and a refund may wait for the balance.
    """
    transaction = movement.balance_transaction if isinstance(movement, Charge | Refund) else None
    return _date(transaction.created) if isinstance(transaction, BookingEntry) else None


def _date(seconds: int | None) -> date | None:
    return None if seconds is None else utc_date(seconds)
