"""The hosted page: a form for the bank account and, if the scheme needs it, the identity number.

Fields: `holder`, `iban`, `email`, `swedish_identity_number` or `danish_identity_number`, and
`action` = `confirm` or `exit`.
"""

from datetime import datetime
from html import escape
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from devtools.sandbox_psp import repository
from devtools.sandbox_psp.auth import ContextDependency
from devtools.sandbox_psp.clock import now_ms, to_iso
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.gocardless.models import IDENTITY_FIELDS, BillingRequest, Flow
from devtools.sandbox_psp.emulators.gocardless.operations import mandates
from devtools.sandbox_psp.errors import PspError

router = APIRouter(prefix="/flow")

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<link rel="stylesheet" href="/static/checkout.css"></head><body>
<p class="banner" role="note"><strong>Sandbox – no real money is moved.</strong></p>
<main><section><h1>{title}</h1>{content}</section></main></body></html>"""
_FIELD = (
    '<p><label for="{name}">{label}</label> <input id="{name}" name="{name}" value="{value}"></p>'
)
_LABELS = {"holder": "Account holder", "iban": "IBAN", "email": "E-mail"}


class FlowVisit:
    """A visit to an existing hosted page, with its billing request."""

    def __init__(self, ctx: Context, flow: Flow) -> None:
        self.ctx, self.flow = ctx, flow

    @property
    def billing_request(self) -> BillingRequest:
        """Return the current billing request."""
        return repository.get(self.ctx.db, BillingRequest, self.flow.billing_request)

    @property
    def is_open(self) -> bool:
        """Return whether the payer can still use the page."""
        unexpired = datetime.fromisoformat(self.flow.expires_at) > datetime.fromisoformat(
            to_iso(now_ms())
        )
        return unexpired and self.billing_request.status in ("pending", "ready_to_fulfil")


async def _load_visit(id: str, ctx: ContextDependency) -> FlowVisit | None:
    try:
        return FlowVisit(ctx, repository.get(ctx.db, Flow, id))
    except PspError:
        return None


VisitDependency = Annotated[FlowVisit | None, Depends(_load_visit)]


@router.get("/{id}")
async def get_form(visit: VisitDependency) -> Response:
    """Show the form of an open request, a notice otherwise."""
    if visit is None or not visit.is_open:
        return _render_notice(404 if visit is None else 410)
    return _render_form(visit, visit.flow.prefilled, None)


@router.post("/{id}")
async def submit_form(request: Request, visit: VisitDependency) -> Response:
    """Handle `action=exit`, which keeps the request open, or `confirm`, which signs the mandate."""
    if visit is None:
        return _render_notice(404)
    form = {name: str(value) for name, value in (await request.form()).items()}
    if form.get("action") == "exit":
        return _redirect(visit.flow.exit_uri or visit.flow.redirect_uri, "cancel")
    if not visit.is_open:
        return _render_notice(410)
    try:
        with visit.ctx.db.transaction():
            mandates.complete_hosted_page(visit.ctx, visit.billing_request, form)
    except PspError as refusal:
        return _render_form(visit, form, refusal.message)
    return _redirect(visit.flow.redirect_uri, "success")


def _redirect(target: str, outcome: str) -> Response:
    joint = "&" if "?" in target else "?"
    return RedirectResponse(f"{target}{joint}outcome={outcome}", 303, {"Cache-Control": "no-store"})


def _render_form(visit: FlowVisit, entered: dict[str, str], error_message: str | None) -> Response:
    labels = dict(_LABELS)
    if visit.billing_request.scheme in IDENTITY_FIELDS:
        labels[IDENTITY_FIELDS[visit.billing_request.scheme]] = "Identity number"
    fields = "".join(
        _FIELD.format(name=name, label=label, value=escape(entered.get(name) or ""))
        for name, label in labels.items()
    )
    warning = f'<p class="error">{escape(error_message)}</p>' if error_message else ""
    buttons = (
        '<button name="action" value="confirm">Give the mandate</button> '
        '<button name="action" value="exit">Go back</button>'
    )
    content = f'{warning}<form method="post">{fields}{buttons}</form>'
    html = _PAGE.format(title="Direct debit mandate", content=content)
    return HTMLResponse(html, 422 if error_message else 200, _HEADERS)


def _render_notice(status: int) -> Response:
    html = _PAGE.format(title="This page is no longer in use", content="")
    return HTMLResponse(html, status, _HEADERS)
