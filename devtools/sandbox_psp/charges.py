"""Taking money: charges of stored methods, captures of authorizations, and what becomes of them."""

from typing import Any, Literal

from devtools.sandbox_psp import bank_accounts, events, jobs, ledger, magic_amounts, repository
from devtools.sandbox_psp.authorizations import check_currency, declined
from devtools.sandbox_psp.clock import iso, now_ms, today
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.errors import invalid
from devtools.sandbox_psp.idempotency import Answer, answer
from devtools.sandbox_psp.ids import new_id
from devtools.sandbox_psp.magic_amounts import Plan
from devtools.sandbox_psp.models import Authorization, Charge, Chargeback, Failure, PaymentMethod
from devtools.sandbox_psp.money import exponent

_CHARGEBACK_FEE = 350
_DEBIT_REASON = ("AM04", "Account not covered")
_CARD_REASON = ("10.4", "Other fraud: card absent environment")


def charge(
    ctx: Context, method: PaymentMethod, made: Charge, key: str, plan: Plan | None = None
) -> Answer:
    """Take money from a stored card or a mandate; steered by the amount's ending, or by `plan`."""
    check_currency(method, made.currency)
    if plan is not None:
        return _place(ctx, made, plan, key)
    if method.sepa_debit is not None:
        of_bank = bank_accounts.plan(method.sepa_debit.iban)
        return _place(ctx, made, magic_amounts.plan(made.amount, made.currency, debit=of_bank), key)
    if method.decline is not None:
        return _place(ctx, made, Plan("declined", method.decline), key)
    return _place(ctx, made, magic_amounts.plan(made.amount, made.currency), key)


def capture(
    ctx: Context,
    authorization: Authorization,
    *,
    reference: str,
    amount: int,
    key: str | None,
    plan: Plan | None = None,
    id: str | None = None,
) -> Answer:
    """Take authorized money, once; `plan` overrides what the amount's ending would do.

    `id` is a dialect's.
    """
    if authorization.status != "authorized":
        raise invalid("invalid_state", f"The authorization is {authorization.status}.")
    if amount > authorization.amount:
        raise invalid("amount_too_large", "More than was authorized cannot be captured.")
    made = new_charge(
        account=authorization.account,
        reference=reference,
        amount=amount,
        currency=authorization.currency,
        payment_method=authorization.payment_method,
    )
    made.authorization = authorization.id
    made.id = id or made.id
    plan = plan or magic_amounts.plan(amount, authorization.currency)
    if plan.status != "declined":
        _mark(ctx, authorization, "captured", amount)
    return _place(ctx, made, plan, key)


def new_charge(
    *, account: str, reference: str, amount: int, currency: str, payment_method: str
) -> Charge:
    """A charge of which nothing is decided yet."""
    return Charge(
        id=new_id("ch"),
        account=account,
        reference=reference,
        status="pending",
        amount=amount,
        currency=currency,
        payment_method=payment_method,
        created_at=iso(now_ms()),
    )


def refundable(ctx: Context, made: Charge) -> int:
    """What is left of a charge: less refunds, also pending ones, and chargebacks."""
    returned = sum(r.amount for r in repository.refunds_of(ctx.db, made) if r.status != "failed")
    return made.amount - returned - sum(c.amount for c in made.chargebacks)


def settle(ctx: Context, job: dict[str, Any]) -> None:
    """A pending charge becomes what its plan says."""
    made = repository.get(ctx.db, Charge, job["id"])
    if made.status != "pending":
        return
    if job["failure"] is None:
        plan = Plan(charged_back=job["charged_back"], noisy=job["noisy"])
        _succeed(ctx, made, plan, job["key"], delay=0)
        return
    made.status, made.failure = "failed", Failure.model_validate(job["failure"])
    repository.save(ctx.db, made)
    if made.authorization is not None:
        authorization = repository.get(ctx.db, Authorization, made.authorization)
        _mark(ctx, authorization, "authorized", 0)
    events.emit(ctx, "charge.failed", made, delays=(0,))


def charge_back(ctx: Context, job: dict[str, Any]) -> None:
    """The payer's bank takes back what is left of a charge, all of it, or the amount named."""
    made = repository.get(ctx.db, Charge, job["id"])
    amount = _returned(ctx, made) if job["amount"] is None else job["amount"]
    if amount == 0:
        return
    method = repository.method(ctx.db, made.account, made.payment_method)
    reason = _CARD_REASON if method.sepa_debit is None else _DEBIT_REASON
    taken = Chargeback(
        id=new_id("cb"),
        amount=amount,
        fee_amount=_CHARGEBACK_FEE if exponent(made.currency) == 2 else 0,
        booked_on=today().isoformat(),
        reason_code=reason[0],
        reason_message=reason[1],
    )
    made.chargebacks.append(taken)
    repository.save(ctx.db, made)
    _book(ctx, "chargeback", made, amount, taken.id, None)
    events.emit(ctx, "charge.charged_back", made, delays=(0,))


def _returned(ctx: Context, made: Charge) -> int:
    if made.extra.get("returned_in_full"):
        return 0 if made.chargebacks else made.amount
    return refundable(ctx, made)


def _place(ctx: Context, made: Charge, plan: Plan, key: str | None) -> Answer:
    if plan.status == "succeeded":
        _succeed(ctx, made, plan, key)
    elif plan.status == "pending":
        repository.save(ctx.db, made)
        events.emit(ctx, "charge.pending", made)
        jobs.schedule(ctx, "settle_charge", ctx.settings.settle_seconds, _job(made, plan, key))
    elif plan.failure is not None:
        made.status, made.failure = "declined", plan.failure
        repository.save(ctx.db, made)
        events.emit(ctx, "charge.failed", made)
        return declined(repository.show(ctx.db, made), plan.failure)
    return answer(201, repository.show(ctx.db, made))


def _job(made: Charge, plan: Plan, key: str | None) -> dict[str, Any]:
    return {
        "id": made.id,
        "failure": plan.failure and plan.failure.model_dump(),
        "charged_back": plan.charged_back,
        "noisy": plan.noisy,
        "key": key,
    }


def _succeed(
    ctx: Context,
    made: Charge,
    plan: Plan,
    key: str | None,
    delay: float = events.ANSWER_FIRST_SECONDS,
) -> None:
    before = made.model_copy()
    made.status, made.booked_on = "succeeded", today().isoformat()
    repository.save(ctx.db, made)
    kind: ledger.Kind = "charge" if made.authorization is None else "capture"
    _book(ctx, kind, made, made.amount, made.id, key)
    if plan.noisy:
        events.emit_noisily(ctx, "charge.succeeded", before, made)
    else:
        events.emit(ctx, "charge.succeeded", made, delays=(delay,))
    if plan.charged_back:
        job = {"id": made.id, "amount": None}
        jobs.schedule(ctx, "charge_back", ctx.settings.settle_seconds, job)


def _mark(
    ctx: Context,
    authorization: Authorization,
    status: Literal["authorized", "captured"],
    captured: int,
) -> None:
    authorization.status, authorization.amount_captured = status, captured
    repository.save(ctx.db, authorization)


def _book(
    ctx: Context, kind: ledger.Kind, made: Charge, amount: int, psp_id: str, key: str | None
) -> None:
    ledger.book(
        ctx.db,
        kind,
        account=made.account,
        reference=made.reference or "",
        amount=amount,
        currency=made.currency,
        psp_id=psp_id,
        key=key,
    )
