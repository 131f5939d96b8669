"""What the PSP lists: its events, and everything made in a time window."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from psp.common.money import to_major
from psp.errors import NotificationRejected, ProtocolError
from psp.sandbox import mapping, notifications
from psp.sandbox.client import SandboxClient
from psp.sandbox.wire import Authorization, Charge, EventList, Refund, Window
from psp.types import EventPage, ListedEvent, Movement, MovementKind, MovementPage, Outcome

T = TypeVar("T", Authorization, Charge, Refund)

_PER_PAGE = "100"
_SEPARATOR = ":"


@dataclass(frozen=True)
class _List(Generic[T]):
    """One list of movements: where it is, what it holds and what each comes to."""

    path: str
    window: type[Window[T]]
    kind: MovementKind
    outcome: Callable[[T], Outcome]
    parent: Callable[[T], str | None]


_LISTS: tuple[_List[Any], ...] = (
    _List(
        "authorizations",
        Window[Authorization],
        MovementKind.AUTHORIZATION,
        mapping.authorization_outcome,
        lambda held: None,
    ),
    _List(
        "charges",
        Window[Charge],
        MovementKind.PAYMENT,
        mapping.charge_outcome,
        lambda charge: charge.authorization,
    ),
    _List(
        "refunds",
        Window[Refund],
        MovementKind.REFUND,
        mapping.refund_outcome,
        lambda refund: refund.charge,
    ),
)


async def events(client: SandboxClient, cursor: str | None) -> EventPage:
    """A page of the event list; an entry that is no event is left out."""
    page = await client.page(EventList, "events", after=cursor, limit=_PER_PAGE)
    found = (_event(entry) for entry in page.data)
    return EventPage(
        events=tuple(event for event in found if event is not None),
        cursor=page.next or cursor,
        more=page.has_more,
    )


async def movements(
    client: SandboxClient, since: datetime, until: datetime, cursor: str | None
) -> MovementPage:
    """A page of a window; the cursor names the list and the place in it."""
    listed, after = _place(cursor)
    page: Window[Any] = await client.page(
        listed.window,
        listed.path,
        created_from=_moment(since),
        created_to=_moment(until),
        after=after,
        limit=_PER_PAGE,
    )
    return MovementPage(
        movements=tuple(_movement(listed, item) for item in page.data),
        cursor=_next(listed, page),
    )


def _event(entry: dict[str, Any]) -> ListedEvent | None:
    raw = json.dumps(entry, ensure_ascii=False).encode()
    try:
        return ListedEvent(raw=raw, notices=tuple(notifications.read(raw)))
    except NotificationRejected:
        return None


def _movement(listed: _List[T], item: T) -> Movement:
    if item.created_at is None:
        raise ProtocolError("The PSP lists an object without its time.")
    return Movement(
        kind=listed.kind,
        psp_id=item.id,
        reference=item.reference,
        parent_psp_id=listed.parent(item),
        amount=to_major(item.amount, item.currency),
        currency=item.currency,
        booked_at=item.created_at,
        outcome=listed.outcome(item),
    )


def _place(cursor: str | None) -> tuple[_List[Any], str | None]:
    path, _, after = (cursor or _LISTS[0].path).partition(_SEPARATOR)
    return next(listed for listed in _LISTS if listed.path == path), after or None


def _next(listed: _List[Any], page: Window[Any]) -> str | None:
    if page.has_more and page.next:
        return f"{listed.path}{_SEPARATOR}{page.next}"
    later = _LISTS[_LISTS.index(listed) + 1 :]
    return later[0].path if later else None


def _moment(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
