"""Payments with mandates, refunds, and the scenario simulators of both."""

from datetime import date
from typing import Any

from devtools.sandbox_psp import bank_accounts, charges, events, magic_amounts, refunds, repository
from devtools.sandbox_psp.clock import now_ms, to_iso
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.gocardless.errors import (
    GoCardlessError,
    invalid_field,
    invalid_state,
    not_cancellable,
)
from devtools.sandbox_psp.emulators.gocardless.models import (
    REFERENCE_SIZES,
    ledger_reference,
    new_id,
)
from devtools.sandbox_psp.emulators.gocardless.operations import mandates
from devtools.sandbox_psp.emulators.gocardless.requests import Body, parse_amount, parse_metadata
from devtools.sandbox_psp.emulators.gocardless.serializers import (
    late_failures,
    payment_status,
    refund_status,
    refunded_amount,
)
from devtools.sandbox_psp.magic_amounts import Outcome
from devtools.sandbox_psp.models import Charge, Failure, Mandate, Refund

_TEST_FAILURE = Failure(code="insufficient_funds", message="The account does not cover the amount.")


def create_payment(ctx: Context, account: str, body: Body, key: str | None) -> Charge:
    """Create a payment: always pending at first, decided by the bank later."""
    mandate = _get_active_mandate(ctx, account, body)
    scheme, amount = mandate.extra["scheme"], parse_amount(body)
    if body.get("currency") != mandate.currency:
        raise invalid_field("currency", "does not match the currency of the mandate")
    statement = body.get("reference")
    if statement is not None and len(statement) > REFERENCE_SIZES[scheme]:
        raise invalid_field("reference", "is too long")
    metadata = parse_metadata(body)
    payment = Charge(
        id=new_id("PM"),
        account=account,
        reference=ledger_reference(metadata),
        status="pending",
        amount=amount,
        currency=mandate.currency,
        payment_method=mandate.id,
        execute_on=_parse_charge_date(mandate, body.get("charge_date")),
        description=body.get("description"),
        created_at=to_iso(now_ms()),
        extra={
            "metadata": metadata,
            "statement": statement,
            "scheme": scheme,
            "retry": body.get("retry_if_possible", True),
            "returned_in_full": True,  # a bank returns a debit as a whole, refunded or not
        },
    )
    outcome = magic_amounts.outcome_for(
        amount, payment.currency, debit=bank_accounts.outcome_for(mandate.iban)
    )
    if outcome.status == "declined":
        outcome = Outcome("pending", outcome.failure)
    charges.create(ctx, mandate.as_payment_method(), payment, key or "", outcome)
    return payment


def cancel_payment(ctx: Context, account: str, id: str) -> Charge:
    """Cancel a payment that is not submitted to the banks yet."""
    payment = repository.get_owned(ctx.db, Charge, account, id)
    if payment_status(payment) != "pending_submission":
        raise not_cancellable("payment", payment_status(payment))
    payment.status, payment.extra["phase"] = "failed", "cancelled"
    repository.save(ctx.db, payment)
    events.emit(ctx, "payments.cancelled", payment)
    return payment


def create_refund(ctx: Context, account: str, body: Body, key: str | None) -> Refund:
    """Create a refund: pending at first."""
    payment_id = (body.get("links") or {}).get("payment", "")
    payment = repository.get_owned(ctx.db, Charge, account, payment_id)
    amount, already_refunded = parse_amount(body), refunded_amount(ctx.db, payment)
    if payment_status(payment) not in ("confirmed", "paid_out"):
        raise invalid_state("refund_payment_invalid_state", "The payment is not confirmed.")
    if amount + already_refunded > payment.amount:
        raise invalid_field("amount", "is more than what is left of the payment")
    if body.get("total_amount_confirmation") != amount + already_refunded:
        message = "does not match the total amount refunded"
        raise invalid_state("total_amount_confirmation_invalid", message)
    outcome = magic_amounts.outcome_for(amount, payment.currency)
    if outcome.failure is magic_amounts.INSUFFICIENT_FUNDS and outcome.status == "declined":
        message = "There is not enough balance to refund."
        raise invalid_state("available_refund_amount_insufficient", message)
    metadata, id = parse_metadata(body), new_id("RF")
    refunds.create(
        ctx,
        payment,
        reference=ledger_reference(metadata),
        amount=amount,
        key=key,
        outcome=Outcome("pending", outcome.failure),
        id=id,
        extra={"metadata": metadata, "mandate": payment.payment_method},
    )
    return repository.get(ctx.db, Refund, id)


def run_simulator(ctx: Context, account: str, name: str, resource: str) -> None:
    """Run a scenario of GoCardless' sandbox.

    Further ones are `payment_chargeback_cancelled` and `mandate_replaced`; `payment_confirmed`
    after a late failure collects the payment again.
    """
    subject, _, _ = name.partition("_")
    match subject:
        case "payment":
            _simulate_payment(ctx, repository.get_owned(ctx.db, Charge, account, resource), name)
        case "refund":
            _simulate_refund(ctx, repository.get_owned(ctx.db, Refund, account, resource), name)
        case "mandate" if name == "mandate_replaced":
            mandate = repository.get_owned(ctx.db, Mandate, account, resource)
            mandates.replace_mandate(ctx, mandate)
        case "mandate":
            mandate = repository.get_owned(ctx.db, Mandate, account, resource)
            statuses = {"mandate_activated": "active"}
            mandates.set_mandate_status(
                ctx, mandate, statuses.get(name, name.removeprefix("mandate_"))
            )
        case _:
            raise GoCardlessError(
                404, "invalid_api_usage", "No such simulator.", reason="not_found"
            )


