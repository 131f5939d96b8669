"""Lists of the PSP: events, and movements in a time window."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TypeVar

from integrator.psp.errors import ProtocolError
from integrator.psp.sandbox import mapping, notifications
from integrator.psp.sandbox.client import SandboxClient
from integrator.psp.sandbox.wire import Authorization, Charge, EventList, ObjectPage, Refund
from integrator.psp.toolkit.money import to_major
from integrator.psp.toolkit.pagination import (
    ListPage,
    build_event_page,
    build_movements,
    fetch_movement_page,
)
from integrator.psp.toolkit.time_formats import format_milliseconds
from integrator.psp.types import EventPage, Movement, MovementKind, MovementPage, Outcome

T = TypeVar("T", Authorization, Charge, Refund)

_PAGE_SIZE = "100"


async def list_events(client: SandboxClient, cursor: str | None) -> EventPage:
    """Fetch a page of the event list."""
    page = await client.get_required(EventList, "events", after=cursor, limit=_PAGE_SIZE)
    next_cursor = page.next or cursor
    return build_event_page(
        page.data, notifications.read_event, cursor=next_cursor, more=page.has_more
    )


async def list_movements(
    client: SandboxClient, since: datetime, until: datetime, cursor: str | None
) -> MovementPage:
    """Fetch a page of a window; the cursor names the list and the position in it."""
    window = {"created_from": format_milliseconds(since), "created_to": format_milliseconds(until)}

    async def fetch_page(
        model: type[T], path: str, movement: Callable[[T], Movement], after: str | None
    ) -> ListPage:
        page: ObjectPage[T] = await client.get_required(
            ObjectPage[model],  # type: ignore[valid-type]
            path,
            after=after,
            limit=_PAGE_SIZE,
            **window,
        )
        return build_movements(page.data, movement), page.next if page.has_more else None

    lists = {
        "authorizations": partial(
            fetch_page, Authorization, "authorizations", _authorization_movement
        ),
        "charges": partial(fetch_page, Charge, "charges", _charge_movement),
        "refunds": partial(fetch_page, Refund, "refunds", _refund_movement),
    }
    return await fetch_movement_page(lists, cursor)


def _authorization_movement(item: Authorization) -> Movement:
    return _movement(MovementKind.AUTHORIZATION, item, None, mapping.authorization_outcome(item))


def _charge_movement(item: Charge) -> Movement:
    outcome = mapping.charge_outcome(item)
    return _movement(MovementKind.PAYMENT, item, item.authorization, outcome)


def _refund_movement(item: Refund) -> Movement:
    return _movement(MovementKind.REFUND, item, item.charge, mapping.refund_outcome(item))


def _movement(
    kind: MovementKind, item: Authorization | Charge | Refund, parent: str | None, outcome: Outcome
) -> Movement:
    if item.created_at is None:
        raise ProtocolError("The PSP listed an object without its creation time.")
    return Movement(
        kind=kind,
        psp_id=item.id,
        reference=item.reference,
        parent_psp_id=parent,
        amount=to_major(item.amount, item.currency),
        currency=item.currency,
        booked_at=item.created_at,
        outcome=outcome,
    )
