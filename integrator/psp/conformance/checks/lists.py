"""The PSP's lists, by which is found what no notification told."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from integrator.psp.conformance import operations, setup
from integrator.psp.conformance.assertions import equal, require, sums
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.operations import OperationKind, OperationVariant
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.conformance.setup import Money
from integrator.psp.errors import NotificationRejected
from integrator.psp.types import (
    Capture,
    ListedEvent,
    Movement,
    MovementKind,
    NotificationEvent,
    Refund,
)

_MOST_PAGES = 200
_KINDS = {
    OperationVariant.RESERVE: MovementKind.AUTHORIZATION,
    OperationVariant.CAPTURE: MovementKind.PAYMENT,
    OperationVariant.CHARGE: MovementKind.PAYMENT,
    OperationVariant.REFUND: MovementKind.REFUND,
}
_NONSENSE = (b"", b"null", b"[]", b"{}", b"\xff", b"[" * 100_000)


def _listed(world: CheckContext) -> Iterator[tuple[str, OperationKind]]:
    if world.sheet.movement_list:
        for label, kind in operations.kinds(world):
            if kind.way in _KINDS:
                yield label, kind


@check(setup.first_moneys)
async def an_event_is_listed(world: CheckContext, money: Money) -> None:
    """The event list leads to a payment, as a notification of it would."""
    _, start = await _events(world, None)
    call, outcome = await setup.paid(world, money)
    await _listed_since(world, start, call.reference, outcome.psp_id)


@check()
async def the_cursor_goes_on(world: CheckContext) -> None:
    """Behind the newest event there is nothing, and later what is new, once, and nothing else."""
    seen, end = await _events(world, None)
    after = await world.connection.list_events(end)
    if not after.events:
        equal((after.cursor, after.more), (end, False), "the cursor when there is nothing new")
    _, money = next(setup.first_moneys(world))
    call, outcome = await setup.paid(world, money)
    fresh = await _listed_since(world, end, call.reference, outcome.psp_id)
    known = {notice.event_id for event in seen for notice in event.notices}
    ids = [notice.event_id for event in fresh for notice in event.notices]
    require(not known & set(ids), "Events before the cursor are listed again.")
    equal(len(ids), len(set(ids)), "the number of different events")


@check()
async def a_listed_event_is_read_again(world: CheckContext) -> None:
    """An entry's raw form, as it is stored, is read as it was when it was listed."""
    _, money = next(setup.first_moneys(world))
    _, start = await _events(world, None)
    call, outcome = await setup.paid(world, money)
    for event in await _listed_since(world, start, call.reference, outcome.psp_id):
        equal(tuple(world.adapter.read_event(event.raw)), event.notices, "the notices read again")


@check()
async def nonsense_is_no_event(world: CheckContext) -> None:
    """What is no event raises NotificationRejected, and nothing else."""
    if not world.sheet.event_list:
        raise NotApplicable("the PSP lists no events (event_list)")
    for raw in _NONSENSE:
        try:
            notices = world.adapter.read_event(raw)
        except NotificationRejected:
            continue
        except Exception as error:
            raise Violation(f"{type(error).__name__} left read_event: {error}") from error
        require(not [n for n in notices if n.result], "Nonsense had an outcome.")


@check(_listed)
async def a_movement_is_listed(world: CheckContext, kind: OperationKind) -> None:
    """Everything made in a window is in its list, once, with its amount and what it belongs to."""
    since = datetime.now(UTC) - timedelta(seconds=2)
    act = await operations.prepare(world, kind)
    made = await act.carry_out(world)
    await setup.wait_until_decided(world, act.call)
    psp_id = setup.known_as(made)
    found = await _movements(world, since, datetime.now(UTC) + timedelta(seconds=2))
    mine = [movement for movement in found if movement.psp_id == psp_id]
    equal(len(mine), 1, "how often the movement is listed")
    movement = mine[0]
    equal(movement.kind, _KINDS[kind.way], "its kind")
    equal(movement.reference, act.call.reference, "its reference")
    equal((movement.amount, movement.currency), (act.call.amount, act.call.currency), "its amount")
    equal(sums(movement.outcome), sums(await act.look_up(world)), "its facts")
    if isinstance(act.call, Capture | Refund):
        parent = getattr(act.call, "authorization_id", getattr(act.call, "payment_psp_id", None))
        equal(movement.parent_psp_id, parent, "what it belongs to")


@check()
async def windows_do_not_overlap(world: CheckContext) -> None:
    """A movement is in the window that begins with its time, not in the one that ends there."""
    if not world.sheet.movement_list:
        raise NotApplicable("the PSP lists no movements (movement_list)")
    start = datetime.now(UTC) - timedelta(seconds=2)
    _, money = next(setup.first_moneys(world))
    _, outcome = await setup.paid(world, money)
    psp_id = setup.known_as(outcome)
    found = await _movements(world, start, datetime.now(UTC) + timedelta(seconds=2))
    at = next((m.booked_at for m in found if m.psp_id == psp_id), None)
    if at is None:
        raise Violation("The payment is not listed.")
    require(at.tzinfo is not None, "Its time has no zone.")
    second = timedelta(seconds=1)
    before = await _movements(world, at - second, at)
    behind = await _movements(world, at, at + second)
    require(psp_id not in [m.psp_id for m in before], "It is in the window before.")
    require(psp_id in [m.psp_id for m in behind], "It is not in its own window.")


async def _events(world: CheckContext, cursor: str | None) -> tuple[list[ListedEvent], str | None]:
    """All events behind a cursor, and the cursor behind them."""
    if not world.sheet.event_list:
        raise NotApplicable("the PSP lists no events (event_list)")
    events: list[ListedEvent] = []
    for _ in range(_MOST_PAGES):
        page = await world.connection.list_events(cursor)
        events += page.events
        cursor = page.cursor
        if not page.more:
            return events, cursor
    raise NotApplicable("the account has too many events")


async def _listed_since(
    world: CheckContext, cursor: str | None, reference: str, psp_id: str | None
) -> list[ListedEvent]:
    """The events behind a cursor, once one of them is about a transaction."""

    async def look() -> list[ListedEvent] | None:
        events, _ = await _events(world, cursor)
        mine = [n for event in events for n in event.notices if _about(n, reference, psp_id)]
        return events if mine else None

    found = await setup.eventually(world, look)
    if found is None:
        raise Violation("The event list does not lead to the payment.")
    return found


def _about(notice: NotificationEvent, reference: str, psp_id: str | None) -> bool:
    return notice.reference == reference or psp_id in notice.psp_ids


async def _movements(world: CheckContext, since: datetime, until: datetime) -> list[Movement]:
    movements: list[Movement] = []
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        page = await world.connection.list_movements(since, until, cursor)
        movements += page.movements
        cursor = page.cursor
        if cursor is None:
            return movements
    raise Violation("The list of movements does not end.")
