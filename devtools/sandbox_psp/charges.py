"""Charges of stored payment methods, captures of authorizations, and chargebacks."""

from typing import Any, Literal

from devtools.sandbox_psp import (
    bank_accounts,
    events,
    jobs,
    ledger,
    magic_amounts,
    repository,
    serializers,
)
from devtools.sandbox_psp.authorizations import check_currency, declined_response
from devtools.sandbox_psp.clock import now_ms, to_iso, today
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.errors import invalid_request
from devtools.sandbox_psp.idempotency import ApiResponse, json_response
from devtools.sandbox_psp.ids import new_id
from devtools.sandbox_psp.magic_amounts import Outcome
from devtools.sandbox_psp.models import (
    Authorization,
    Charge,
    Chargeback,
    ChargebackReversal,
    Failure,
    PaymentMethod,
)
from devtools.sandbox_psp.money import exponent

_CHARGEBACK_FEE = 350
_DEBIT_REASON = ("AM04", "Account not covered")
_CARD_REASON = ("10.4", "Other fraud: card absent environment")


def create(
    ctx: Context, method: PaymentMethod, charge: Charge, key: str, outcome: Outcome | None = None
) -> ApiResponse:
    """Charge a stored card or a mandate; the outcome is the amount's, or `outcome`."""
    check_currency(method, charge.currency)
    if outcome is not None:
        return _apply_outcome(ctx, charge, outcome, key)
    if method.sepa_debit is not None:
        bank_outcome = bank_accounts.outcome_for(method.sepa_debit.iban)
        return _apply_outcome(
            ctx,
            charge,
            magic_amounts.outcome_for(charge.amount, charge.currency, debit=bank_outcome),
            key,
        )
    if method.decline is not None:
        return _apply_outcome(ctx, charge, Outcome("declined", method.decline), key)
    return _apply_outcome(
        ctx, charge, magic_amounts.outcome_for(charge.amount, charge.currency), key
    )


def capture(
    ctx: Context,
    authorization: Authorization,
    *,
    reference: str,
    amount: int,
    key: str | None,
    outcome: Outcome | None = None,
    id: str | None = None,
) -> ApiResponse:
    """Capture an authorization, once; `outcome` overrides that of the amount's magic ending.

    `id` comes from an emulator.
    """
    if authorization.status != "authorized":
        raise invalid_request("invalid_state", f"The authorization is {authorization.status}.")
    if amount > authorization.amount:
        raise invalid_request("amount_too_large", "More than was authorized cannot be captured.")
    charge = build_charge(
        account=authorization.account,
        reference=reference,
        amount=amount,
        currency=authorization.currency,
        payment_method=authorization.payment_method,
    )
    charge.authorization = authorization.id
    charge.id = id or charge.id
    outcome = outcome or magic_amounts.outcome_for(amount, authorization.currency)
    if outcome.status != "declined":
        _set_authorization_status(ctx, authorization, "captured", amount)
    return _apply_outcome(ctx, charge, outcome, key)


def build_charge(
    *, account: str, reference: str, amount: int, currency: str, payment_method: str
) -> Charge:
    """Return a new pending charge, not yet stored."""
    return Charge(
        id=new_id("ch"),
        account=account,
        reference=reference,
        status="pending",
        amount=amount,
        currency=currency,
        payment_method=payment_method,
        created_at=to_iso(now_ms()),
    )


def refundable_amount(ctx: Context, charge: Charge) -> int:
    """Return the rest of a charge: less refunds, also pending ones, and open chargebacks."""
    refunded = sum(
        r.amount for r in repository.list_refunds(ctx.db, charge) if r.status != "failed"
    )
    return charge.amount - refunded - sum(c.remaining_amount for c in charge.chargebacks)


def settle(ctx: Context, job: dict[str, Any]) -> None:
    """Apply the outcome of a pending charge."""
    charge = repository.get(ctx.db, Charge, job["id"])
    if charge.status != "pending":
        return
    if job["failure"] is None:
        outcome = Outcome(charged_back=job["charged_back"], noisy=job["noisy"])
        _succeed(ctx, charge, outcome, job["key"], delay=0)
        return
    charge.status, charge.failure = "failed", Failure.model_validate(job["failure"])
    repository.save(ctx.db, charge)
    if charge.authorization is not None:
        authorization = repository.get(ctx.db, Authorization, charge.authorization)
        _set_authorization_status(ctx, authorization, "authorized", 0)
    events.emit(ctx, "charge.failed", charge, delays=(0,))


