"""Payments with mandates, refunds, and the simulators that move both along."""

from datetime import date
from typing import Any

from devtools.sandbox_psp import bank_accounts, charges, events, magic_amounts, refunds, repository
from devtools.sandbox_psp.clock import iso, now_ms
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.gocardless import mandates
from devtools.sandbox_psp.emulators.gocardless.auth import Body
from devtools.sandbox_psp.emulators.gocardless.errors import Refusal, bad_field, bad_state, too_late
from devtools.sandbox_psp.emulators.gocardless.mandates import metadata_of
from devtools.sandbox_psp.emulators.gocardless.models import REFERENCE_SIZES, new_id, our_reference
from devtools.sandbox_psp.emulators.gocardless.serializers import (
    payment_status,
    refund_status,
    refunded,
)
from devtools.sandbox_psp.magic_amounts import Ending, Plan
from devtools.sandbox_psp.models import Charge, Failure, Mandate, Refund

_TEST_FAILURE = Failure(code="insufficient_funds", message="The account does not cover the amount.")


def amount_of(body: Body) -> int:
    """The amount; 422 unless it is a positive integer."""
    amount = body.get("amount")
    if type(amount) is not int or amount <= 0:
        raise bad_field("amount", "must be a positive integer")
    return amount


def steered(body: Body) -> Ending | None:
    """What the amount's ending does to the call."""
    currency = str(body.get("currency", "EUR"))
    amount = body.get("amount")
    return (
        magic_amounts.read(amount, currency) if type(amount) is int and len(currency) == 3 else None
    )


def pay(ctx: Context, account: str, body: Body, key: str | None) -> Charge:
    """A payment: pending first, always; the bank decides later."""
    mandate = _mandate(ctx, account, body)
    scheme, amount = mandate.extra["scheme"], amount_of(body)
    if body.get("currency") != mandate.currency:
        raise bad_field("currency", "does not match the currency of the mandate")
    statement = body.get("reference")
    if statement is not None and len(statement) > REFERENCE_SIZES[scheme]:
        raise bad_field("reference", "is too long")
    metadata = metadata_of(body)
    made = Charge(
        id=new_id("PM"),
        account=account,
        reference=our_reference(metadata),
        status="pending",
        amount=amount,
        currency=mandate.currency,
        payment_method=mandate.id,
        execute_on=_charge_date(mandate, body.get("charge_date")),
        description=body.get("description"),
        created_at=iso(now_ms()),
        extra={
            "metadata": metadata,
            "statement": statement,
            "scheme": scheme,
            "retry": body.get("retry_if_possible", True),
            "returned_in_full": True,  # a bank returns a debit as a whole, refunded or not
        },
    )
    plan = magic_amounts.plan(amount, made.currency, debit=bank_accounts.plan(mandate.iban))
    if plan.status == "declined":
        plan = Plan("pending", plan.failure)
    charges.charge(ctx, mandate.as_method(), made, key or "", plan)
    return made


def cancel(ctx: Context, account: str, id: str) -> Charge:
    """Call a payment off before it goes to the banks."""
    made = repository.owned(ctx.db, Charge, account, id)
    if payment_status(made) != "pending_submission":
        raise too_late("payment", payment_status(made))
    made.status, made.extra["phase"] = "failed", "cancelled"
    repository.save(ctx.db, made)
    events.emit(ctx, "payments.cancelled", made)
    return made


def give_back(ctx: Context, account: str, body: Body, key: str | None) -> Refund:
    """A refund: pending first."""
    named = (body.get("links") or {}).get("payment", "")
    payment = repository.owned(ctx.db, Charge, account, named)
    amount, before = amount_of(body), refunded(ctx.db, payment)
    if payment_status(payment) not in ("confirmed", "paid_out"):
        raise bad_state("refund_payment_invalid_state", "The payment is not confirmed.")
    if amount + before > payment.amount:
        raise bad_field("amount", "is more than what is left of the payment")
    if body.get("total_amount_confirmation") != amount + before:
        message = "does not match the total amount refunded"
        raise bad_state("total_amount_confirmation_invalid", message)
    plan = magic_amounts.plan(amount, payment.currency)
    if plan.failure is magic_amounts.INSUFFICIENT_FUNDS and plan.status == "declined":
        message = "There is not enough balance to refund."
        raise bad_state("available_refund_amount_insufficient", message)
    metadata, id = metadata_of(body), new_id("RF")
    refunds.refund(
        ctx,
        payment,
        reference=our_reference(metadata),
        amount=amount,
        key=key,
        plan=Plan("pending", plan.failure),
        id=id,
        extra={"metadata": metadata, "mandate": payment.payment_method},
    )
    return repository.get(ctx.db, Refund, id)


