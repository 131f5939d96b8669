"""Mapping of the PSP's objects to outcomes and facts; pure.

Only statuses that are known to be final are mapped as final: a new status is `Pending`.
"""

from collections.abc import Iterator

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.errors import ProtocolError
from integrator.psp.sandbox import instruments
from integrator.psp.sandbox.error_codes import chargeback_reason, error_code
from integrator.psp.sandbox.wire import (
    Authorization,
    Charge,
    Chargeback,
    CheckoutSession,
    Failure,
    Refund,
)
from integrator.psp.toolkit.money import to_major
from integrator.psp.toolkit.outcomes import ended_outcome, failed_outcome, paid_fact, refunded_fact
from integrator.psp.toolkit.redaction import redact
from integrator.psp.types import (
    Approved,
    Declined,
    Fact,
    FactKind,
    Outcome,
    Pending,
    RedirectRequired,
)


def session_outcome(session: CheckoutSession) -> Outcome:
    """Return the outcome of a checkout session, or of its authorization once it is completed."""
    match session.status:
        case "open":
            return RedirectRequired(
                psp_id=session.id, url=session.url, expires_at=session.expires_at
            )
        case "completed":
            return _completed_session_outcome(session)
        case "failed":
            return _failed_outcome(session.id, session.failure)
        case "cancelled":
            message = "The customer cancelled the checkout."
            return ended_outcome(session.id, Status.Cancelled, message)
        case "expired":
            return ended_outcome(session.id, Status.Expired, "The checkout session expired.")
        case _:
            return Pending(psp_id=session.id)


def _completed_session_outcome(session: CheckoutSession) -> Outcome:
    if session.authorization is not None:
        return authorization_outcome(session.authorization)
    if session.mode == "authorize":
        raise ProtocolError("The PSP returned a completed checkout session without authorization.")
    return Approved(
        psp_id=None, instrument=instruments.instrument_from_method(session.payment_method)
    )


def authorization_outcome(authorization: Authorization) -> Outcome:
    """Return the outcome of an authorization; a captured one was authorized."""
    match authorization.status:
        case "authorized" | "captured":
            fact = Fact(
                kind=FactKind.AUTHORIZED,
                id=authorization.id,
                amount=to_major(authorization.amount, authorization.currency),
                expires_at=authorization.expires_at,
            )
            instrument = instruments.instrument_from_method(authorization.payment_method)
            return Approved(psp_id=authorization.id, facts=(fact,), instrument=instrument)
        case "declined":
            return _failed_outcome(authorization.id, authorization.failure)
        case "voided":
            return ended_outcome(
                authorization.id, Status.Cancelled, "The authorization was voided."
            )
        case "expired":
            return ended_outcome(authorization.id, Status.Expired, "The authorization expired.")
        case _:
            return Pending(psp_id=authorization.id)


def void_outcome(psp_object: Authorization | CheckoutSession, *, voided_status: str) -> Outcome:
    """Return whether a reservation was released, or an open checkout session closed."""
    if psp_object.status == voided_status:
        return Approved(psp_id=psp_object.id)
    if psp_object.status in ("captured", "completed", "declined", "failed", "expired"):
        message = "There is nothing left to cancel."
        return Declined(psp_id=psp_object.id, code=Code.InvalidPreconditions, message=message)
    return Pending(psp_id=psp_object.id)


def charge_outcome(charge: Charge) -> Outcome:
    """Return the outcome of a charge, with its chargebacks."""
    chargebacks = tuple(
        fact for item in charge.chargebacks for fact in _chargeback_facts(item, charge.currency)
    )
    match charge.status:
        case "succeeded":
            fact = paid_fact(charge.id, to_major(charge.amount, charge.currency), charge.booked_on)
            return Approved(psp_id=charge.id, facts=(fact, *chargebacks))
        case "failed" | "declined":
            return _failed_outcome(charge.id, charge.failure)
        case _:
            return Pending(psp_id=charge.id, facts=chargebacks)


def refund_outcome(refund: Refund) -> Outcome:
    """Return the outcome of a refund."""
    match refund.status:
        case "succeeded":
            amount = to_major(refund.amount, refund.currency)
            fact = refunded_fact(refund.id, amount, refund.booked_on)
            owner = {"currency": refund.currency, "parent_psp_id": refund.charge}
            return Approved(psp_id=refund.id, facts=(fact.model_copy(update=owner),))
        case "failed" | "declined":
            return _failed_outcome(refund.id, refund.failure)
        case _:
            return Pending(psp_id=refund.id)


def _failed_outcome(psp_id: str, failure: Failure | None) -> Declined:
    if failure is None:
        return failed_outcome(psp_id, Code.Rejected)
    code = error_code(failure.code, default=Code.Rejected)
    return failed_outcome(psp_id, code, failure.code, failure.message)


def _chargeback_facts(item: Chargeback, currency: str) -> Iterator[Fact]:
    """Yield the chargeback, then each part of it that came back."""
    yield _chargeback_fact(item, currency)
    for reversal in item.reversals:
        yield Fact(
            kind=FactKind.CHARGEBACK_REVERSED,
            id=reversal.id,
            amount=to_major(reversal.amount, currency),
            booked_on=reversal.booked_on,
            reverses=item.id,
        )


def _chargeback_fact(item: Chargeback, currency: str) -> Fact:
    return Fact(
        kind=FactKind.CHARGED_BACK,
        id=item.id,
        amount=to_major(item.amount, currency),
        fee=None if item.fee_amount is None else to_major(item.fee_amount, currency),
        booked_on=item.booked_on,
        reason=chargeback_reason(item.reason_code),
        psp_reason_code=item.reason_code,
        psp_reason_message=redact(item.reason_message),
    )
