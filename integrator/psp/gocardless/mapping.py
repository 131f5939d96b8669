"""Mapping of GoCardless' objects to outcomes and facts; pure.

Only statuses that are known to be final are mapped as final: a new status is `Pending`. What has no
counterpart in the contract is mapped as follows:

* A payment that failed after it had been confirmed ("late failure") was paid and charged back. If
  it is collected again, or a chargeback is cancelled, the chargeback is reversed.
* A refund counts when it is `paid`. One that bounced or whose funds were returned has failed, also
  after it was `paid`; its transaction then shows the money as returned.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from integrator.contract import times
from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.errors import ProtocolError
from integrator.psp.gocardless.error_codes import failure_code
from integrator.psp.gocardless.payment_history import (
    COLLECTED_STATUSES,
    ContradictoryEvents,
    history_facts,
    read_withdrawals,
)
from integrator.psp.gocardless.wire import (
    BankAccount,
    BillingRequest,
    CollectedAccount,
    Event,
    Flow,
    Mandate,
    Payment,
    Refund,
)
from integrator.psp.toolkit import instruments
from integrator.psp.toolkit.instruments import drop_empty
from integrator.psp.toolkit.money import to_major
from integrator.psp.toolkit.outcomes import ended_outcome, failed_outcome, refunded_fact
from integrator.psp.types import (
    Approved,
    Declined,
    Instrument,
    Outcome,
    Pending,
    RedirectRequired,
    Succession,
)

Bearer = Mapping[str, str]

MANDATE = "mandate"

_FLOW_LIFETIME = timedelta(days=7)
_USABLE_STATUSES = frozenset(
    {"pending_customer_approval", "pending_submission", "submitted", "active"}
)
# Statuses whose meaning depends on what happened before.
_STATUSES_WITH_HISTORY = frozenset({"cancelled", "charged_back", "failed"})


def redirect_outcome(flow: Flow, request: BillingRequest) -> Outcome:
    """Return the redirect to a hosted page that was just created."""
    return RedirectRequired(
        psp_id=request.id, url=flow.authorisation_url, expires_at=flow.expires_at
    )


def sign_up_outcome(request: BillingRequest) -> Outcome | None:
    """Return the outcome of a sign-up; None if its mandate has to be read.

    The hosted page cannot be looked up, and its lifetime of a week is unconfirmed; the expiry that
    GoCardless returns on its creation is authoritative.
    """
    match request.status:
        case "pending" | "ready_to_fulfil":
            if request.created_at is None:
                raise ProtocolError("GoCardless returned a billing request without its time.")
            expires_at = times.add(request.created_at, _FLOW_LIFETIME)
            return RedirectRequired(psp_id=request.id, expires_at=expires_at)
        case "fulfilled":
            return None
        case "cancelled":
            message = "The set-up of the mandate was cancelled."
            return ended_outcome(request.id, Status.Cancelled, message)
        case _:
            return Pending(psp_id=request.id)


def fulfilled_outcome(
    request: BillingRequest,
    mandate: Mandate | None,
    entered: Bearer | None,
    succession: Succession | None = None,
) -> Outcome:
    """Return the outcome of a completed sign-up; `entered` is the typed payment data, if known."""
    if mandate is None:
        raise ProtocolError("GoCardless returned a fulfilled billing request without mandate.")
    account = request.resources.customer_bank_account if request.resources else None
    instrument = build_mandate_instrument(mandate, account, entered)
    return mandate_outcome(mandate, instrument, request.id, succession)


def void_outcome(request: BillingRequest) -> Outcome:
    """Return whether an open sign-up was cancelled; a completed one reserves no money."""
    if request.status == "cancelled":
        return Approved(psp_id=request.id)
    message = "The mandate has been signed and reserves no money."
    return Declined(psp_id=request.id, code=Code.InvalidPreconditions, message=message)


def mandate_outcome(
    mandate: Mandate | None,
    stored: Instrument | None = None,
    psp_id: str | None = None,
    succession: Succession | None = None,
) -> Outcome:
    """Return whether a mandate can be charged; nothing is reserved.

    `succession` is set if `mandate` continues the one that was asked for.
    """
    if mandate is None or mandate.status not in _USABLE_STATUSES:
        message = "The mandate is no longer active at GoCardless."
        return Declined(psp_id=psp_id, code=Code.BearerInvalid, message=message)
    return Approved(psp_id=psp_id or mandate.id, instrument=stored, succession=succession)


def build_mandate_instrument(
    mandate: Mandate, account: BankAccount | CollectedAccount | None, entered: Bearer | None = None
) -> Instrument:
    """Build the instrument of a mandate; GoCardless returns only the end of the account number."""
    bearer = {
        "Holder": account.account_holder_name if account else None,
        "Last4": account.account_number_ending if account else None,
        "MandateId": mandate.scheme_reference,
    }
    return instruments.build_instrument(
        {MANDATE: mandate.id}, {**drop_empty(bearer), **(entered or {})}
    )


def needs_events(payment: Payment, *, never_withdrawn: bool = False) -> bool:
    """Return whether the payment's events are needed to determine its outcome.

    Those of a collected payment say which withdrawals came back.
    """
    statuses = (
        _STATUSES_WITH_HISTORY if never_withdrawn else _STATUSES_WITH_HISTORY | COLLECTED_STATUSES
    )
    return payment.status in statuses


def payment_outcome(payment: Payment, events: Sequence[Event] = ()) -> Outcome:
    """Return the outcome of a payment; `events` are the payment's, newest first.

    Raises `ContradictoryEvents` if they do not lead to the payment's status.
    """
    match payment.status:
        case "confirmed" | "paid_out" | "charged_back":
            return _collected_outcome(payment, events)
        case "failed":
            return _failed_payment_outcome(payment, events)
        case "cancelled":
            return _cancelled_outcome(payment, events)
        case "customer_approval_denied":
            return _declined_outcome(
                payment, Code.Rejected, "The payer did not approve the payment."
            )
        case _:
            return Pending(psp_id=payment.id)


def refund_outcome(refund: Refund) -> Outcome:
    """Return the outcome of a refund."""
    match refund.status:
        case "paid":
            amount = to_major(refund.amount, refund.currency)
            booked_on = refund.created_at.date() if refund.created_at else None
            fact = refunded_fact(refund.id, amount, booked_on)
            identity = {
                "currency": refund.currency,
                "reference": refund.reference,
                "parent_psp_id": refund.link("payment"),
            }
            return Approved(psp_id=refund.id, facts=(fact.model_copy(update=identity),))
        case "bounced" | "funds_returned":
            message = "The refund was returned by the payer's bank."
            return _declined_outcome(refund, Code.Rejected, message)
        case "cancelled":
            return _declined_outcome(
                refund, Code.Canceled, "The refund was cancelled.", Status.Cancelled
            )
        case _:
            return Pending(psp_id=refund.id)


def _collected_outcome(payment: Payment, events: Sequence[Event]) -> Outcome:
    facts = history_facts(payment, read_withdrawals(payment, events))
    return Approved(psp_id=payment.id, facts=facts)


def _failed_payment_outcome(payment: Payment, events: Sequence[Event]) -> Outcome:
    failure = _latest_event(events, "failed")
    if failure is None:
        # Without the event it is unknown whether the money had been collected before.
        raise ContradictoryEvents("GoCardless returned a failed payment without its event.")
    if withdrawals := read_withdrawals(payment, events):
        return Approved(psp_id=payment.id, facts=history_facts(payment, withdrawals))
    if failure.details and failure.details.will_attempt_retry:
        # We do not request retries, but the account may be configured for them.
        return Pending(psp_id=payment.id)
    code = failure_code(failure.cause)
    return failed_outcome(payment.id, code, failure.cause, failure.description)


def _cancelled_outcome(payment: Payment, events: Sequence[Event]) -> Outcome:
    """Return the decline of a payment cancelled by the merchant or with its mandate.

    A retry of a late failure may be cancelled, too: such a payment was paid and charged back.
    """
    if withdrawals := read_withdrawals(payment, events):
        return Approved(psp_id=payment.id, facts=history_facts(payment, withdrawals))
    event = _latest_event(events, "cancelled")
    cause = event.cause if event else None
    code = failure_code(cause, default=Code.Canceled)
    return Declined(
        psp_id=payment.id,
        code=code,
        psp_code=cause or payment.status,
        message="The payment was cancelled.",
        status=Status.Cancelled if code is Code.Canceled else Status.Failed,
    )


def _latest_event(events: Sequence[Event], action: str) -> Event | None:
    return next((event for event in events if event.action == action), None)


def _declined_outcome(
    psp_object: Payment | Refund, code: Code, message: str, status: Status = Status.Failed
) -> Declined:
    return Declined(
        psp_id=psp_object.id, code=code, psp_code=psp_object.status, message=message, status=status
    )
