"""What the PSP lists: its events, and everything made in a time window."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TypeVar

from integrator.psp.errors import ProtocolError
from integrator.psp.sandbox import mapping, notifications
from integrator.psp.sandbox.client import SandboxClient
from integrator.psp.sandbox.wire import Authorization, Charge, EventList, Refund, Window
from integrator.psp.toolkit.money import to_major
from integrator.psp.toolkit.pagination import Part, event_page, movement_page
from integrator.psp.toolkit.time_formats import milliseconds
from integrator.psp.types import EventPage, Movement, MovementKind, MovementPage, Outcome

T = TypeVar("T", Authorization, Charge, Refund)

_PER_PAGE = "100"


async def events(client: SandboxClient, cursor: str | None) -> EventPage:
    """A page of the event list."""
    page = await client.require(EventList, "events", after=cursor, limit=_PER_PAGE)
    following = page.next or cursor
    return event_page(page.data, notifications.read, cursor=following, more=page.has_more)


async def movements(
    client: SandboxClient, since: datetime, until: datetime, cursor: str | None
) -> MovementPage:
    """A page of a window; the cursor names the list and the place in it."""
    window = {"created_from": milliseconds(since), "created_to": milliseconds(until)}

    async def part(
        model: type[T], path: str, movement: Callable[[T], Movement], after: str | None
    ) -> Part:
        page: Window[T] = await client.require(
            Window[model],  # type: ignore[valid-type]
            path,
            after=after,
            limit=_PER_PAGE,
            **window,
        )
        found = [movement(item) for item in page.data]
        return found, page.next if page.has_more else None

    lists = {
        "authorizations": partial(part, Authorization, "authorizations", _held),
        "charges": partial(part, Charge, "charges", _taken),
        "refunds": partial(part, Refund, "refunds", _given_back),
    }
    return await movement_page(lists, cursor)


def _held(item: Authorization) -> Movement:
    return _movement(MovementKind.AUTHORIZATION, item, None, mapping.authorization_outcome(item))


def _taken(item: Charge) -> Movement:
    outcome = mapping.charge_outcome(item)
    return _movement(MovementKind.PAYMENT, item, item.authorization, outcome)


def _given_back(item: Refund) -> Movement:
    return _movement(MovementKind.REFUND, item, item.charge, mapping.refund_outcome(item))


def _movement(
    kind: MovementKind, item: Authorization | Charge | Refund, parent: str | None, outcome: Outcome
) -> Movement:
    if item.created_at is None:
        raise ProtocolError("The PSP lists an object without its time.")
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
