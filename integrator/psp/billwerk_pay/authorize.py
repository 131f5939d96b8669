"""Authorizations: checkout, reservation on a stored card, migration; and their look-up."""

import re
from collections.abc import Sequence
from datetime import timedelta

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.billwerk_pay import mapping, request_bodies
from integrator.psp.billwerk_pay.client import BillwerkPayClient
from integrator.psp.billwerk_pay.wire import (
    Charge,
    PaymentMethod,
    PaymentMethods,
    Session,
    SessionInfo,
)
from integrator.psp.toolkit import time_formats
from integrator.psp.toolkit.instruments import METHOD, stored_token
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

SESSION_PREFIX = "cs_"
SESSION_LIFETIME = timedelta(hours=1)

_METHOD_ID = re.compile(r"ca_[A-Za-z0-9]{1,64}")


async def authorize(client: BillwerkPayClient, call: Authorize, methods: Sequence[str]) -> Outcome:
    """Authorize by call.

    Raises `RefusedError`, `UnsupportedRequestError` or a `PspError`.
    """
    if call.migration_token is not None:
        is_valid_id = _METHOD_ID.fullmatch(call.migration_token)
        return await _verify_stored_card(
            client, call.migration_token if is_valid_id else None, Code.InvalidData
        )
    if call.initial:
        return await _open_checkout(client, call, methods)
    token = stored_token(call)
    if not token.get(METHOD) or call.amount == 0:
        return await _verify_stored_card(client, token.get(METHOD), Code.BearerInvalid)
    body = request_bodies.charge_body(call, token, settle=False)
    charge = await client.send_reduced(client, Charge, "charge", body=body)
    return mapping.authorization_outcome(
        mapping.verify_handle(charge, call.currency, call.reference)
    )


async def fetch_authorization(client: BillwerkPayClient, lookup: Lookup) -> Outcome | None:
    """Return the outcome of a reservation by its handle, or of a hosted page."""
    session = lookup.psp_id if (lookup.psp_id or "").startswith(SESSION_PREFIX) else None
    handle = lookup.reference if session else lookup.psp_id or lookup.reference
    charge = await client.get(Charge, "charge", handle)
    if charge is not None:
        mapping.verify_handle(charge, lookup.currency, handle)
        if charge.state not in ("created", "failed"):
            return mapping.authorization_outcome(charge)
    if session is not None:
        page = await client.checkout.get(SessionInfo, "session_info", session)
    else:
        pages = await client.checkout.list_sessions("charge" if charge else "customer", handle)
        page = max(pages, key=lambda session: session.expires, default=None)
    session_id = session or (page.id if page else None)
    if charge is None and session_id is not None:
        card = await _find_card_of_session(client, lookup.reference, session_id)
        if card is not None:
            return _stored_card_outcome(card, Code.BearerInvalid)
    return _unfinished_outcome(charge, page, session)


def _unfinished_outcome(
    charge: Charge | None, page: SessionInfo | None, session: str | None
) -> Outcome | None:
    """Return the outcome without reservation or stored card.

    While the page is open a declined card is not final: the customer may use another one.
    """
    if page is not None and page.expires > time_formats.now():
        return RedirectRequired(psp_id=page.id, url=page.url, expires_at=page.expires)
    if charge is not None and charge.state == "failed":
        return mapping.authorization_outcome(charge)
    if page is not None:
        return mapping.ended_outcome(page.id, Status.Expired)
    if charge is None:
        return None
    # A page that no longer exists was closed; without a page the reservation is in progress.
    return (
        mapping.ended_outcome(session, Status.Cancelled)
        if session
        else mapping.authorization_outcome(charge)
    )


async def _open_checkout(
    client: BillwerkPayClient, call: Authorize, methods: Sequence[str]
) -> Outcome:
    message = "A checkout needs the return URLs for success and for abort."
    require(call.success_url and call.abort_url, Code.InvalidData, message)
    body = request_bodies.session_body(call, methods, SESSION_LIFETIME)
    if call.amount:
        body |= {"order": request_bodies.order_body(call), "settle": False, "recurring": True}
    else:
        body |= {"currency": call.currency, "create_customer": request_bodies.customer_body(call)}
    kind = "charge" if call.amount else "recurring"
    session = await client.send_reduced(client.checkout, Session, "session", kind, body=body)
    page = await client.checkout.get_required(SessionInfo, "session_info", session.id)
    return RedirectRequired(psp_id=session.id, url=session.url, expires_at=page.expires)


async def _verify_stored_card(
    client: BillwerkPayClient, id: str | None, missing_code: Code
) -> Outcome:
    """Check that the stored card can be charged later; nothing is reserved."""
    method = await client.get(PaymentMethod, "payment_method", id) if id else None
    return _stored_card_outcome(method, missing_code)


async def _find_card_of_session(
    client: BillwerkPayClient, customer: str, session: str
) -> PaymentMethod | None:
    methods = await client.get(PaymentMethods, "customer", customer, "payment_method")
    cards = methods.cards if methods else []
    return next((card for card in cards if card.reference == session), None)


def _stored_card_outcome(method: PaymentMethod | None, missing_code: Code) -> Outcome:
    if method is not None and method.state == "pending":
        return Pending(psp_id=None)
    if method is None or method.state != "active":
        return Declined(
            code=missing_code, message="The card is not, or no longer, active at the PSP."
        )
    # The id is a token and not disclosed.
    return Approved(psp_id=None, instrument=mapping.method_instrument(method))
