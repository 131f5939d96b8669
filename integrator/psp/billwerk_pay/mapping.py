"""Mapping of the PSP's objects to outcomes and facts; pure.

The id of a charge is its handle, which is our transaction id; the id of a reservation is the handle
alone. The id of a settle is `<handle>/<transaction>`, since a captured payment has the handle of
its preauth. A refund has an id of its own.
"""

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from integrator.contract import times
from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.billwerk_pay.error_codes import chargeback_reason, error_code
from integrator.psp.billwerk_pay.money import to_major
from integrator.psp.billwerk_pay.wire import (
    CardDetails,
    CardTransaction,
    Charge,
    CreditNote,
    Dispute,
    Invoice,
    PaymentMethod,
    Refund,
    Transaction,
)
from integrator.psp.errors import OutcomeUnknown, ProtocolError
from integrator.psp.toolkit import instruments, outcomes
from integrator.psp.toolkit.instruments import CUSTOMER, METHOD, build_card_bearer
from integrator.psp.toolkit.outcomes import paid_fact, refunded_fact
from integrator.psp.toolkit.redaction import extract_reference
from integrator.psp.types import (
    Approved,
    Declined,
    Fact,
    FactKind,
    HoldCapture,
    Instrument,
    Outcome,
    Pending,
)

HOLD_DURATION = timedelta(days=7)
"""Time for which acquirers keep a reservation; the PSP returns no expiry."""

_UNDECIDED_STATES = frozenset({"open", "waiting_for_response", "under_review"})
_OUTCOMES_FOR_PAYER = frozenset({"customer_favor_refund", "provider_payout"})
_LOST = "customer_favor_chargeback"
_OUTCOMES_WITHOUT_WITHDRAWAL = _OUTCOMES_FOR_PAYER | {"merchant_favor", "cancelled_by_customer"}

log = logging.getLogger(__name__)

T = TypeVar("T", Charge, Invoice, Refund, Transaction)


def movement_id(handle: str, transaction: str) -> str:
    """Return the id of a transaction under a handle. A handle contains no slash."""
    return f"{handle}/{transaction}"


def authorization_outcome(charge: Charge) -> Outcome:
    """Return the outcome of a reservation; a capture does not change it."""
    match charge.state:
        case "authorized" | "settled":
            units = charge.amount if charge.authorized_amount is None else charge.authorized_amount
            fact = hold_fact(
                charge.handle, units, charge.currency, charge.authorized or charge.created
            )
            instrument = charge_instrument(charge)
            capture = _hold_capture(charge)
            return Approved(
                psp_id=charge.handle, facts=(fact,), instrument=instrument, capture=capture
            )
        case "cancelled":
            return ended_outcome(charge.handle, Status.Cancelled)
        case "failed" if charge.authorized is not None:
            # A settle that failed permanently has ended the reservation.
            is_expired = charge.error == "authorization_expired"
            return ended_outcome(charge.handle, Status.Expired if is_expired else Status.Cancelled)
        case "failed":
            return failed_outcome(charge.handle, charge)
        case _:
            return Pending(psp_id=charge.handle)


def _hold_capture(charge: Charge) -> HoldCapture | None:
    """Return the settle that has taken a reservation; None if none has."""
    if charge.state != "settled" or charge.transaction is None:
        return None
    references = (extract_reference(line.ordertext) for line in charge.order_lines)
    return HoldCapture(
        psp_id=movement_id(charge.handle, charge.transaction),
        amount=to_major(charge.amount, charge.currency),
        currency=charge.currency,
        reference=next((reference for reference in references if reference), None),
        booked_on=charge.settled.date() if charge.settled else None,
    )


def charge_outcome(charge: Charge) -> Outcome:
    """Return the outcome of a charge, which is at most one movement."""
    id = movement_id(charge.handle, charge.transaction) if charge.transaction else None
    match charge.state:
        case "settled" if id is not None:
            fact = _paid_fact(id, charge.amount, charge.currency, charge.settled)
            return Approved(psp_id=id, facts=(fact,))
        case "failed":
            return failed_outcome(id, charge)
        case "cancelled":
            return ended_outcome(id, Status.Cancelled)
        case "pending":
            return Pending(psp_id=id)
        case _:
            # Unchanged: the transaction, if any, is a reservation.
            return Pending(psp_id=None)


