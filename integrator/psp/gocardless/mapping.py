"""What GoCardless' objects come to in the port's words; pure.

Only a status that says success or failure is final here: a word GoCardless adds later is `Pending`.
What its books cannot say in the contract's words is decided as follows:

* A payment that failed after it had been confirmed ("late failure") was paid and taken back.
* A chargeback that is cancelled leaves the payment paid. A chargeback told before stays in the
  books, as the contract cannot take one back: what is left to refund is then too low, never too
  high.
* A refund counts when it is `paid`. One that bounced or whose funds were returned has failed, also
  after it was `paid`; its transaction then shows the money as returned.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TypeVar

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.errors import ProtocolError
from integrator.psp.gocardless.error_codes import chargeback_reason, failure_code
from integrator.psp.gocardless.wire import (
    Account,
    BankAccount,
    BillingRequest,
    Event,
    Flow,
    Mandate,
    Payment,
    Refund,
    Resource,
)
from integrator.psp.toolkit import instruments
from integrator.psp.toolkit.instruments import filled
from integrator.psp.toolkit.money import to_major
from integrator.psp.toolkit.outcomes import ended, failed, paid, refunded
from integrator.psp.toolkit.redaction import sentence
from integrator.psp.types import (
    Approved,
    Declined,
    Fact,
    FactKind,
    Instrument,
    Outcome,
    Pending,
    RedirectRequired,
)

T = TypeVar("T", bound=Resource)
Bearer = Mapping[str, str]

MANDATE = "mandate"

_FLOW_LIFE = timedelta(days=7)
_USABLE = frozenset({"pending_customer_approval", "pending_submission", "submitted", "active"})
_WAS_COLLECTED = frozenset({"confirmed", "paid_out", "late_failure_settled"})


def redirected(flow: Flow, request: BillingRequest) -> Outcome:
    """A hosted page that was just made."""
    return RedirectRequired(
        psp_id=request.id, url=flow.authorisation_url, expires_at=flow.expires_at
    )


def sign_up_outcome(request: BillingRequest) -> Outcome | None:
    """What setting up a mandate has come to; None when the mandate has to be asked.

    The hosted page cannot be looked up again, and its life of a week is unconfirmed; the end that
    GoCardless names when the page is made is the one that counts.
    """
    match request.status:
        case "pending" | "ready_to_fulfil":
            return RedirectRequired(psp_id=request.id, expires_at=request.created_at + _FLOW_LIFE)
        case "fulfilled":
            return None
        case "cancelled":
            message = "The set-up of the mandate was cancelled."
            return ended(request.id, Status.Cancelled, message)
        case _:
            return Pending(psp_id=request.id)


def signed(request: BillingRequest, mandate: Mandate | None, typed: Bearer | None) -> Outcome:
    """A mandate that was just set up; `typed` is the payment data, if we know it."""
    if mandate is None:
        raise ProtocolError("A fulfilled billing request lacks its mandate.")
    account = request.resources.customer_bank_account if request.resources else None
    return mandate_outcome(mandate, instrument(mandate, account, typed), request.id)


def void_outcome(request: BillingRequest) -> Outcome:
    """Whether an open sign-up was called off; a mandate once given holds no money."""
    if request.status == "cancelled":
        return Approved(psp_id=request.id)
    message = "The mandate has been given; nothing is held under it."
    return Declined(psp_id=request.id, code=Code.InvalidPreconditions, message=message)


def mandate_outcome(
    mandate: Mandate | None, stored: Instrument | None = None, psp_id: str | None = None
) -> Outcome:
    """Whether a mandate can be charged; nothing is reserved."""
    if mandate is None or mandate.status not in _USABLE:
        message = "The mandate is no longer active at GoCardless."
        return Declined(psp_id=psp_id, code=Code.BearerInvalid, message=message)
    return Approved(psp_id=psp_id or mandate.id, instrument=stored)


def instrument(
    mandate: Mandate, account: BankAccount | Account | None, typed: Bearer | None = None
) -> Instrument:
    """A mandate; of the account number GoCardless shows only the end."""
    shown = {
        "Holder": account.account_holder_name if account else None,
        "Last4": account.account_number_ending if account else None,
        "MandateId": mandate.printed,
    }
    return instruments.instrument({MANDATE: mandate.id}, {**filled(shown), **(typed or {})})


def needs_events(payment: Payment) -> bool:
    """Whether the payment's status alone does not tell what became of the money."""
    return payment.status in ("cancelled", "charged_back", "failed")


