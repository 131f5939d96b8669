"""What Stripe's objects come to in the words of the port; pure, but for the clock.

Only a status that says success or failure is final here: a word Stripe adds later is `Pending`.
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
    PaymentIntent,
    Problem,
    Refund,
    SetupIntent,
)
from integrator.psp.toolkit import time_formats
from integrator.psp.toolkit.outcomes import ended, failed, paid, refunded
from integrator.psp.toolkit.time_formats import day, moment
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
"""Nobody confirms a PaymentIntent any more when Stripe may have forgotten the key to do so."""

_INQUIRIES = ("warning_needs_response", "warning_under_review", "warning_closed", "prevented")
_UNPAID = "requires_payment_method"


def session_outcome(session: CheckoutSession) -> Outcome:
    """What a checkout session has come to; once completed, its intent speaks.

    One that ended before its time was closed by somebody.
    """
    expires_at = moment(session.expires_at)
    intent = session.payment_intent
    if session.status == "open":
        return RedirectRequired(psp_id=session.id, url=session.url, expires_at=expires_at)
    if session.status == "expired":
        problem = intent.last_payment_error if isinstance(intent, PaymentIntent) else None
        if problem is not None:
            return _failed(session.id, problem)
        if time_formats.now() < expires_at:
            return ended(session.id, Status.Cancelled, "The checkout session was closed.")
        return ended(session.id, Status.Expired, "The checkout session expired.")
    if session.status != "complete":
        return Pending(psp_id=session.id)
    if isinstance(intent, PaymentIntent):
        return hold_outcome(intent)
    if isinstance(session.setup_intent, SetupIntent):
        return setup_outcome(session.setup_intent)
    raise ProtocolError("A completed checkout session lacks its intent.")


def setup_outcome(setup: SetupIntent, iban: str | None = None) -> Outcome:
    """Whether a payment method was stored."""
    if setup.status == "succeeded":
        return Approved(psp_id=setup.id, instrument=instruments.of_setup(setup, iban))
    if setup.status == "canceled":
        return ended(setup.id, Status.Cancelled, "The sign-up was cancelled.")
    if setup.status.startswith("requires_") and setup.last_setup_error is not None:
        return _failed(setup.id, setup.last_setup_error)
    return Pending(psp_id=setup.id)


def hold_outcome(intent: PaymentIntent, now: datetime | None = None) -> Outcome:
    """What is held; a captured reservation was one."""
    charge = intent.latest_charge
    if intent.status in ("requires_capture", "succeeded"):
        ends = charge.capture_before if isinstance(charge, Charge) else None
        fact = Fact(
            kind=FactKind.AUTHORIZED,
            id=intent.id,
            amount=to_major(intent.amount, intent.currency),
            expires_at=moment(ends) if ends else None,
        )
        instrument = instruments.of_method(intent.payment_method, intent.customer)
        return Approved(psp_id=intent.id, facts=(fact,), instrument=instrument)
    return _unpaid(intent, intent.id, now)


def payment_outcome(
    intent: PaymentIntent, disputes: Sequence[Dispute] = (), now: datetime | None = None
) -> Outcome:
    """What was paid, and what the payer's bank took back.

    A payment by capture is known by its charge, since the intent is known as the reservation.
    """
    charge = intent.latest_charge
    id = intent.charge_id if intent.manual else intent.id
    if intent.status == "succeeded":
        if intent.charge_id is None:
            raise ProtocolError("Stripe took a payment without a charge.")
        booked_on = _booked_on(charge) if intent.manual else day(intent.created)
        amount = to_major(intent.amount_received, intent.currency)
        fact = paid(intent.charge_id, amount, booked_on)
        return Approved(psp_id=id, facts=(fact, *charged_back(disputes)))
    if intent.manual and isinstance(charge, Charge) and charge.status == "failed":
        return _charge_failed(charge)
    return _unpaid(intent, id, now)


def charge_outcome(charge: Charge, disputes: Sequence[Dispute] = ()) -> Outcome:
    """What a payment by capture has come to."""
    if charge.status == "failed":
        return _charge_failed(charge)
    if charge.status != "succeeded" or not charge.captured:
        return Pending(psp_id=charge.id)
    amount = to_major(charge.amount_captured, charge.currency)
    fact = paid(charge.id, amount, _booked_on(charge))
    return Approved(psp_id=charge.id, facts=(fact, *charged_back(disputes)))


def refund_outcome(refund: Refund) -> Outcome:
    """What was given back."""
    if refund.status == "succeeded":
        amount = to_major(refund.amount, refund.currency)
        fact = refunded(refund.id, amount, day(refund.created))
        return Approved(psp_id=refund.id, facts=(fact,))
    if refund.status == "failed":
        reason = refund.failure_reason
        return failed(refund.id, failure_code(reason), reason)
    if refund.status == "canceled":
        return ended(refund.id, Status.Cancelled, "The refund was cancelled.")
    return Pending(psp_id=refund.id)


def void_outcome(found: PaymentIntent | CheckoutSession) -> Outcome:
    """Whether a reservation was given back, or an open checkout session closed."""
    if found.status in ("canceled", "expired"):
        return Approved(psp_id=found.id)
    return Pending(psp_id=found.id)


def charged_back(disputes: Sequence[Dispute]) -> tuple[Fact, ...]:
    """A fact for every dispute that has taken money from the merchant's balance.

    An inquiry takes none. A dispute that is won later still counts, because the contract knows no
    chargeback that is undone and facts must not depend on when one asks; its text then says so.
    """
    return tuple(_chargeback(item) for item in disputes if _took_money(item))


def _unpaid(intent: PaymentIntent, id: str | None, now: datetime | None) -> Outcome:
    """An intent that holds and has taken nothing.

    At the hosted page (only there we ask for future usage) the customer may try again. Elsewhere
    nobody is there for `requires_action`, nor has the secret to go on with it.
    """
    problem = intent.last_payment_error
    if intent.status == "canceled":
        lapsed = intent.cancellation_reason in ("expired", "automatic")
        status = Status.Expired if lapsed else Status.Cancelled
        return ended(intent.id, status, f"The payment was cancelled: {status.name}.")
    if intent.setup_future_usage is None and intent.status == "requires_action":
        return Declined(psp_id=id, code=Code.Rejected, psp_code="authentication_required")
    if intent.setup_future_usage is None and intent.status == _UNPAID and problem is not None:
        return _failed(id, problem)
    if intent.status in (_UNPAID, "requires_confirmation"):
        asked_at = now or moment(intent.created)
        if asked_at - moment(intent.created) > ABANDONED_AFTER:
            message = "The payment was prepared at Stripe, but never asked for."
            return Declined(psp_id=id, code=Code.PSPConnectionTimeout, message=message)
    return Pending(psp_id=id)


def _failed(psp_id: str | None, problem: Problem) -> Declined:
    word = problem.decline_code or problem.word
    return failed(psp_id, error_code(problem), word, problem.message)


def _charge_failed(charge: Charge) -> Declined:
    code = charge.failure_code
    return failed(charge.id, failure_code(code), code, charge.failure_message)


def _booked_on(charge: Charge | str | None) -> date | None:
    """A captured charge is as old as its reservation; its movement is not."""
    moved = charge.balance_transaction if isinstance(charge, Charge) else None
    return day(moved.created) if isinstance(moved, BalanceTransaction) else None


def _took_money(dispute: Dispute) -> bool:
    if dispute.status in _INQUIRIES:
        return False
    moved = dispute.balance_transactions
    return any(one.amount < 0 for one in moved) or (dispute.status == "lost" and not moved)


def _chargeback(dispute: Dispute) -> Fact:
    taken = [one for one in dispute.balance_transactions if one.amount < 0]
    fees = [to_major(one.fee, one.currency) for one in taken if one.currency == dispute.currency]
    won = dispute.status == "won"
    return Fact(
        kind=FactKind.CHARGED_BACK,
        id=dispute.id,
        amount=to_major(dispute.amount, dispute.currency),
        fee=sum(fees, Decimal(0)) if fees else None,
        booked_on=day(taken[0].created if taken else dispute.created),
        reason=chargeback_reason(dispute.reason),
        psp_reason_code=dispute.reason,
        psp_reason_message="The dispute was won: Stripe gave the money back." if won else None,
    )