def simulate(ctx: Context, account: str, name: str, resource: str) -> None:
    """Run a scenario; those of GoCardless' sandbox, and `payment_chargeback_cancelled`."""
    subject, _, _ = name.partition("_")
    match subject:
        case "payment":
            _simulate_payment(ctx, repository.owned(ctx.db, Charge, account, resource), name)
        case "refund":
            _simulate_refund(ctx, repository.owned(ctx.db, Refund, account, resource), name)
        case "mandate":
            mandate = repository.owned(ctx.db, Mandate, account, resource)
            words = {"mandate_activated": "active"}
            mandates.set_mandate(ctx, mandate, words.get(name, name.removeprefix("mandate_")))
        case _:
            raise Refusal(404, "invalid_api_usage", "No such simulator.", reason="not_found")


def _simulate_payment(ctx: Context, made: Charge, name: str) -> None:
    match name:
        case "payment_submitted":
            _mark(ctx, made, "submitted")
        case "payment_failed":
            _settle(ctx, made, _TEST_FAILURE)
        case "payment_confirmed":
            _settle(ctx, made, None)
        case "payment_paid_out":
            _mark(ctx, _settle(ctx, made, None), "paid_out")
        case "payment_late_failure":
            made = _settle(ctx, made, None)
            made.extra["phase"] = "late_failure"
            repository.save(ctx.db, made)
            charges.charge_back(ctx, {"id": made.id, "amount": made.amount})
        case "payment_charged_back":
            made = _settle(ctx, made, None)
            charges.charge_back(ctx, {"id": made.id, "amount": made.amount})
        case "payment_chargeback_cancelled" if made.chargebacks:
            _mark(ctx, made, "chargeback_cancelled")
        case _:
            raise bad_state("scenario_not_applicable", f"{name} does not fit the payment.")


def _simulate_refund(ctx: Context, made: Refund, name: str) -> None:
    if name == "refund_paid":
        _settle_refund(ctx, made)
        return
    words = {"refund_bounced": "bounced", "refund_returned": "funds_returned"}
    if name not in words or refund_status(made) not in ("pending_submission", "paid"):
        raise bad_state("scenario_not_applicable", f"{name} does not fit the refund.")
    if made.status == "succeeded":
        charge = repository.get(ctx.db, Charge, made.charge)
        charge.amount_refunded -= made.amount
        repository.save(ctx.db, charge)
    made.status = "failed"
    repository.save(ctx.db, made)
    _mark(ctx, made, words[name])


def _mark(ctx: Context, made: Charge | Refund, phase: str) -> None:
    made.extra["phase"] = phase
    repository.save(ctx.db, made)
    kind = "payments" if isinstance(made, Charge) else "refunds"
    events.emit(ctx, f"{kind}.{phase}", made, delays=(0,))


def _settle(ctx: Context, made: Charge, failure: Failure | None) -> Charge:
    """Have the bank decide now."""
    job: dict[str, Any] = {"id": made.id, "charged_back": False, "noisy": False, "key": None}
    charges.settle(ctx, {**job, "failure": failure and failure.model_dump()})
    return repository.get(ctx.db, Charge, made.id)


def _settle_refund(ctx: Context, made: Refund) -> None:
    refunds.settle(ctx, {"id": made.id, "failure": None, "key": None})


def _mandate(ctx: Context, account: str, body: Body) -> Mandate:
    mandate = repository.owned(
        ctx.db, Mandate, account, (body.get("links") or {}).get("mandate", "")
    )
    if mandate.extra["status"] not in ("pending_submission", "submitted", "active"):
        raise bad_state("mandate_is_inactive", "Mandate is cancelled, failed or expired.")
    return mandate


def _charge_date(mandate: Mandate, wanted: Any) -> str:
    first: str = mandate.extra["first_charge"]
    if wanted is None:
        return first
    try:
        day = date.fromisoformat(wanted)
    except (TypeError, ValueError):
        raise bad_field("charge_date", "is not a date") from None
    if day.isoformat() < first:
        raise bad_field("charge_date", "must be on or after mandate's next_possible_charge_date")
    return day.isoformat()
