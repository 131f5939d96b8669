"""Giving money back."""

from typing import Any

from devtools.sandbox_psp import events, jobs, ledger, magic_amounts, repository
from devtools.sandbox_psp.authorizations import declined
from devtools.sandbox_psp.charges import refundable
from devtools.sandbox_psp.clock import iso, now_ms, today
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.errors import invalid
from devtools.sandbox_psp.idempotency import Answer, answer
from devtools.sandbox_psp.ids import new_id
from devtools.sandbox_psp.magic_amounts import Plan
from devtools.sandbox_psp.models import Charge, Failure, Refund


def refund(
    ctx: Context,
    charge: Charge,
    *,
    reference: str,
    amount: int,
    key: str | None,
    description: str | None = None,
    plan: Plan | None = None,
    id: str | None = None,
    extra: dict[str, Any] | None = None,
) -> Answer:
    """Give back part of a charge; `plan` overrides what the amount's ending would do.

    `id` and `extra` are a dialect's.
    """
    if charge.status != "succeeded":
        raise invalid("invalid_state", f"The charge is {charge.status}.")
    if amount > refundable(ctx, charge):
        raise invalid("amount_too_large", "More than is left of the charge cannot be refunded.")
    made = Refund(
        id=id or new_id("re"),
        account=charge.account,
        reference=reference,
        status="pending",
        charge=charge.id,
        amount=amount,
        currency=charge.currency,
        description=description,
        created_at=iso(now_ms()),
        extra=extra or {},
    )
    return _place(ctx, made, plan or magic_amounts.plan(amount, charge.currency), key)


def settle(ctx: Context, job: dict[str, Any]) -> None:
    """A pending refund becomes what its plan says."""
    made = repository.get(ctx.db, Refund, job["id"])
    if made.status != "pending":
        return
    if job["failure"] is None:
        _succeed(ctx, made, job["key"], noisy=False, delay=0)
        return
    made.status, made.failure = "failed", Failure.model_validate(job["failure"])
    repository.save(ctx.db, made)
    events.emit(ctx, "refund.failed", made, delays=(0,))


def _place(ctx: Context, made: Refund, plan: Plan, key: str | None) -> Answer:
    if plan.status == "succeeded":
        _succeed(ctx, made, key, noisy=plan.noisy)
    elif plan.status == "pending":
        repository.save(ctx.db, made)
        events.emit(ctx, "refund.pending", made)
        failure = plan.failure and plan.failure.model_dump()
        job = {"id": made.id, "failure": failure, "key": key}
        jobs.schedule(ctx, "settle_refund", ctx.settings.settle_seconds, job)
    elif plan.failure is not None:
        made.status, made.failure = "failed", plan.failure
        repository.save(ctx.db, made)
        events.emit(ctx, "refund.failed", made)
        return declined(repository.show(ctx.db, made), plan.failure)
    return answer(201, repository.show(ctx.db, made))


def _succeed(
    ctx: Context,
    made: Refund,
    key: str | None,
    *,
    noisy: bool,
    delay: float = events.ANSWER_FIRST_SECONDS,
) -> None:
    before = made.model_copy()
    made.status, made.booked_on = "succeeded", today().isoformat()
    repository.save(ctx.db, made)
    charge = repository.get(ctx.db, Charge, made.charge)
    charge.amount_refunded += made.amount
    repository.save(ctx.db, charge)
    ledger.book(
        ctx.db,
        "refund",
        account=made.account,
        reference=made.reference or "",
        amount=made.amount,
        currency=made.currency,
        psp_id=made.id,
        key=key,
    )
    if noisy:
        events.emit_noisily(ctx, "refund.succeeded", before, made)
    else:
        events.emit(ctx, "refund.succeeded", made, delays=(delay,))
