"""What notifications say: of which transaction, and with which outcome."""

from collections.abc import Iterator

from integrator.psp.conformance import call_factory, notifications, operations, setup
from integrator.psp.conformance.assertions import approved, equal, facts, require, shown
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.harness import Customer, Delivery, Script
from integrator.psp.conformance.operations import OperationKind, OperationVariant, PreparedCall
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.conformance.setup import Money
from integrator.psp.errors import NotificationRejected
from integrator.psp.types import Approved, Declined, Fact, FactKind, NotificationEvent, Outcome

_LATE: dict[Script, type[Approved] | type[Declined]] = {
    Script.PENDING_THEN_DONE: Approved,
    Script.PENDING_THEN_FAILED: Declined,
}


def _told(world: CheckContext) -> Iterator[tuple[str, OperationKind]]:
    for label, kind in operations.kinds(world):
        if kind.way is not OperationVariant.CHECKOUT:
            yield label, kind


def _pages(world: CheckContext) -> Iterator[tuple[str, Money]]:
    roles = [role for role, method in world.sheet.methods.items() if method.redirect]
    yield from setup.first_moneys(world, roles)


def _late(world: CheckContext) -> Iterator[tuple[str, tuple[OperationKind, Script]]]:
    for label, kind in operations.kinds(world):
        if kind.way in (OperationVariant.CAPTURE, OperationVariant.CHARGE, OperationVariant.REFUND):
            for script in _LATE:
                yield f"{label}-{script.value}", (kind, script)


def _ends(world: CheckContext) -> Iterator[tuple[str, tuple[Money, Customer]]]:
    for label, money in _pages(world):
        for customer in (Customer.LACKS_FUNDS, Customer.CANCELS, Customer.STAYS_AWAY):
            yield f"{label}-{customer.value}", (money, customer)


@check(_told)
async def an_operation_is_told(world: CheckContext, kind: OperationKind) -> None:
    """A notification leads to its transaction, and says what a look-up says or leaves it open."""
    since = await notifications.so_far(world)
    act = await operations.prepare(world, kind)
    made = await act.carry_out(world)
    await setup.wait_until_decided(world, act.call)
    found = await notifications.told(world, act.call.reference, (made.psp_id,), since=since)
    current = await act.look_up(world)
    for _, notice in found:
        _agrees(notice, current)


@check(_pages)
async def a_visit_is_told(world: CheckContext, money: Money) -> None:
    """What the customer did at the page leads to the sign-up, even if nobody comes back."""
    since = await notifications.so_far(world)
    call, redirect = await setup.opened(world, money, money.amount)
    outcome = approved(await setup.visited(world, call, redirect, Customer.PAYS))
    ids = (redirect.psp_id, outcome.psp_id)
    for _, notice in await notifications.told(world, call.reference, ids, since=since):
        _agrees(notice, outcome)


@check(setup.first_moneys)
async def a_chargeback_is_told(world: CheckContext, money: Money) -> None:
    """Money taken back by the bank is told of with its payment, or a look-up shows it then."""
    since = await notifications.so_far(world)
    stored = await setup.instrument(world, money)
    call = call_factory.charge(money.role, money.amount, money.currency, stored)
    scripted = await world.bench.scripted(call, Script.CHARGED_BACK)
    if scripted is None:
        raise NotApplicable(f"the bench has no chargebacks for {money.role.name}")
    made = await world.connection.charge(scripted)

    async def look() -> Fact | None:
        for _, notice in await notifications.told(
            world, call.reference, (made.psp_id,), since=since
        ):
            said = notice.result or await setup.fetched(world, scripted)
            for fact in facts(said):
                if fact.kind is FactKind.CHARGED_BACK:
                    return fact
        return None

    taken_back = await setup.eventually(world, look)
    if taken_back is None:
        raise Violation("No notification tells of the chargeback.")
    equal(taken_back.amount, scripted.amount, "the amount charged back")


@check(_late)
async def a_late_outcome_is_told(world: CheckContext, case: tuple[OperationKind, Script]) -> None:
    """What was accepted and is decided later is told of, or a look-up shows it when told."""
    kind, script = case
    since = await notifications.so_far(world)
    prepared = await operations.prepare(world, kind)
    scripted = await world.bench.scripted(prepared.call, script)
    if scripted is None:
        raise NotApplicable(f"the bench has no script {script.value} for it")
    act = PreparedCall(kind.way, scripted, prepared.books)
    made = await act.carry_out(world)
    await _told_of(world, act, made, _LATE[script], since)