def _simulate_payment(ctx: Context, payment: Charge, name: str) -> None:
    match name:
        case "payment_submitted":
            _set_phase(ctx, payment, "submitted")
        case "payment_failed":
            _settle_payment(ctx, payment, _TEST_FAILURE)
        case "payment_confirmed":
            _collect(ctx, payment)
        case "payment_paid_out":
            _set_phase(ctx, _collect(ctx, payment), "paid_out")
        case "payment_late_failure":
            payment = _settle_payment(ctx, payment, None)
            _withdraw(ctx, payment)
            _mark_late_failure(ctx, payment.id)
        case "payment_charged_back":
            _withdraw(ctx, _settle_payment(ctx, payment, None))
        case "payment_chargeback_cancelled" if payment.chargebacks:
            _reinstate(ctx, payment, "paid_out")
        case _:
            raise invalid_state("scenario_not_applicable", f"{name} does not fit the payment.")


def _simulate_refund(ctx: Context, refund: Refund, name: str) -> None:
    if name == "refund_paid":
        _settle_refund(ctx, refund)
        return
    phases = {"refund_bounced": "bounced", "refund_returned": "funds_returned"}
    if name not in phases or refund_status(refund) not in ("pending_submission", "paid"):
        raise invalid_state("scenario_not_applicable", f"{name} does not fit the refund.")
    if refund.status == "succeeded":
        charge = repository.get(ctx.db, Charge, refund.charge)
        charge.amount_refunded -= refund.amount
        repository.save(ctx.db, charge)
    refund.status = "failed"
    repository.save(ctx.db, refund)
    _set_phase(ctx, refund, phases[name])


def _collect(ctx: Context, payment: Charge) -> Charge:
    """Collect a payment, also one that has failed after its confirmation."""
    if payment_status(payment) == "failed" and payment.chargebacks:
        _set_phase(ctx, payment, "submitted", "resubmission_requested")
        _reinstate(ctx, payment, None)
    return _settle_payment(ctx, payment, None)


def _withdraw(ctx: Context, payment: Charge) -> None:
    payment.extra["phase"] = None
    repository.save(ctx.db, payment)
    charges.charge_back(ctx, {"id": payment.id, "amount": payment.amount})


def _reinstate(ctx: Context, payment: Charge, phase: str | None) -> None:
    payment.extra["phase"] = phase
    charges.reverse_chargeback(ctx, payment, None)


def _mark_late_failure(ctx: Context, id: str) -> None:
    """Mark the newest withdrawal of a payment as a failure after the confirmation."""
    payment = repository.get(ctx.db, Charge, id)
    payment.extra["late_failures"] = [*late_failures(payment), payment.chargebacks[-1].id]
    repository.save(ctx.db, payment)


def _set_phase(
    ctx: Context, record: Charge | Refund, phase: str, action: str | None = None
) -> None:
    record.extra["phase"] = phase
    repository.save(ctx.db, record)
    kind = "payments" if isinstance(record, Charge) else "refunds"
    events.emit(ctx, f"{kind}.{action or phase}", record, delays=(0,))


def _settle_payment(ctx: Context, payment: Charge, failure: Failure | None) -> Charge:
    """Apply the bank's decision now."""
    job: dict[str, Any] = {"id": payment.id, "charged_back": False, "noisy": False, "key": None}
    charges.settle(ctx, {**job, "failure": failure and failure.model_dump()})
    return repository.get(ctx.db, Charge, payment.id)


def _settle_refund(ctx: Context, refund: Refund) -> None:
    refunds.settle(ctx, {"id": refund.id, "failure": None, "key": None})


def _get_active_mandate(ctx: Context, account: str, body: Body) -> Mandate:
    mandate = repository.get_owned(
        ctx.db, Mandate, account, (body.get("links") or {}).get("mandate", "")
    )
    if successor := mandate.extra.get("successor"):
        links = {"new_mandate": successor}
        raise invalid_state("mandate_replaced", "The mandate has been replaced.", links=links)
    if mandate.extra["status"] not in ("pending_submission", "submitted", "active"):
        raise invalid_state("mandate_is_inactive", "Mandate is cancelled, failed or expired.")
    return mandate


def _parse_charge_date(mandate: Mandate, text: Any) -> str:
    earliest: str = mandate.extra["first_charge"]
    if text is None:
        return earliest
    try:
        day = date.fromisoformat(text)
    except (TypeError, ValueError):
        raise invalid_field("charge_date", "is not a date") from None
    if day.isoformat() < earliest:
        raise invalid_field(
            "charge_date", "must be on or after mandate's next_possible_charge_date"
        )
    return day.isoformat()
