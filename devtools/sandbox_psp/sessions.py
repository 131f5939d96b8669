"""Checkout sessions: each ends at most once."""

from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from devtools.sandbox_psp import (
    authorizations,
    cards,
    events,
    jobs,
    payment_methods,
    repository,
    serializers,
)
from devtools.sandbox_psp.cards import Card
from devtools.sandbox_psp.clock import now_ms, time_after, to_iso
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.errors import invalid_request
from devtools.sandbox_psp.idempotency import ApiResponse, json_response
from devtools.sandbox_psp.ids import new_id
from devtools.sandbox_psp.models import CheckoutSession, Failure, PaymentMethod
from devtools.sandbox_psp.requests import SessionRequest

EndStatus = Literal["completed", "failed", "cancelled", "expired"]


def create(
    ctx: Context,
    account: str,
    body: SessionRequest,
    base: str,
    *,
    id: str | None = None,
    extra: dict[str, Any] | None = None,
) -> ApiResponse:
    """Open a session; `base` is the URL, with a trailing slash, under which the PSP was called.

    `id` and `extra` come from an emulator.
    """
    id = id or new_id("cs")
    session = CheckoutSession(
        id=id,
        account=account,
        url=f"{base}checkout/{id}",
        expires_at=to_iso(time_after(ctx.settings.session_seconds)),
        created_at=to_iso(now_ms()),
        extra=extra or {},
        **body.model_dump(),
    )
    repository.save(ctx.db, session)
    jobs.schedule(ctx, "expire_session", ctx.settings.session_seconds, {"id": id})
    return json_response(201, serializers.serialize(ctx.db, session))


def is_expired(session: CheckoutSession) -> bool:
    """Return whether an open session's time has run out, even if its expiry job has not run yet."""
    return session.status == "open" and datetime.fromisoformat(
        session.expires_at
    ) <= datetime.fromisoformat(to_iso(now_ms()))


def pay(ctx: Context, session: CheckoutSession, card: Card) -> None:
    """Pay with a card: ends the session, or asks for 3-D Secure first (`challenged` is set)."""
    if (decline := card.decline()) is not None:
        _finish(ctx, session, "failed", decline)
        return
    method = payment_methods.store_card(ctx, session.account, card, None)
    if card.number == cards.THREE_D_SECURE:
        session.challenged = method.id
        repository.save(ctx.db, session)
        return
    _complete(ctx, session, method)


def confirm(ctx: Context, session: CheckoutSession, *, authenticated: bool) -> None:
    """Apply the customer's answer to the 3-D Secure challenge of a session."""
    if not authenticated or session.challenged is None:
        _finish(ctx, session, "failed", cards.AUTHENTICATION_FAILED)
        return
    _complete(ctx, session, repository.get(ctx.db, PaymentMethod, session.challenged))


def cancel(ctx: Context, session: CheckoutSession) -> None:
    """Cancel the session for the customer."""
    _finish(ctx, session, "cancelled")


def close(ctx: Context, session: CheckoutSession) -> ApiResponse:
    """Cancel an open session for the merchant; PspError 409 once it ended in another way."""
    if session.status not in ("open", "cancelled"):
        raise invalid_request("invalid_state", f"The session is {session.status}.", status=409)
    if session.status == "open":
        _finish(ctx, session, "cancelled")
    return json_response(200, serializers.serialize(ctx.db, session))


def expire(ctx: Context, job: dict[str, Any]) -> None:
    """Expire the session if it is still open."""
    session = repository.get(ctx.db, CheckoutSession, job["id"])
    if session.status == "open":
        _finish(ctx, session, "expired")


def return_url(session: CheckoutSession) -> str:
    """Return the merchant's URL for the session's end, with `session` in the query."""
    target = {"completed": session.success_url, "cancelled": session.cancel_url}.get(
        session.status, session.error_url
    )
    parts = urlsplit(target)
    # Appended as text: the merchant's own query must stay exactly as it is.
    query = f"{parts.query}&session={session.id}" if parts.query else f"session={session.id}"
    return urlunsplit(parts._replace(query=query))


def _complete(ctx: Context, session: CheckoutSession, method: PaymentMethod) -> None:
    session.payment_method = method.id
    if session.mode == "authorize":
        authorization = authorizations.create_authorization(
            ctx,
            method,
            reference=session.reference or "",
            amount=session.amount,
            currency=session.currency,
            key=None,
        )
        session.authorization = authorization.id
    _finish(ctx, session, "completed")


def _finish(
    ctx: Context, session: CheckoutSession, status: EndStatus, failure: Failure | None = None
) -> None:
    session.status, session.failure, session.challenged = status, failure, None
    repository.save(ctx.db, session)
    events.emit(ctx, f"checkout_session.{status}", session)
