"""What the PSP's objects come to in the port's words; pure.

A charge is named by its handle, which is our transaction id; the reservation is known by that
handle alone. A movement under it is known as `<handle>/<transaction>`: a captured payment shares
the handle of its preauth. A refund has an id of its own.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

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
from integrator.psp.toolkit.instruments import CUSTOMER, METHOD, card
from integrator.psp.toolkit.outcomes import paid, refunded
from integrator.psp.toolkit.redaction import mark
from integrator.psp.types import Approved, Declined, Fact, FactKind, Instrument, Outcome, Pending

HOLD = timedelta(days=7)
"""How long acquirers keep a reservation; the PSP itself names no end."""

T = TypeVar("T", Charge, Invoice, Refund, Transaction)


def movement_id(handle: str, transaction: str) -> str:
    """The id of money moved under a handle. A handle has no slash."""
    return f"{handle}/{transaction}"


def authorization(charge: Charge) -> Outcome:
    """What a reservation has come to; money taken from it leaves it as it was."""
    match charge.state:
        case "authorized" | "settled":
            units = charge.amount if charge.authorized_amount is None else charge.authorized_amount
            fact = held(charge.handle, units, charge.currency, charge.authorized or charge.created)
            stored = charge_instrument(charge)
            return Approved(psp_id=charge.handle, facts=(fact,), instrument=stored)
        case "cancelled":
            return ended(charge.handle, Status.Cancelled)
        case "failed" if charge.authorized is not None:
            # A settle that failed for good has ended the reservation.
            ran_out = charge.error == "authorization_expired"
            return ended(charge.handle, Status.Expired if ran_out else Status.Cancelled)
        case "failed":
            return failed(charge.handle, charge)
        case _:
            return Pending(psp_id=charge.handle)


def payment(charge: Charge) -> Outcome:
    """The answer to a charge, which is at most one movement."""
    id = movement_id(charge.handle, charge.transaction) if charge.transaction else None
    match charge.state:
        case "settled" if id is not None:
            fact = _paid(id, charge.amount, charge.currency, charge.settled)
            return Approved(psp_id=id, facts=(fact,))
        case "failed":
            return failed(id, charge)
        case "cancelled":
            return ended(id, Status.Cancelled)
        case "pending":
            return Pending(psp_id=id)
        case _:
            # Still as it was before: the transaction it shows, if any, is a reservation.
            return Pending(psp_id=None)


def cancelled(charge: Charge) -> Outcome:
    """What a cancellation has come to."""
    if charge.state == "cancelled":
        return Approved(psp_id=charge.handle)
    if charge.error_state == "processing_error":
        raise OutcomeUnknown("The PSP does not know whether it has cancelled the reservation")
    message = f"The charge is {charge.state}."
    return Declined(psp_id=charge.handle, code=Code.InvalidPreconditions, message=message)


def movement(moved: Transaction, currency: str, disputes: Sequence[Dispute] = ()) -> Outcome:
    """What a settle has come to, and what the payer's bank took back of it."""
    id = movement_id(moved.invoice, moved.id)
    match moved.state:
        case "settled":
            taken_back = [_charged_back(d, currency) for d in disputes if is_chargeback(d)]
            fact = _paid(id, moved.amount, currency, moved.settled)
            return Approved(psp_id=id, facts=(fact, *taken_back))
        case "failed":
            return failed(id, moved.card_transaction)
        case "cancelled":
            return ended(id, Status.Cancelled)
        case _:
            return Pending(psp_id=id)


def refund(made: Refund | Transaction, currency: str) -> Outcome:
    """What was given back."""
    match made.state:
        case "refunded":
            fact = refunded(made.id, to_major(made.amount, currency), made.created.date())
            return Approved(psp_id=made.id, facts=(fact,))
        case "failed":
            return failed(made.id, made if isinstance(made, Refund) else made.card_transaction)
        case _:
            return Pending(psp_id=made.id)