def charge_back(ctx: Context, job: dict[str, Any]) -> None:
    """Charge back the job's amount, or all that is left of the charge."""
    charge = repository.get(ctx.db, Charge, job["id"])
    amount = _chargeback_amount(ctx, charge) if job["amount"] is None else job["amount"]
    if amount == 0:
        return
    method = repository.get_payment_method(ctx.db, charge.account, charge.payment_method)
    reason = _CARD_REASON if method.sepa_debit is None else _DEBIT_REASON
    chargeback = Chargeback(
        id=new_id("cb"),
        amount=amount,
        fee_amount=_CHARGEBACK_FEE if exponent(charge.currency) == 2 else 0,
        booked_on=today().isoformat(),
        reason_code=reason[0],
        reason_message=reason[1],
    )
    charge.chargebacks.append(chargeback)
    repository.save(ctx.db, charge)
    _book(ctx, "chargeback", charge, amount, chargeback.id, None)
    events.emit(ctx, "charge.charged_back", charge, delays=(0,))


def reverse_chargeback(ctx: Context, charge: Charge, amount: int | None) -> None:
    """Return an amount of the newest chargeback that is open, or all of it, to the merchant."""
    chargeback = next((c for c in reversed(charge.chargebacks) if c.remaining_amount), None)
    if chargeback is None:
        raise invalid_request("invalid_state", "No chargeback of this charge is open.")
    if amount is not None and amount > chargeback.remaining_amount:
        raise invalid_request("amount_too_large", "More than was taken cannot come back.")
    reversal = ChargebackReversal(
        id=new_id("cbr"),
        amount=amount or chargeback.remaining_amount,
        booked_on=today().isoformat(),
    )
    chargeback.reversals.append(reversal)
    repository.save(ctx.db, charge)
    _book(ctx, "chargeback_reversal", charge, reversal.amount, reversal.id, None)
    events.emit(ctx, "charge.chargeback_reversed", charge, delays=(0,))


def _chargeback_amount(ctx: Context, charge: Charge) -> int:
    if charge.extra.get("returned_in_full"):
        return 0 if charge.chargebacks else charge.amount
    return refundable_amount(ctx, charge)


def _apply_outcome(ctx: Context, charge: Charge, outcome: Outcome, key: str | None) -> ApiResponse:
    if outcome.status == "succeeded":
        _succeed(ctx, charge, outcome, key)
    elif outcome.status == "pending":
        repository.save(ctx.db, charge)
        events.emit(ctx, "charge.pending", charge)
        jobs.schedule(
            ctx, "settle_charge", ctx.settings.settle_seconds, _settlement_job(charge, outcome, key)
        )
    elif outcome.failure is not None:
        charge.status, charge.failure = "declined", outcome.failure
        repository.save(ctx.db, charge)
        events.emit(ctx, "charge.failed", charge)
        return declined_response(serializers.serialize(ctx.db, charge), outcome.failure)
    return json_response(201, serializers.serialize(ctx.db, charge))


def _settlement_job(charge: Charge, outcome: Outcome, key: str | None) -> dict[str, Any]:
    return {
        "id": charge.id,
        "failure": outcome.failure and outcome.failure.model_dump(),
        "charged_back": outcome.charged_back,
        "noisy": outcome.noisy,
        "key": key,
    }


def _succeed(
    ctx: Context,
    charge: Charge,
    outcome: Outcome,
    key: str | None,
    delay: float = events.RESPONSE_FIRST_SECONDS,
) -> None:
    pending_charge = charge.model_copy()
    charge.status, charge.booked_on = "succeeded", today().isoformat()
    repository.save(ctx.db, charge)
    kind: ledger.EntryKind = "charge" if charge.authorization is None else "capture"
    _book(ctx, kind, charge, charge.amount, charge.id, key)
    if outcome.noisy:
        events.emit_noisily(ctx, "charge.succeeded", pending_charge, charge)
    else:
        events.emit(ctx, "charge.succeeded", charge, delays=(delay,))
    if outcome.charged_back:
        job = {"id": charge.id, "amount": None}
        jobs.schedule(ctx, "charge_back", ctx.settings.settle_seconds, job)


def _set_authorization_status(
    ctx: Context,
    authorization: Authorization,
    status: Literal["authorized", "captured"],
    amount_captured: int,
) -> None:
    authorization.status, authorization.amount_captured = status, amount_captured
    repository.save(ctx.db, authorization)


def _book(
    ctx: Context, kind: ledger.EntryKind, charge: Charge, amount: int, psp_id: str, key: str | None
) -> None:
    ledger.book(
        ctx.db,
        kind,
        account=charge.account,
        reference=charge.reference or "",
        amount=amount,
        currency=charge.currency,
        psp_id=psp_id,
        key=key,
    )
