"""Between the port and the PSP's dialect, both ways; pure.

Only a status that says success or failure is final here: a word the PSP adds later is `Pending`.
"""

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
from integrator.psp.toolkit.outcomes import ended, failed, paid, refunded
from integrator.psp.toolkit.redaction import sentence
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
    """What a checkout session has come to; once completed, its authorization speaks."""
    match session.status:
        case "open":
            return RedirectRequired(
                psp_id=session.id, url=session.url, expires_at=session.expires_at
            )
        case "completed":
            return _completed(session)
        case "failed":
            return _failed(session.id, session.failure)
        case "cancelled":
            message = "The customer cancelled the checkout."
            return ended(session.id, Status.Cancelled, message)
        case "expired":
            return ended(session.id, Status.Expired, "The checkout session expired.")
        case _:
            return Pending(psp_id=session.id)


def _completed(session: CheckoutSession) -> Outcome:
    if session.authorization is not None:
        return authorization_outcome(session.authorization)
    if session.mode == "authorize":
        raise ProtocolError("A completed checkout session lacks its authorization.")
    return Approved(psp_id=None, instrument=instruments.of_method(session.payment_method))


def authorization_outcome(held: Authorization) -> Outcome:
    """What is held; a captured authorization was one."""
    match held.status:
        case "authorized" | "captured":
            fact = Fact(
                kind=FactKind.AUTHORIZED,
                id=held.id,
                amount=to_major(held.amount, held.currency),
                expires_at=held.expires_at,
            )
            instrument = instruments.of_method(held.payment_method)
            return Approved(psp_id=held.id, facts=(fact,), instrument=instrument)
        case "declined":
            return _failed(held.id, held.failure)
        case "voided":
            return ended(held.id, Status.Cancelled, "The authorization was voided.")
        case "expired":
            return ended(held.id, Status.Expired, "The authorization expired.")
        case _:
            return Pending(psp_id=held.id)


def withdrawn(found: Authorization | CheckoutSession, *, done: str) -> Outcome:
    """Whether a reservation was given back, or an open checkout session closed."""
    if found.status == done:
        return Approved(psp_id=found.id)
    if found.status in ("captured", "completed", "declined", "failed", "expired"):
        message = "Nothing is left to be withdrawn."
        return Declined(psp_id=found.id, code=Code.InvalidPreconditions, message=message)
    return Pending(psp_id=found.id)


def charge_outcome(charge: Charge) -> Outcome:
    """What was paid and what the payer's bank took back."""
    taken_back = tuple(_charged_back(item, charge.currency) for item in charge.chargebacks)
    match charge.status:
        case "succeeded":
            fact = paid(charge.id, to_major(charge.amount, charge.currency), charge.booked_on)
            return Approved(psp_id=charge.id, facts=(fact, *taken_back))
        case "failed" | "declined":
            return _failed(charge.id, charge.failure)
        case _:
            return Pending(psp_id=charge.id, facts=taken_back)


def refund_outcome(refund: Refund) -> Outcome:
    """What was given back."""
    match refund.status:
        case "succeeded":
            amount = to_major(refund.amount, refund.currency)
            return Approved(
                psp_id=refund.id, facts=(refunded(refund.id, amount, refund.booked_on),)
            )
        case "failed" | "declined":
            return _failed(refund.id, refund.failure)
        case _:
            return Pending(psp_id=refund.id)


def _failed(psp_id: str, failure: Failure | None) -> Declined:
    if failure is None:
        return failed(psp_id, Code.Rejected)
    code = error_code(failure.code, default=Code.Rejected)
    return failed(psp_id, code, failure.code, failure.message)


def _charged_back(item: Chargeback, currency: str) -> Fact:
    return Fact(
        kind=FactKind.CHARGED_BACK,
        id=item.id,
        amount=to_major(item.amount, currency),
        fee=to_major(item.fee_amount, currency),
        booked_on=item.booked_on,
        reason=chargeback_reason(item.reason_code),
        psp_reason_code=item.reason_code,
        psp_reason_message=sentence(item.reason_message),
    )