def is_chargeback(dispute: Dispute) -> bool:
    """Whether a dispute has taken money back from the merchant.

    Only its end tells: an open one may still be won, and a refund made because of it, or a payout
    by the provider, is none.
    """
    return dispute.state == "resolved" and dispute.outcome == "customer_favor_chargeback"


def ours(found: T, currency: str, handle: str | None = None) -> T:
    """`found`, if it is what was asked for; raises `ProtocolError` for somebody else's object.

    The amounts of another currency might be read in the wrong unit.
    """
    name = found.handle if isinstance(found, Charge | Invoice) else found.invoice
    if handle not in (None, name) or found.currency not in (None, currency):
        raise ProtocolError("The PSP answered with an object of another charge or currency.")
    return found


def settle_of(invoice: Invoice, reference: str) -> Transaction | None:
    """The settle made with our reference: its text is among the order lines from then on."""
    lines = [line for line in invoice.order_lines if mark(line.ordertext) == reference]
    settles = [moved for moved in invoice.transactions if moved.type == "settle"]
    alike = [moved for moved in settles if lines and moved.amount == lines[-1].amount]
    if lines and settles and not alike:
        raise ProtocolError("The PSP does not tell which of its settles is ours")
    return max(alike, key=lambda moved: moved.state != "failed", default=None)


def refund_of(notes: Iterable[CreditNote], reference: str) -> str | None:
    """The id of the refund whose credit note repeats our reference."""
    for note in notes:
        if any(mark(line.text) == reference for line in note.credit_note_lines):
            return note.transaction
    return None


def failed(psp_id: str | None, attempt: Charge | Refund | CardTransaction) -> Outcome:
    """A decline; a processing error is none, for money may have moved all the same."""
    error, state = attempt.error, attempt.error_state
    if state == "processing_error":
        return Pending(psp_id=psp_id)
    acquirer = attempt.source if isinstance(attempt, Charge) else attempt
    words = " ".join(part for part in (error, state, acquirer.acquirer_message) if part)
    return outcomes.failed(psp_id, error_code(error), error, words)


def ended(psp_id: str | None, status: Status) -> Declined:
    """Withdrawn, or out of time."""
    return outcomes.ended(psp_id, status, f"The PSP shows it as {status.name.lower()}.")


def charge_instrument(charge: Charge) -> Instrument | None:
    """What a charge left to be charged later."""
    stored = charge.recurring_payment_method or charge.source.card
    return _instrument(stored, charge.customer, charge.source) if stored else None


def method_instrument(method: PaymentMethod) -> Instrument:
    """A stored card."""
    return _instrument(method.id, method.customer, method.card or method)


def held(handle: str, units: int, currency: str, at: datetime) -> Fact:
    """Money reserved under a handle."""
    amount = to_major(units, currency)
    return Fact(kind=FactKind.AUTHORIZED, id=handle, amount=amount, expires_at=at + HOLD)


def _paid(id: str, units: int, currency: str, at: datetime | None) -> Fact:
    return paid(id, to_major(units, currency), at.date() if at else None)


def _charged_back(dispute: Dispute, currency: str) -> Fact:
    units = dispute.amount if dispute.outcome_amount is None else dispute.outcome_amount
    return Fact(
        kind=FactKind.CHARGED_BACK,
        id=dispute.id,
        amount=to_major(units, currency),
        booked_on=dispute.resolved.date() if dispute.resolved else None,
        reason=chargeback_reason(dispute.reason),
        psp_reason_code=dispute.reason,
    )


def _instrument(id: str, owner: str | None, details: CardDetails) -> Instrument:
    month, _, year = (details.exp_date or "").partition("-")
    masked = details.masked_card or ""
    bearer = card(
        brand=details.card_type,
        country=details.card_country,
        month=month,
        year=year,
        last4=masked[-4:],
        masked=masked,
    )
    return instruments.instrument({METHOD: id, CUSTOMER: owner}, bearer)
