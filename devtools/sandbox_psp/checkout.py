"""The hosted checkout pages: plain HTML forms, no scripts, never cached."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from devtools.sandbox_psp import cards, repository, sessions, translations
from devtools.sandbox_psp.auth import ContextDependency
from devtools.sandbox_psp.clock import today
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.errors import PspError
from devtools.sandbox_psp.models import CheckoutSession, PaymentMethod
from devtools.sandbox_psp.money import format_amount

router = APIRouter(prefix="/checkout")

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
)
# No form-action on purpose: browsers apply it to the redirect back to the merchant, too.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


async def _load_session(id: str, ctx: ContextDependency) -> CheckoutSession | None:
    """Return the session of the URL, expired first if its time has run out."""
    try:
        session = repository.get(ctx.db, CheckoutSession, id)
        if sessions.is_expired(session):
            with ctx.db.transaction():
                sessions.expire(ctx, {"id": id})
            session = repository.get(ctx.db, CheckoutSession, id)
    except PspError:
        return None
    return session


SessionDependency = Annotated[CheckoutSession | None, Depends(_load_session)]


@router.get("/{id}")
async def get_form(session: SessionDependency) -> Response:
    """Show the card form of an open session, a notice otherwise."""
    if session is None or session.status != "open":
        return _render_notice(session)
    return _render_form(session, {}, {})


@router.post("/{id}")
async def submit_form(
    request: Request, session: SessionDependency, ctx: ContextDependency
) -> Response:
    """Handle `action=cancel`, or `action=pay` with the card fields."""
    if session is None:
        return _render_notice(None)
    # Read the form before the session: from here on nothing awaits, so no request interleaves.
    form = await _form_fields(request)
    session = repository.get(ctx.db, CheckoutSession, session.id)
    if session.status != "open":
        return _redirect(sessions.return_url(session))
    if form.get("action") == "cancel":
        with ctx.db.transaction():
            sessions.cancel(ctx, session)
        return _redirect(sessions.return_url(session))
    card, errors = cards.parse_form(form, today())
    if card is None:
        return _render_form(session, form, errors)
    with ctx.db.transaction():
        sessions.pay(ctx, session, card)
    return _redirect_after_payment(session)


@router.get("/{id}/3ds")
async def get_challenge(session: SessionDependency, ctx: ContextDependency) -> Response:
    """Show the 3-D Secure challenge, if the session has one."""
    if session is None or session.status != "open":
        return _render_notice(session)
    if session.challenged is None:
        return _redirect(f"/checkout/{session.id}")
    return _render_challenge(ctx, session)


@router.post("/{id}/3ds")
async def submit_challenge(
    request: Request, session: SessionDependency, ctx: ContextDependency
) -> Response:
    """Handle `action=confirm` or `action=fail`."""
    if session is None:
        return _render_notice(None)
    action = (await _form_fields(request)).get("action")
    session = repository.get(ctx.db, CheckoutSession, session.id)
    if session.status != "open":
        return _redirect(sessions.return_url(session))
    if session.challenged is None:
        return _redirect(f"/checkout/{session.id}")
    if action not in ("confirm", "fail"):
        return _render_challenge(ctx, session)
    with ctx.db.transaction():
        sessions.confirm(ctx, session, authenticated=action == "confirm")
    return _redirect(sessions.return_url(session))


async def _form_fields(request: Request) -> dict[str, str]:
    form = await request.form()
    return {name: value for name, value in form.items() if isinstance(value, str)}


def _redirect_after_payment(session: CheckoutSession) -> Response:
    if session.challenged is not None:
        return _redirect(f"/checkout/{session.id}/3ds")
    return _redirect(sessions.return_url(session))


def _redirect(url: str) -> Response:
    return RedirectResponse(url, 303, {"Cache-Control": "no-store"})


def _render_form(
    session: CheckoutSession, form: dict[str, str], errors: dict[str, str]
) -> Response:
    entered = {
        "card_number": form.get("card_number", ""),
        "holder": form.get("holder", (session.customer and session.customer.name) or ""),
        "expiry": form.get("expiry", ""),
    }
    status = 422 if errors else 200
    return _render_page(
        "form.html", session.language, status, session=session, typed=entered, errors=errors
    )


def _render_challenge(ctx: Context, session: CheckoutSession) -> Response:
    method = repository.get(ctx.db, PaymentMethod, session.challenged or "")
    return _render_page("challenge.html", session.language, 200, session=session, card=method.card)


def _render_notice(session: CheckoutSession | None) -> Response:
    if session is None:
        return _render_page("notice.html", None, 404, name="unknown", return_url=None)
    status = 410 if session.status == "expired" else 200
    merchant_url = sessions.return_url(session)
    return _render_page(
        "notice.html", session.language, status, name=session.status, return_url=merchant_url
    )


def _render_page(template: str, language: str | None, status: int, **values: Any) -> Response:
    lang, texts = translations.select_language(language)

    def money(amount: int, currency: str) -> str:
        return format_amount(amount, currency, lang)

    html = _templates.get_template(template).render(
        lang=lang, t=texts, money=money, test_cards=cards.TEST_CARDS, **values
    )
    return HTMLResponse(html, status, _HEADERS)
