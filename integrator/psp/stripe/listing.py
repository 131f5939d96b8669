"""Lists of Stripe: events, and movements in a time window.

Stripe's lists are sorted newest first. Captures are listed by their balance transactions, because
a captured charge has the creation time of its reservation.
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
from integrator.psp.stripe.payment_intents import INTENT_EXPAND, REFUND_EXPAND
from integrator.psp.stripe.wire import (
    Charge,
    ChargeEntry,
    Page,
    PaymentIntent,
    RawEvent,
    Refund,
    WireObject,
)
from integrator.psp.toolkit import time_formats
from integrator.psp.toolkit.pagination import (
    ListPage,
    build_event_page,
    build_movements,
    fetch_movement_page,
)
from integrator.psp.toolkit.time_formats import utc_datetime
from integrator.psp.types import Approved, EventPage, Movement, MovementKind, MovementPage

T = TypeVar("T", bound=WireObject)

EVENT_RETENTION = timedelta(days=31)
"""One day more than Stripe documents."""

_EVENT_FILTER: dict[str, Any] = {"types": sorted(notifications.LISTED_EVENT_TYPES)}
_EXPAND = {
    "payment_intents": INTENT_EXPAND,
    "balance_transactions": ("source.payment_intent",),
    "refunds": REFUND_EXPAND,
}
_LIST_FILTERS = {"balance_transactions": {"type": "charge"}}
_MOVING_STATUSES = ("processing", "requires_capture", "succeeded", "canceled")


async def list_events(client: StripeClient, cursor: str | None) -> EventPage:
    """Fetch a page of the event list, oldest first; the cursor is the id of its newest event."""
    try:
        page, more = (
            await _fetch_newer_events(client, cursor)
            if cursor
            else await _fetch_oldest_events(client)
        )
    except ProtocolError as error:
        if cursor is None or error.psp_code != "resource_missing":
            raise
        # Stripe no longer has the event of the cursor: all remaining events are newer.
        page, more = await _fetch_oldest_events(client)
    if not page.data:
        return EventPage(cursor=cursor)
    entries = [entry.model_dump(mode="json") for entry in reversed(page.data)]
    return build_event_page(entries, notifications.read_event, cursor=page.data[0].id, more=more)


async def list_movements(
    client: StripeClient, since: datetime, until: datetime, cursor: str | None
) -> MovementPage:
    """Fetch a page of a window; the cursor names the list and the position in it.

    Stripe counts in whole seconds, so that the window is extended to full seconds.
    """
    span = {"gte": math.floor(since.timestamp()), "lt": math.ceil(until.timestamp())}

    async def fetch_page(
        path: str, model: type[T], movement: Callable[[T], Movement | None], after: str | None
    ) -> ListPage:
        params = {"created": span, "starting_after": after, **_LIST_FILTERS.get(path, {})}
        page = await client.list_page(model, path, expand=_EXPAND[path], **params)
        return build_movements(page.data, movement), page.last_id

    lists = {
        "payment_intents": partial(fetch_page, "payment_intents", PaymentIntent, _intent_movement),
        "balance_transactions": partial(
            fetch_page, "balance_transactions", ChargeEntry, _capture_movement
        ),
        "refunds": partial(fetch_page, "refunds", Refund, _refund_movement),
    }
    return await fetch_movement_page(lists, cursor)


async def _fetch_newer_events(client: StripeClient, cursor: str) -> tuple[Page[RawEvent], bool]:
    page = await client.list_page(RawEvent, "events", ending_before=cursor, **_EVENT_FILTER)
    return page, page.has_more


async def _fetch_oldest_events(client: StripeClient) -> tuple[Page[RawEvent], bool]:
    """Fetch the events of the oldest second, found by bisection since lists start at the newest."""
    now = math.ceil(time_formats.now().timestamp())
    empty, filled = now - math.ceil(EVENT_RETENTION.total_seconds()), now
    while filled - empty > 1:
        middle = (empty + filled) // 2
        page = await client.list_page(
            RawEvent, "events", created={"lte": middle}, limit=1, **_EVENT_FILTER
        )
        empty, filled = (empty, middle) if page.data else (middle, filled)
    page = await client.list_page(RawEvent, "events", created={"lte": filled}, **_EVENT_FILTER)
    return page, bool(page.data)


def _intent_movement(intent: PaymentIntent) -> Movement | None:
    """Build a reservation or a payment; None for an intent that has moved no money."""
    charge = intent.latest_charge
    held_money = isinstance(charge, Charge) and charge.status == "succeeded"
    if intent.status not in _MOVING_STATUSES or (intent.status == "canceled" and not held_money):
        return None
    outcome = (
        mapping.hold_outcome(intent)
        if intent.is_manual_capture
        else mapping.payment_outcome(intent)
    )
    is_received = not intent.is_manual_capture and isinstance(outcome, Approved)
    return Movement(
        kind=MovementKind.AUTHORIZATION if intent.is_manual_capture else MovementKind.PAYMENT,
        psp_id=intent.id,
        reference=intent.reference,
        parent_psp_id=None,
        amount=to_major(intent.amount_received if is_received else intent.amount, intent.currency),
        currency=intent.currency,
        booked_at=_booked_at(intent.created),
        outcome=outcome,
    )


def _capture_movement(transaction: ChargeEntry) -> Movement | None:
    charge, intent = transaction.source, transaction.source.payment_intent
    if not isinstance(intent, PaymentIntent) or not intent.is_manual_capture:
        return None
    if charge.currency != intent.currency:
        raise ProtocolError(f"Stripe listed the charge {charge.id} in another currency.")
    charge = charge.model_copy(update={"balance_transaction": transaction})
    return Movement(
        kind=MovementKind.PAYMENT,
        psp_id=charge.id,
        reference=intent.capture_reference,
        parent_psp_id=intent.id,
        amount=to_major(charge.amount_captured, charge.currency),
        currency=charge.currency,
        booked_at=utc_datetime(transaction.created),
        outcome=mapping.charge_outcome(charge),
    )


def _refund_movement(refund: Refund) -> Movement | None:
    if refund.reference is None and refund.is_released_hold:
        return None
    intent = refund.payment_intent
    if isinstance(intent, str):
        raise ProtocolError("Stripe listed a refund without its payment.")
    if intent is not None and intent.currency != refund.currency:
        raise ProtocolError(f"Stripe listed the refund {refund.id} in another currency.")
    return Movement(
        kind=MovementKind.REFUND,
        psp_id=refund.id,
        reference=refund.reference,
        parent_psp_id=refund.payment_id,
        amount=to_major(refund.amount, refund.currency),
        currency=refund.currency,
        booked_at=_booked_at(refund.created),
        outcome=mapping.refund_outcome(refund),
    )


def _booked_at(seconds: int | None) -> datetime:
    if seconds is None:
        raise ProtocolError("Stripe listed an object without the time of its creation.")
    return utc_datetime(seconds)