def payment_outcome(payment: Payment, events: Sequence[Event] = ()) -> Outcome:
    """What was collected and taken back; `events` are the payment's, newest first."""
    match payment.status:
        case "confirmed" | "paid_out":
            return Approved(psp_id=payment.id, facts=(_paid(payment),))
        case "charged_back":
            back = _taken_back(payment, _last(events, "charged_back"))
            return Approved(psp_id=payment.id, facts=(_paid(payment), back))
        case "failed":
            return _not_collected(payment, events)
        case "cancelled":
            return _cancelled(payment, _last(events, "cancelled"))
        case "customer_approval_denied":
            return _never(payment, Code.Rejected, "The payer did not approve the payment.")
        case _:
            return Pending(psp_id=payment.id)


def refund_outcome(refund: Refund) -> Outcome:
    """What was given back."""
    match refund.status:
        case "paid":
            amount = to_major(refund.amount, refund.currency)
            fact = refunded(refund.id, amount, refund.created_at.date())
            return Approved(psp_id=refund.id, facts=(fact,))
        case "bounced" | "funds_returned":
            message = "The refund came back from the payer's bank."
            return _never(refund, Code.Rejected, message)
        case "cancelled":
            return _never(refund, Code.Canceled, "The refund was cancelled.", Status.Cancelled)
        case _:
            return Pending(psp_id=refund.id)


def _not_collected(payment: Payment, events: Sequence[Event]) -> Outcome:
    failure = _last(events, "failed")
    if failure is None:
        # Without the events nobody can say whether the money had been there.
        raise ProtocolError("A failed payment lacks the event that says so.")
    if any(event.action in _WAS_COLLECTED for event in events):
        facts = (_paid(payment), _taken_back(payment, failure))
        return Approved(psp_id=payment.id, facts=facts)
    if failure.details.will_attempt_retry:
        # Not asked for, yet an account may be set up so.
        return Pending(psp_id=payment.id)
    cause = failure.details.cause
    return failed(payment.id, failure_code(cause), cause, failure.details.description)


def _cancelled(payment: Payment, event: Event | None) -> Declined:
    """By the merchant, or because its mandate ended."""
    cause = event.details.cause if event else None
    code = failure_code(cause, default=Code.Canceled)
    return Declined(
        psp_id=payment.id,
        code=code,
        psp_code=cause or payment.status,
        message="The payment was cancelled.",
        status=Status.Cancelled if code is Code.Canceled else Status.Failed,
    )


def _last(events: Sequence[Event], action: str) -> Event | None:
    return next((event for event in events if event.action == action), None)


def _paid(payment: Payment) -> Fact:
    return paid(payment.id, to_major(payment.amount, payment.currency), payment.charge_date)


def _taken_back(payment: Payment, event: Event | None) -> Fact:
    """In whole, always. The id is made of the payment's: events are not kept for ever."""
    return Fact(
        kind=FactKind.CHARGED_BACK,
        id=f"{payment.id}/charged_back",
        amount=to_major(payment.amount, payment.currency),
        booked_on=event.created_at.date() if event else None,
        reason=chargeback_reason(event.details.cause if event else None),
        psp_reason_code=event.details.cause if event else None,
        psp_reason_message=sentence(event.details.description) if event else None,
    )


def _never(
    made: Payment | Refund, code: Code, message: str, status: Status = Status.Failed
) -> Declined:
    return Declined(psp_id=made.id, code=code, psp_code=made.status, message=message, status=status)