def void_outcome(charge: Charge) -> Outcome:
    """Return the outcome of a cancellation."""
    if charge.state == "cancelled":
        return Approved(psp_id=charge.handle)
    if charge.error_state == "processing_error":
        raise OutcomeUnknown("The PSP reports a processing error for the cancellation")
    message = f"The charge is {charge.state}."
    return Declined(psp_id=charge.handle, code=Code.InvalidPreconditions, message=message)


def settle_outcome(
    transaction: Transaction, currency: str, disputes: Sequence[Dispute] = ()
) -> Outcome:
    """Return the outcome of a settle, with its chargebacks."""
    id = movement_id(transaction.invoice, transaction.id)
    match transaction.state:
        case "settled":
            chargebacks = [_chargeback_fact(d, currency, id) for d in disputes if is_chargeback(d)]
            fact = _paid_fact(id, transaction.amount, currency, transaction.settled)
            return Approved(psp_id=id, facts=(fact, *chargebacks))
        case "failed":
            return failed_outcome(id, transaction.card_transaction)
        case "cancelled":
            return ended_outcome(id, Status.Cancelled)
        case _:
            return Pending(psp_id=id)


def refund_outcome(refund: Refund | Transaction, currency: str) -> Outcome:
    """Return the outcome of a refund."""
    attempt = refund if isinstance(refund, Refund) else refund.card_transaction
    match refund.state:
        case "refunded":
            booked_on = refund.created.date() if refund.created else None
            fact = refunded_fact(refund.id, to_major(refund.amount, currency), booked_on)
            settle = attempt.ref_transaction
            identity = {
                "currency": refund.currency,
                "parent_psp_id": movement_id(refund.invoice, settle) if settle else None,
            }
            return Approved(psp_id=refund.id, facts=(fact.model_copy(update=identity),))
        case "failed":
            return failed_outcome(refund.id, attempt)
        case _:
            return Pending(psp_id=refund.id)


def is_chargeback(dispute: Dispute) -> bool:
    """Return whether a dispute has withdrawn money from the merchant.

    Only a resolved one can have: an open dispute may still be won. A refund because of it, or a
    payout by the provider, is not a chargeback. Raises `ProtocolError` for a state or an outcome
    that is not documented, since it may have withdrawn money.
    """
    if dispute.state in _UNDECIDED_STATES:
        return False
    is_resolved = dispute.state == "resolved"
    if is_resolved and dispute.outcome in _OUTCOMES_WITHOUT_WITHDRAWAL:
        if dispute.outcome in _OUTCOMES_FOR_PAYER:
            log.warning(
                "The dispute %s was resolved as %s: no chargeback is booked. Compare it in "
                "Billwerk+ Pay's dashboard.",
                dispute.id,
                dispute.outcome,
            )
        return False
    if is_resolved and dispute.outcome == _LOST:
        return True
    if not is_resolved and dispute.outcome is None:
        return False
    raise ProtocolError(
        f"The dispute {dispute.id} is {dispute.state} with the outcome {dispute.outcome}, which "
        "may have withdrawn money: compare the payment in Billwerk+ Pay's dashboard."
    )


def verify_handle(psp_object: T, currency: str, handle: str | None = None) -> T:
    """Return `psp_object` if it has this handle and currency; raises `ProtocolError` otherwise.

    Amounts in another currency might be read in the wrong unit.
    """
    name = psp_object.handle if isinstance(psp_object, Charge | Invoice) else psp_object.invoice
    if handle not in (None, name) or psp_object.currency not in (None, currency):
        raise ProtocolError("The PSP returned an object of another charge or currency.")
    return psp_object


