"""The hosted checkout pages: plain HTML forms, no scripts, nothing cached."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from devtools.sandbox_psp import cards, repository, sessions, translations
from devtools.sandbox_psp.auth import InContext
from devtools.sandbox_psp.clock import today
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.errors import PspError
from devtools.sandbox_psp.models import CheckoutSession, PaymentMethod
from devtools.sandbox_psp.money import display

router = APIRouter(prefix="/checkout")

_pages = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
)
# No form-action on purpose: browsers apply it to the redirect that leads back to the merchant.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


async def _session(id: str, ctx: InContext) -> CheckoutSession | None:
    """The session of the address, brought to its end if its time has run out."""
    try:
        session = repository.get(ctx.db, CheckoutSession, id)
        if sessions.is_over(session):
            with ctx.db.transaction():
                sessions.expire(ctx, {"id": id})
            session = repository.get(ctx.db, CheckoutSession, id)
    except PspError:
        return None
    return session


Visited = Annotated[CheckoutSession | None, Depends(_session)]


@router.get("/{id}")
async def show_form(session: Visited) -> Response:
    """The card form of an open session, a notice otherwise."""
    if session is None or session.status != "open":
        return _notice(session)
    return _form(session, {}, {})


@router.post("/{id}")
async def submit(request: Request, session: Visited, ctx: InContext) -> Response:
    """`action=cancel`, or `action=pay` with the card fields."""
    if session is None:
        return _notice(None)
    # Read before looking at the session again: from here on nothing else can come in between.
    form = await _fields(request)
    session = repository.get(ctx.db, CheckoutSession, session.id)
    if session.status != "open":
        return _redirect(sessions.way_back(session))
    if form.get("action") == "cancel":
        with ctx.db.transaction():
            sessions.cancel(ctx, session)
        return _redirect(sessions.way_back(session))
    card, errors = cards.read_form(form, today())
    if card is None:
        return _form(session, form, errors)
    with ctx.db.transaction():
        sessions.pay(ctx, session, card)
    return _onward(session)


@router.get("/{id}/3ds")
async def show_challenge(session: Visited, ctx: InContext) -> Response:
    """The 3-D Secure question, if there is one to answer."""
    if session is None or session.status != "open":
        return _notice(session)
    if session.challenged is None:
        return _redirect(f"/checkout/{session.id}")
    return _challenge(ctx, session)


@router.post("/{id}/3ds")
async def answer_challenge(request: Request, session: Visited, ctx: InContext) -> Response:
    """`action=confirm` or `action=fail`."""
    if session is None:
        return _notice(None)
    action = (await _fields(request)).get("action")
    session = repository.get(ctx.db, CheckoutSession, session.id)
    if session.status != "open":
        return _redirect(sessions.way_back(session))
    if session.challenged is None:
        return _redirect(f"/checkout/{session.id}")
    if action not in ("confirm", "fail"):
        return _challenge(ctx, session)
    with ctx.db.transaction():
        sessions.confirm(ctx, session, authenticated=action == "confirm")
    return _redirect(sessions.way_back(session))


async def _fields(request: Request) -> dict[str, str]:
    form = await request.form()
    return {name: value for name, value in form.items() if isinstance(value, str)}


def _onward(session: CheckoutSession) -> Response:
    if session.challenged is not None:
        return _redirect(f"/checkout/{session.id}/3ds")
    return _redirect(sessions.way_back(session))


def _redirect(url: str) -> Response:
    return RedirectResponse(url, 303, {"Cache-Control": "no-store"})


def _form(session: CheckoutSession, form: dict[str, str], errors: dict[str, str]) -> Response:
    typed = {
        "card_number": form.get("card_number", ""),
        "holder": form.get("holder", (session.customer and session.customer.name) or ""),
        "expiry": form.get("expiry", ""),
    }
    status = 422 if errors else 200
    return _page("form.html", session.language, status, session=session, typed=typed, errors=errors)


def _challenge(ctx: Context, session: CheckoutSession) -> Response:
    method = repository.get(ctx.db, PaymentMethod, session.challenged or "")
    return _page("challenge.html", session.language, 200, session=session, card=method.card)


def _notice(session: CheckoutSession | None) -> Response:
    if session is None:
        return _page("notice.html", None, 404, name="unknown", way_back=None)
    status = 410 if session.status == "expired" else 200
    back = sessions.way_back(session)
    return _page("notice.html", session.language, status, name=session.status, way_back=back)


def _page(template: str, language: str | None, status: int, **values: Any) -> Response:
    lang, t = translations.choose(language)

    def money(amount: int, currency: str) -> str:
        return display(amount, currency, lang)

    html = _pages.get_template(template).render(
        lang=lang, t=t, money=money, test_cards=cards.TEST_CARDS, **values
    )
    return HTMLResponse(html, status, _HEADERS)
