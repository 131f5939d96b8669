"""Refunds of charges."""

from typing import Any

from devtools.sandbox_psp import events, jobs, ledger, magic_amounts, repository, serializers
from devtools.sandbox_psp.authorizations import declined_response
from devtools.sandbox_psp.charges import refundable_amount
from devtools.sandbox_psp.clock import now_ms, to_iso, today
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.errors import invalid_request
from devtools.sandbox_psp.idempotency import ApiResponse, json_response
from devtools.sandbox_psp.ids import new_id
from devtools.sandbox_psp.magic_amounts import Outcome
from devtools.sandbox_psp.models import Charge, Failure, Refund


def create(
    ctx: Context,
    charge: Charge,
    *,
    reference: str,
    amount: int,
    key: str | None,
    description: str | None = None,
    outcome: Outcome | None = None,
    id: str | None = None,
    extra: dict[str, Any] | None = None,
) -> ApiResponse:
    """Refund part of a charge; `outcome` overrides that of the amount's magic ending.

    `id` and `extra` come from an emulator.
    """
    if charge.status != "succeeded":
        raise invalid_request("invalid_state", f"The charge is {charge.status}.")
    if amount > refundable_amount(ctx, charge):
        raise invalid_request(
            "amount_too_large", "More than is left of the charge cannot be refunded."
        )
    refund = Refund(
        id=id or new_id("re"),
        account=charge.account,
        reference=reference,
        status="pending",
        charge=charge.id,
        amount=amount,
        currency=charge.currency,
        description=description,
        created_at=to_iso(now_ms()),
        extra=extra or {},
    )
    return _apply_outcome(
        ctx, refund, outcome or magic_amounts.outcome_for(amount, charge.currency), key
    )


def settle(ctx: Context, job: dict[str, Any]) -> None:
    """Apply the outcome of a pending refund."""
    refund = repository.get(ctx.db, Refund, job["id"])
    if refund.status != "pending":
        return
    if job["failure"] is None:
        _succeed(ctx, refund, job["key"], noisy=False, delay=0)
        return
    refund.status, refund.failure = "failed", Failure.model_validate(job["failure"])
    repository.save(ctx.db, refund)
    events.emit(ctx, "refund.failed", refund, delays=(0,))


def _apply_outcome(ctx: Context, refund: Refund, outcome: Outcome, key: str | None) -> ApiResponse:
    if outcome.status == "succeeded":
        _succeed(ctx, refund, key, noisy=outcome.noisy)
    elif outcome.status == "pending":
        repository.save(ctx.db, refund)
        events.emit(ctx, "refund.pending", refund)
        failure = outcome.failure and outcome.failure.model_dump()
        job = {"id": refund.id, "failure": failure, "key": key}
        jobs.schedule(ctx, "settle_refund", ctx.settings.settle_seconds, job)
    elif outcome.failure is not None:
        refund.status, refund.failure = "failed", outcome.failure
        repository.save(ctx.db, refund)
        events.emit(ctx, "refund.failed", refund)
        return declined_response(serializers.serialize(ctx.db, refund), outcome.failure)
    return json_response(201, serializers.serialize(ctx.db, refund))


def _succeed(
    ctx: Context,
    refund: Refund,
    key: str | None,
    *,
    noisy: bool,
    delay: float = events.RESPONSE_FIRST_SECONDS,
) -> None:
    pending_refund = refund.model_copy()
    refund.status, refund.booked_on = "succeeded", today().isoformat()
    repository.save(ctx.db, refund)
    charge = repository.get(ctx.db, Charge, refund.charge)
    charge.amount_refunded += refund.amount
    repository.save(ctx.db, charge)
    ledger.book(
        ctx.db,
        "refund",
        account=refund.account,
        reference=refund.reference or "",
        amount=refund.amount,
        currency=refund.currency,
        psp_id=refund.id,
        key=key,
    )
    if noisy:
        events.emit_noisily(ctx, "refund.succeeded", pending_refund, refund)
    else:
        events.emit(ctx, "refund.succeeded", refund, delays=(delay,))
