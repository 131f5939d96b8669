"""Hold money on a card and release it."""

from typing import Any

from devtools.sandbox_psp import events, jobs, ledger, repository, serializers
from devtools.sandbox_psp.clock import now_ms, time_after, to_iso
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.errors import PspError, invalid_request
from devtools.sandbox_psp.idempotency import ApiResponse, json_response
from devtools.sandbox_psp.ids import new_id
from devtools.sandbox_psp.models import Authorization, Failure, PaymentMethod

_LIFETIME_SECONDS = 7 * 24 * 3600


def declined_response(body: dict[str, Any], failure: Failure) -> ApiResponse:
    """Return 402 with the reason and the declined object."""
    error = PspError(402, "card_error", failure.code, failure.message)
    return json_response(402, {**error.body(), "object": body})


def check_currency(method: PaymentMethod, currency: str) -> None:
    """Raise PspError 400 for a payment method that is bound to another currency."""
    if method.currency not in (None, currency):
        message = f"This payment method takes {method.currency} only."
        raise invalid_request("currency_mismatch", message)


def create_authorization(
    ctx: Context,
    method: PaymentMethod,
    *,
    reference: str,
    amount: int,
    currency: str,
    key: str | None,
    id: str | None = None,
) -> Authorization:
    """Create an authorization, declined if the card's issuer does; `id` comes from an emulator."""
    if method.type != "card":
        raise invalid_request("payment_method_not_supported", "Only cards can be authorized.")
    check_currency(method, currency)
    authorization = Authorization(
        id=id or new_id("auth"),
        account=method.account,
        reference=reference,
        status="authorized" if method.decline is None else "declined",
        amount=amount,
        currency=currency,
        expires_at=to_iso(time_after(_LIFETIME_SECONDS)),
        payment_method=method.id,
        failure=method.decline,
        created_at=to_iso(now_ms()),
    )
    repository.save(ctx.db, authorization)
    if authorization.status == "authorized":
        _book(ctx, "authorize", authorization, reference, key)
        events.emit(ctx, "authorization.authorized", authorization)
        jobs.schedule(ctx, "expire_authorization", _LIFETIME_SECONDS, {"id": authorization.id})
    return authorization


def authorize(
    ctx: Context, method: PaymentMethod, *, reference: str, amount: int, currency: str, key: str
) -> ApiResponse:
    """Authorize off session and return the response."""
    authorization = create_authorization(
        ctx, method, reference=reference, amount=amount, currency=currency, key=key
    )
    body = serializers.serialize(ctx.db, authorization)
    return (
        json_response(201, body)
        if authorization.failure is None
        else declined_response(body, authorization.failure)
    )


def void(ctx: Context, authorization: Authorization, *, reference: str, key: str) -> ApiResponse:
    """Release the money. A second void changes nothing; PspError 409 if it is no longer held."""
    if authorization.status not in ("authorized", "voided"):
        message = f"The authorization is {authorization.status}."
        raise invalid_request("invalid_state", message, status=409)
    if authorization.status == "authorized":
        authorization.status = "voided"
        repository.save(ctx.db, authorization)
        _book(ctx, "void", authorization, reference, key)
        events.emit(ctx, "authorization.voided", authorization)
    return json_response(200, serializers.serialize(ctx.db, authorization))


def expire(ctx: Context, job: dict[str, Any]) -> None:
    """Expire an authorization that was neither captured nor voided."""
    authorization = repository.get(ctx.db, Authorization, job["id"])
    if authorization.status == "authorized":
        authorization.status = "expired"
        repository.save(ctx.db, authorization)
        events.emit(ctx, "authorization.expired", authorization)


def _book(
    ctx: Context,
    kind: ledger.EntryKind,
    authorization: Authorization,
    reference: str,
    key: str | None,
) -> None:
    ledger.book(
        ctx.db,
        kind,
        account=authorization.account,
        reference=reference,
        amount=authorization.amount,
        currency=authorization.currency,
        psp_id=authorization.id,
        key=key,
    )