def disputed_settle(invoice: Invoice, dispute: Dispute) -> Transaction | None:
    """Return the settle that a dispute is about; None if the invoice has no settled one.

    A dispute names the handle. If that has several settles, the last one is charged back, unless
    the dispute names another. Raises `ProtocolError` for a dispute of another charge or currency.
    """
    if dispute.invoice not in (invoice.handle, invoice.id):
        raise ProtocolError("The PSP returned a dispute of another charge.")
    if dispute.currency not in (None, invoice.currency):
        raise ProtocolError("The PSP returned a dispute in another currency.")
    settles = [t for t in invoice.transactions if t.type == "settle" and t.state == "settled"]
    if dispute.transaction is None:
        return settles[-1] if settles else None
    named = [settle for settle in settles if settle.id == dispute.transaction]
    if not named:
        raise ProtocolError("The PSP returned a dispute of another transaction.")
    return named[0]


def find_settle(invoice: Invoice, reference: str) -> Transaction | None:
    """Return the settle with our reference, whose text is in the order lines."""
    lines = [line for line in invoice.order_lines if extract_reference(line.ordertext) == reference]
    settles = [moved for moved in invoice.transactions if moved.type == "settle"]
    matching = [moved for moved in settles if lines and lines[-1].amount in (None, moved.amount)]
    if lines and settles and not matching:
        raise ProtocolError("None of the PSP's settles matches the amount of ours")
    return max(matching, key=lambda moved: moved.state != "failed", default=None)


def find_refund_id(notes: Iterable[CreditNote], reference: str) -> str | None:
    """Return the id of the refund whose credit note has our reference."""
    for note in notes:
        if any(extract_reference(line.text) == reference for line in note.credit_note_lines):
            return note.transaction
    return None


def failed_outcome(psp_id: str | None, attempt: Charge | Refund | CardTransaction) -> Outcome:
    """Return a decline, or `Pending` after a processing error, which may have moved money."""
    error, state = attempt.error, attempt.error_state
    if state == "processing_error":
        return Pending(psp_id=psp_id)
    acquirer = attempt.source if isinstance(attempt, Charge) else attempt
    message = " ".join(part for part in (error, state, acquirer.acquirer_message) if part)
    return outcomes.failed_outcome(psp_id, error_code(error), error, message)


def ended_outcome(psp_id: str | None, status: Status) -> Declined:
    """Build the decline of a cancelled or expired object."""
    return outcomes.ended_outcome(psp_id, status, f"The PSP reports it as {status.name.lower()}.")


def charge_instrument(charge: Charge) -> Instrument | None:
    """Build the instrument stored by a charge; None if there is none."""
    method_id = charge.recurring_payment_method or charge.source.card
    return _build_card_instrument(method_id, charge.customer, charge.source) if method_id else None


def method_instrument(method: PaymentMethod) -> Instrument:
    """Build the instrument of a stored card."""
    return _build_card_instrument(method.id, method.customer, method.card or method)


def hold_fact(handle: str, units: int, currency: str, at: datetime | None) -> Fact:
    """Build the fact of a reservation under a handle."""
    return Fact(
        kind=FactKind.AUTHORIZED,
        id=handle,
        amount=to_major(units, currency),
        expires_at=times.add(at, HOLD_DURATION) if at else None,
        currency=currency,
    )


def _paid_fact(id: str, units: int, currency: str, at: datetime | None) -> Fact:
    fact = paid_fact(id, to_major(units, currency), at.date() if at else None)
    return fact.model_copy(update={"currency": currency})


def _chargeback_fact(dispute: Dispute, currency: str, payment: str) -> Fact:
    units = dispute.amount if dispute.outcome_amount is None else dispute.outcome_amount
    return Fact(
        kind=FactKind.CHARGED_BACK,
        id=dispute.id,
        amount=to_major(units, currency),
        booked_on=dispute.resolved.date() if dispute.resolved else None,
        reason=chargeback_reason(dispute.reason),
        psp_reason_code=dispute.reason,
        currency=dispute.currency or currency,
        parent_psp_id=payment,
    )


def _build_card_instrument(id: str, customer: str | None, details: CardDetails) -> Instrument:
    month, _, year = (details.exp_date or "").partition("-")
    masked = details.masked_card or ""
    bearer = build_card_bearer(
        brand=details.card_type,
        country=details.card_country,
        month=month,
        year=year,
        last4=masked[-4:],
        masked=masked,
    )
    return instruments.build_instrument({METHOD: id, CUSTOMER: customer}, bearer)
