"""The ways an agreement begins or gets a new reservation, and what becomes of a hosted page."""

import re
from collections.abc import Sequence
from datetime import timedelta

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.billwerk_pay import mapping, request_bodies
from integrator.psp.billwerk_pay.client import Client
from integrator.psp.billwerk_pay.wire import (
    Charge,
    PaymentMethod,
    PaymentMethods,
    Session,
    SessionInfo,
)
from integrator.psp.toolkit import time_formats
from integrator.psp.toolkit.instruments import METHOD, stored
from integrator.psp.toolkit.outcomes import require
from integrator.psp.types import (
    Approved,
    Authorize,
    Declined,
    Lookup,
    Outcome,
    Pending,
    RedirectRequired,
)

SESSION = "cs_"
TTL = timedelta(hours=1)

_METHOD_ID = re.compile(r"ca_[A-Za-z0-9]{1,64}")


async def authorize(client: Client, call: Authorize, methods: Sequence[str]) -> Outcome:
    """Choose the way. Raises `RefusedError`, `ImpossibleError` or a `PspError`."""
    if call.migration_token is not None:
        known = _METHOD_ID.fullmatch(call.migration_token)
        return await _stored(client, call.migration_token if known else None, Code.InvalidData)
    if call.initial:
        return await _checkout(client, call, methods)
    token = stored(call)
    if METHOD not in token or call.amount == 0:
        return await _stored(client, token.get(METHOD), Code.BearerInvalid)
    body = request_bodies.charge_body(call, token, settle=False)
    charge = await client.ask(Charge, "POST", "charge", body=body)
    return mapping.authorization(mapping.ours(charge, call.currency, call.reference))


async def fetch(client: Client, lookup: Lookup) -> Outcome | None:
    """A reservation by its handle, or what a hosted page has come to."""
    session = lookup.psp_id if (lookup.psp_id or "").startswith(SESSION) else None
    handle = lookup.reference if session else lookup.psp_id or lookup.reference
    charge = await client.get(Charge, "charge", handle)
    if charge is not None:
        mapping.ours(charge, lookup.currency, handle)
        if charge.state not in ("created", "failed"):
            return mapping.authorization(charge)
    if session is not None:
        page = await client.checkout.get(SessionInfo, "session_info", session)
    else:
        pages = await client.checkout.sessions("charge" if charge else "customer", handle)
        page = max(pages, key=lambda one: one.expires, default=None)
    stored_at = session or (page.id if page else None)
    if charge is None and stored_at is not None:
        card = await _stored_by(client, lookup.reference, stored_at)
        if card is not None:
            return _usable(card, Code.BearerInvalid)
    return _unpaid(charge, page, session)


def _unpaid(charge: Charge | None, page: SessionInfo | None, session: str | None) -> Outcome | None:
    """While the page is open a declined card decides nothing: there may be another one."""
    if page is not None and page.expires > time_formats.now():
        return RedirectRequired(psp_id=page.id, url=page.url, expires_at=page.expires)
    if charge is not None and charge.state == "failed":
        return mapping.authorization(charge)
    if page is not None:
        return mapping.ended(page.id, Status.Expired)
    if charge is None:
        return None
    # A page that is gone was closed; without one this is a reservation under way.
    return mapping.ended(session, Status.Cancelled) if session else mapping.authorization(charge)


async def _checkout(client: Client, call: Authorize, methods: Sequence[str]) -> Outcome:
    message = "A checkout needs the return URLs for success and for abort."
    require(call.success_url and call.abort_url, Code.InvalidData, message)
    body = request_bodies.session_body(call, methods, TTL)
    if call.amount:
        body |= {"order": request_bodies.order(call), "settle": False, "recurring": True}
    else:
        body |= {"currency": call.currency, "create_customer": request_bodies.customer(call)}
    kind = "charge" if call.amount else "recurring"
    opened = await client.checkout.ask(Session, "POST", "session", kind, body=body)
    page = await client.checkout.require(SessionInfo, "session_info", opened.id)
    return RedirectRequired(psp_id=opened.id, url=opened.url, expires_at=page.expires)


async def _stored(client: Client, id: str | None, missing: Code) -> Outcome:
    """Nothing to reserve: the stored card only has to be good for later."""
    method = await client.get(PaymentMethod, "payment_method", id) if id else None
    return _usable(method, missing)


async def _stored_by(client: Client, customer: str, session: str) -> PaymentMethod | None:
    found = await client.get(PaymentMethods, "customer", customer, "payment_method")
    cards = found.cards if found else []
    return next((card for card in cards if card.reference == session), None)


def _usable(method: PaymentMethod | None, missing: Code) -> Outcome:
    if method is not None and method.state == "pending":
        return Pending(psp_id=None)
    if method is None or method.state != "active":
        return Declined(code=missing, message="The card is not, or no longer, active at the PSP.")
    # The id is a token and stays inside.
    return Approved(psp_id=None, instrument=mapping.method_instrument(method))
