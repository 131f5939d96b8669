"""What Stripe lists: its events, and everything made in a time window.

Stripe's lists run from new to old. Captures are listed by the movements they cause on the balance,
because a captured charge is as old as its reservation.
"""

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from integrator.psp.errors import ProtocolError
from integrator.psp.stripe import mapping, notifications
from integrator.psp.stripe.client import StripeClient
from integrator.psp.stripe.money import to_major
from integrator.psp.stripe.payment_intents import INTENT_EXPAND
from integrator.psp.stripe.wire import (
    Capture,
    Charge,
    Listed,
    Page,
    PaymentIntent,
    Refund,
    WireObject,
)
from integrator.psp.toolkit import time_formats
from integrator.psp.toolkit.pagination import Part, event_page, movement_page
from integrator.psp.toolkit.time_formats import moment
from integrator.psp.types import Approved, EventPage, Movement, MovementKind, MovementPage

T = TypeVar("T", bound=WireObject)

EVENTS_ARE_KEPT = timedelta(days=31)
"""A day more than Stripe promises."""

_WANTED: dict[str, Any] = {"types": sorted(notifications.RELEVANT)}
_EXPAND = {
    "payment_intents": INTENT_EXPAND,
    "balance_transactions": ("source.payment_intent",),
    "refunds": ("payment_intent", "balance_transaction"),
}
_ONLY = {"balance_transactions": {"type": "charge"}}
_MOVED = ("processing", "requires_capture", "succeeded", "canceled")


async def events(client: StripeClient, cursor: str | None) -> EventPage:
    """A page of the event list, oldest first; the cursor is the id of its newest event."""
    try:
        page, more = await _newer(client, cursor) if cursor else await _oldest(client)
    except ProtocolError as error:
        if cursor is None or error.psp_code != "resource_missing":
            raise
        # Stripe has forgotten the event we stopped at: all that is left is newer.
        page, more = await _oldest(client)
    if not page.data:
        return EventPage(cursor=cursor)
    entries = [entry.model_dump(mode="json") for entry in reversed(page.data)]
    return event_page(entries, notifications.read, cursor=page.data[0].id, more=more)


async def movements(
    client: StripeClient, since: datetime, until: datetime, cursor: str | None
) -> MovementPage:
    """A page of a window; the cursor names the list and the place in it.

    Stripe counts in whole seconds, so that a window begins and ends a little outside.
    """
    span = {"gte": math.floor(since.timestamp()), "lt": math.ceil(until.timestamp())}

    async def part(
        path: str, model: type[T], movement: Callable[[T], Movement | None], after: str | None
    ) -> Part:
        params = {"created": span, "starting_after": after, **_ONLY.get(path, {})}
        page = await client.page(model, path, expand=_EXPAND[path], **params)
        return [movement(entry) for entry in page.data], page.last_id

    lists = {
        "payment_intents": partial(part, "payment_intents", PaymentIntent, _of_intent),
        "balance_transactions": partial(part, "balance_transactions", Capture, _of_capture),
        "refunds": partial(part, "refunds", Refund, _of_refund),
    }
    return await movement_page(lists, cursor)


async def _newer(client: StripeClient, cursor: str) -> tuple[Page[Listed], bool]:
    page = await client.page(Listed, "events", ending_before=cursor, **_WANTED)
    return page, page.has_more


async def _oldest(client: StripeClient) -> tuple[Page[Listed], bool]:
    """The events of the oldest second: found by halving, since no list begins there."""
    now = math.ceil(time_formats.now().timestamp())
    empty, filled = now - math.ceil(EVENTS_ARE_KEPT.total_seconds()), now
    while filled - empty > 1:
        middle = (empty + filled) // 2
        page = await client.page(Listed, "events", created={"lte": middle}, limit=1, **_WANTED)
        empty, filled = (empty, middle) if page.data else (middle, filled)
    page = await client.page(Listed, "events", created={"lte": filled}, **_WANTED)
    return page, bool(page.data)


def _of_intent(intent: PaymentIntent) -> Movement | None:
    """A reservation or a payment; one that has neither held nor taken anything is left out."""
    charge = intent.latest_charge
    held = isinstance(charge, Charge) and charge.status == "succeeded"
    if intent.status not in _MOVED or (intent.status == "canceled" and not held):
        return None
    outcome = mapping.hold_outcome(intent) if intent.manual else mapping.payment_outcome(intent)
    received = not intent.manual and isinstance(outcome, Approved)
    return Movement(
        kind=MovementKind.AUTHORIZATION if intent.manual else MovementKind.PAYMENT,
        psp_id=intent.id,
        reference=intent.reference,
        parent_psp_id=None,
        amount=to_major(intent.amount_received if received else intent.amount, intent.currency),
        currency=intent.currency,
        booked_at=moment(intent.created),
        outcome=outcome,
    )


def _of_capture(taken: Capture) -> Movement | None:
    charge, intent = taken.source, taken.source.payment_intent
    if not isinstance(intent, PaymentIntent) or not intent.manual:
        return None
    charge = charge.model_copy(update={"balance_transaction": taken})
    return Movement(
        kind=MovementKind.PAYMENT,
        psp_id=charge.id,
        reference=intent.captured_for,
        parent_psp_id=intent.id,
        amount=to_major(charge.amount_captured, charge.currency),
        currency=charge.currency,
        booked_at=moment(taken.created),
        outcome=mapping.charge_outcome(charge),
    )


def _of_refund(refund: Refund) -> Movement | None:
    if refund.reference is None and refund.let_go:
        return None
    intent = refund.payment_intent
    if isinstance(intent, str):
        raise ProtocolError("Stripe lists a refund without its payment.")
    captured = intent is None or intent.manual
    return Movement(
        kind=MovementKind.REFUND,
        psp_id=refund.id,
        reference=refund.reference,
        parent_psp_id=refund.charge if captured else intent and intent.id,
        amount=to_major(refund.amount, refund.currency),
        currency=refund.currency,
        booked_at=moment(refund.created),
        outcome=mapping.refund_outcome(refund),
    )
