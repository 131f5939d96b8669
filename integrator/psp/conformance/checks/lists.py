"""The PSP's lists of events and movements, which show what no notification reported."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from integrator.psp.conformance import operations, setup
from integrator.psp.conformance.assertions import fact_amounts, require, require_equal
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.operations import OperationKind, OperationVariant
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.conformance.setup import MethodCurrency
from integrator.psp.errors import NotificationRejected
from integrator.psp.types import (
    Capture,
    ListedEvent,
    Movement,
    MovementKind,
    NotificationEvent,
    Refund,
)

_MAX_PAGES = 200
_MOVEMENT_KINDS = {
    OperationVariant.RESERVE: MovementKind.AUTHORIZATION,
    OperationVariant.CAPTURE: MovementKind.PAYMENT,
    OperationVariant.CHARGE: MovementKind.PAYMENT,
    OperationVariant.REFUND: MovementKind.REFUND,
}
_MALFORMED_EVENTS = (b"", b"null", b"[]", b"{}", b"\xff", b"[" * 100_000)


def _listed_kinds(context: CheckContext) -> Iterator[tuple[str, OperationKind]]:
    if context.capabilities.movement_list:
        for label, kind in operations.kinds(context):
            if kind.variant in _MOVEMENT_KINDS:
                yield label, kind


@check(setup.each_method)
async def an_event_is_listed(context: CheckContext, method: MethodCurrency) -> None:
    """The event list identifies a payment as a notification of it would."""
    _, start = await _list_events(context, None)
    call, outcome = await setup.make_payment(context, method)
    await _wait_for_listed(context, start, call.reference, outcome.psp_id)


@check()
async def the_cursor_continues(context: CheckContext) -> None:
    """After the newest event the list is empty; later it holds only new events, each once."""
    earlier, newest_cursor = await _list_events(context, None)
    empty_page = await context.connection.list_events(newest_cursor)
    if not empty_page.events:
        require_equal(
            (empty_page.cursor, empty_page.more),
            (newest_cursor, False),
            "the cursor when there is nothing new",
        )
    _, method = next(setup.each_method(context))
    call, outcome = await setup.make_payment(context, method)
    new_events = await _wait_for_listed(context, newest_cursor, call.reference, outcome.psp_id)
    earlier_ids = {event.event_id for listed in earlier for event in listed.notices}
    ids = [event.event_id for listed in new_events for event in listed.notices]
    require(not earlier_ids & set(ids), "Events before the cursor are listed again.")
    require_equal(len(ids), len(set(ids)), "the number of different events")


@check()
async def a_stored_event_parses_identically(context: CheckContext) -> None:
    """The stored raw form of an event is parsed as it was when it was listed."""
    _, method = next(setup.each_method(context))
    _, start = await _list_events(context, None)
    call, outcome = await setup.make_payment(context, method)
    for event in await _wait_for_listed(context, start, call.reference, outcome.psp_id):
        require_equal(
            tuple(context.adapter.read_event(event.raw)),
            event.notices,
            "the events parsed from the stored form",
        )


@check()
async def malformed_events_are_rejected(context: CheckContext) -> None:
    """Malformed events raise NotificationRejected and nothing else."""
    if not context.capabilities.event_list:
        raise NotApplicable("the PSP lists no events (event_list)")
    for raw in _MALFORMED_EVENTS:
        try:
            events = context.adapter.read_event(raw)
        except NotificationRejected:
            continue
        except Exception as error:
            raise Violation(f"{type(error).__name__} was raised by read_event: {error}") from error
        require(
            not [event for event in events if event.result], "A malformed event has an outcome."
        )


@check(_listed_kinds)
async def a_movement_is_listed(context: CheckContext, kind: OperationKind) -> None:
    """Every movement of a window is listed once, with its amount and its parent."""
    since = datetime.now(UTC) - timedelta(seconds=2)
    prepared = await operations.prepare(context, kind)
    outcome = await prepared.execute(context)
    await setup.wait_until_booked(context, prepared.call)
    psp_id = setup.require_psp_id(outcome)
    movements = await list_movements(context, since, datetime.now(UTC) + timedelta(seconds=2))
    matching = [movement for movement in movements if movement.psp_id == psp_id]
    require_equal(len(matching), 1, "how often the movement is listed")
    movement = matching[0]
    require_equal(movement.kind, _MOVEMENT_KINDS[kind.variant], "the movement's kind")
    require_equal(movement.reference, prepared.call.reference, "the movement's reference")
    require_equal(
        (movement.amount, movement.currency),
        (prepared.call.amount, prepared.call.currency),
        "the movement's amount",
    )
    require_equal(
        fact_amounts(movement.outcome),
        fact_amounts(await prepared.look_up(context)),
        "the movement's facts",
    )
    if isinstance(prepared.call, Capture | Refund):
        parent = getattr(
            prepared.call, "authorization_id", getattr(prepared.call, "payment_psp_id", None)
        )
        require_equal(movement.parent_psp_id, parent, "the movement's parent")


@check()
async def time_windows_do_not_overlap(context: CheckContext) -> None:
    """A movement is in the window that begins with its time, not in the one that ends there."""
    if not context.capabilities.movement_list:
        raise NotApplicable("the PSP lists no movements (movement_list)")
    start = datetime.now(UTC) - timedelta(seconds=2)
    _, method = next(setup.each_method(context))
    _, outcome = await setup.make_payment(context, method)
    psp_id = setup.require_psp_id(outcome)
    movements = await list_movements(context, start, datetime.now(UTC) + timedelta(seconds=2))
    booked_at = next((m.booked_at for m in movements if m.psp_id == psp_id), None)
    if booked_at is None:
        raise Violation("The payment is not listed.")
    require(booked_at.tzinfo is not None, "The movement's time has no time zone.")
    second = timedelta(seconds=1)
    window_before = await list_movements(context, booked_at - second, booked_at)
    window_after = await list_movements(context, booked_at, booked_at + second)
    require(
        psp_id not in [m.psp_id for m in window_before],
        "The movement is in the window that ends with its time.",
    )
    require(
        psp_id in [m.psp_id for m in window_after],
        "The movement is not in the window that begins with its time.",
    )


async def _list_events(
    context: CheckContext, cursor: str | None
) -> tuple[list[ListedEvent], str | None]:
    """Return all events after a cursor, and the cursor after them."""
    if not context.capabilities.event_list:
        raise NotApplicable("the PSP lists no events (event_list)")
    events: list[ListedEvent] = []
    for _ in range(_MAX_PAGES):
        page = await context.connection.list_events(cursor)
        events += page.events
        cursor = page.cursor
        if not page.more:
            return events, cursor
    raise NotApplicable("the account has too many events")


async def _wait_for_listed(
    context: CheckContext, cursor: str | None, reference: str, psp_id: str | None
) -> list[ListedEvent]:
    """Return the events after a cursor once one of them is about the transaction."""

    async def probe() -> list[ListedEvent] | None:
        events, _ = await _list_events(context, cursor)
        matching = [
            event
            for listed in events
            for event in listed.notices
            if _is_about(event, reference, psp_id)
        ]
        return events if matching else None

    events = await setup.poll(context, probe)
    if events is None:
        raise Violation("No listed event identifies the payment.")
    return events


def _is_about(event: NotificationEvent, reference: str, psp_id: str | None) -> bool:
    return event.reference == reference or psp_id in event.psp_ids


async def list_movements(context: CheckContext, since: datetime, until: datetime) -> list[Movement]:
    movements: list[Movement] = []
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        page = await context.connection.list_movements(since, until, cursor)
        movements += page.movements
        cursor = page.cursor
        if cursor is None:
            return movements
    raise Violation("The list of movements does not end.")
