"""What Stripe lists: its events, and everything made in a time window.

Stripe's lists run from new to old. Captures are listed by the movements they cause on the balance,
because a captured charge is as old as its reservation.
"""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from psp.errors import NotificationRejected, ProtocolError
from psp.stripe import mapping, notifications
from psp.stripe.client import StripeClient
from psp.stripe.money import to_major
from psp.stripe.taking import INTENT_EXPAND
from psp.stripe.wire import Capture, Charge, Listed, Page, PaymentIntent, Refund, WireObject, moment
from psp.types import Approved, EventPage, ListedEvent, Movement, MovementKind, MovementPage

T = TypeVar("T", bound=WireObject)

EVENTS_ARE_KEPT = timedelta(days=31)
"""A day more than Stripe promises."""

_WANTED: dict[str, Any] = {"types": sorted(notifications.RELEVANT)}
_SEPARATOR = ":"
_MOVED = ("processing", "requires_capture", "succeeded", "canceled")


@dataclass(frozen=True)
class _List(Generic[T]):
    """One list: where it is, what it holds and which movement each entry is."""

    path: str
    model: type[T]
    expand: tuple[str, ...]
    movement: Callable[[T], Movement | None]
    filter: str | None = None


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
    found = (_event(entry) for entry in entries)
    return EventPage(
        events=tuple(event for event in found if event is not None),
        cursor=page.data[0].id,
        more=more,
    )


async def movements(
    client: StripeClient, since: datetime, until: datetime, cursor: str | None
) -> MovementPage:
    """A page of a window; the cursor names the list and the place in it.

    Stripe counts in whole seconds, so that a window begins and ends a little outside.
    """
    path, _, after = (cursor or _LISTS[0].path).partition(_SEPARATOR)
    listed = next(one for one in _LISTS if one.path == path)
    span = {"gte": math.floor(since.timestamp()), "lt": math.ceil(until.timestamp())}
    page = await client.page(
        listed.model,
        listed.path,
        expand=listed.expand,
        created=span,
        type=listed.filter,
        starting_after=after or None,
    )
    found = (listed.movement(entry) for entry in page.data)
    return MovementPage(
        movements=tuple(movement for movement in found if movement is not None),
        cursor=_next(listed, page.has_more, page.data),
    )


async def _newer(client: StripeClient, cursor: str) -> tuple[Page[Listed], bool]:
    page = await client.page(Listed, "events", ending_before=cursor, **_WANTED)
    return page, page.has_more


async def _oldest(client: StripeClient) -> tuple[Page[Listed], bool]:
    """The events of the oldest second: found by halving, since no list begins there."""
    now = math.ceil(mapping.now().timestamp())
    empty, filled = now - math.ceil(EVENTS_ARE_KEPT.total_seconds()), now
    while filled - empty > 1:
        middle = (empty + filled) // 2
        page = await client.page(Listed, "events", created={"lte": middle}, limit=1, **_WANTED)
        empty, filled = (empty, middle) if page.data else (middle, filled)
    page = await client.page(Listed, "events", created={"lte": filled}, **_WANTED)
    return page, bool(page.data)


def _event(entry: dict[str, Any]) -> ListedEvent | None:
    raw = json.dumps(entry, ensure_ascii=False).encode()
    try:
        return ListedEvent(raw=raw, notices=tuple(notifications.read(raw)))
    except NotificationRejected:
        return None


def _next(listed: _List[Any], has_more: bool, data: Iterable[WireObject]) -> str | None:
    last = [entry.id for entry in data][-1:]
    if has_more and last:
        return f"{listed.path}{_SEPARATOR}{last[0]}"
    later = _LISTS[_LISTS.index(listed) + 1 :]
    return later[0].path if later else None


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


_LISTS: tuple[_List[Any], ...] = (
    _List("payment_intents", PaymentIntent, INTENT_EXPAND, _of_intent),
    _List("balance_transactions", Capture, ("source.payment_intent",), _of_capture, "charge"),
    _List("refunds", Refund, ("payment_intent", "balance_transaction"), _of_refund),
)