@check(_ends)
async def the_end_of_a_visit_is_told(world: CheckContext, case: tuple[Money, Customer]) -> None:
    """A customer who is refused, or cancels, is told of: nobody may come back to the shop."""
    money, customer = case
    since = await notifications.so_far(world)
    call, redirect = await setup.opened(world, money, money.amount)
    await setup.visited(world, call, redirect, customer)
    await _told_of(
        world, PreparedCall(OperationVariant.CHECKOUT, call, None), redirect, Declined, since
    )


@check()
async def a_replay_is_the_same_event(world: CheckContext) -> None:
    """A notification that comes twice has the same event ids: that is how it is recognised."""
    delivery = await notifications.one_delivery(world)
    first = [notice.event_id for notice in notifications.read(world, delivery)]
    again = [
        notice.event_id
        for notice in notifications.read(world, notifications.signed(world, delivery))
    ]
    require(all(first), "An event has no id.")
    equal(again, first, "the event ids of the repetition")


@check()
async def events_are_told_apart(world: CheckContext) -> None:
    """Different events have different ids."""
    one, two = await notifications.one_delivery(world), await notifications.another_delivery(world)
    require(one.body != two.body, "The PSP sent the same notification twice.")
    ids = [
        notice.event_id for delivery in (one, two) for notice in notifications.read(world, delivery)
    ]
    equal(len(set(ids)), len(ids), "the number of different event ids")


@check()
async def every_event_of_a_batch_is_read(world: CheckContext) -> None:
    """Of a notification with several events none is lost."""
    one, two = await notifications.one_delivery(world), await notifications.another_delivery(world)
    both = world.bench.batched([one, two])
    if both is None:
        raise NotApplicable("the PSP sends one event at a time")
    wanted = [*notifications.read(world, one), *notifications.read(world, two)]
    found = notifications.read(world, notifications.signed(world, both))
    equal([n.event_id for n in found], [n.event_id for n in wanted], "the events of the batch")


@check()
async def an_unknown_event_is_let_be(world: CheckContext) -> None:
    """An event that the PSP invents tomorrow is not relevant, or is left to a look-up."""
    delivery = _unknown(world)
    try:
        notices = notifications.read(world, delivery)
    except NotificationRejected as error:
        raise Violation("It was rejected: the PSP would send it for days.") from error
    except Exception as error:
        raise Violation(f"{type(error).__name__} left parse_notification: {error}") from error
    for notice in notices:
        require(not notice.relevant or notice.result is None, "It was believed.")


@check()
async def an_unknown_event_hides_nothing(world: CheckContext) -> None:
    """In a batch, an unknown event does not keep the others from being read."""
    known = await notifications.one_delivery(world)
    both = world.bench.batched([_unknown(world), known])
    if both is None:
        raise NotApplicable("the PSP sends one event at a time")
    found = {
        notice.event_id for notice in notifications.read(world, notifications.signed(world, both))
    }
    wanted = {notice.event_id for notice in notifications.read(world, known)}
    require(wanted <= found, "The known event is missing.")


def _unknown(world: CheckContext) -> Delivery:
    delivery = world.bench.unknown_event()
    if delivery is None:
        raise NotApplicable("the bench does not say how an unknown event would look")
    return notifications.signed(world, delivery)


async def _told_of(
    world: CheckContext,
    act: PreparedCall,
    made: Outcome,
    end: type[Approved] | type[Declined],
    since: int,
) -> None:
    async def look() -> bool | None:
        told = await notifications.told(world, act.call.reference, (made.psp_id,), since=since)
        for _, notice in told:
            said = notice.result or await act.look_up(world, made.psp_id)
            if isinstance(said, end):
                return True
        return None

    if not await setup.eventually(world, look):
        raise Violation(f"No notification tells that it ended as {end.__name__}.")


def _agrees(notice: NotificationEvent, current: Outcome | None) -> None:
    """A notice may be older than the look-up, but what it is certain of must still be so."""
    told = {(fact.kind, fact.id): fact.amount for fact in facts(notice.result)}
    known = {(fact.kind, fact.id): fact.amount for fact in facts(current)}
    if notice.result is not None and current is not None and current.outcome == "approved":
        require(told.items() <= known.items(), f"It says {shown(notice.result)}, not {current}")
        require(notice.result.outcome != "declined", "A decline was told of what is approved.")
