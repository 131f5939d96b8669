"""What notifications say: of which transaction, and with which outcome."""

from collections.abc import Iterator

from psp.errors import NotificationRejected
from psp.kit import acts, calls, post, scenes
from psp.kit.acts import Act, Kind, Way
from psp.kit.bench import Customer, Delivery, Script
from psp.kit.expect import approved, equal, facts, require, shown
from psp.kit.registry import check
from psp.kit.scenes import Money
from psp.kit.verdicts import CannotBeProvoked, Violation
from psp.kit.world import World
from psp.types import Approved, Declined, Fact, FactKind, Notice, Outcome

_LATE: dict[Script, type[Approved] | type[Declined]] = {
    Script.PENDING_THEN_DONE: Approved,
    Script.PENDING_THEN_FAILED: Declined,
}


def _told(world: World) -> Iterator[tuple[str, Kind]]:
    for label, kind in acts.kinds(world):
        if kind.way is not Way.CHECKOUT:
            yield label, kind


def _pages(world: World) -> Iterator[tuple[str, Money]]:
    roles = [role for role, method in world.sheet.methods.items() if method.redirect]
    yield from scenes.first_moneys(world, roles)


def _late(world: World) -> Iterator[tuple[str, tuple[Kind, Script]]]:
    for label, kind in acts.kinds(world):
        if kind.way in (Way.CAPTURE, Way.CHARGE, Way.REFUND):
            for script in _LATE:
                yield f"{label}-{script.value}", (kind, script)


def _ends(world: World) -> Iterator[tuple[str, tuple[Money, Customer]]]:
    for label, money in _pages(world):
        for customer in (Customer.LACKS_FUNDS, Customer.CANCELS, Customer.STAYS_AWAY):
            yield f"{label}-{customer.value}", (money, customer)


@check(_told)
async def an_operation_is_told(world: World, kind: Kind) -> None:
    """A notification leads to its transaction, and says what a look-up says or leaves it open."""
    since = await post.so_far(world)
    act = await acts.prepare(world, kind)
    made = await act.carry_out(world)
    await scenes.settled(world, act.call)
    found = await post.told(world, act.call.reference, (made.psp_id,), since=since)
    current = await act.look_up(world)
    for _, notice in found:
        _agrees(notice, current)


@check(_pages)
async def a_visit_is_told(world: World, money: Money) -> None:
    """What the customer did at the page leads to the sign-up, even if nobody comes back."""
    since = await post.so_far(world)
    call, redirect = await scenes.opened(world, money, money.amount)
    outcome = approved(await scenes.visited(world, call, redirect, Customer.PAYS))
    ids = (redirect.psp_id, outcome.psp_id)
    for _, notice in await post.told(world, call.reference, ids, since=since):
        _agrees(notice, outcome)


@check(scenes.first_moneys)
async def a_chargeback_is_told(world: World, money: Money) -> None:
    """Money taken back by the bank is told of with its payment, or a look-up shows it then."""
    since = await post.so_far(world)
    stored = await scenes.instrument(world, money)
    call = calls.charge(money.role, money.amount, money.currency, stored)
    scripted = await world.bench.scripted(call, Script.CHARGED_BACK)
    if scripted is None:
        raise CannotBeProvoked(f"the bench has no chargebacks for {money.role.name}")
    made = await world.connection.charge(scripted)

    async def look() -> Fact | None:
        for _, notice in await post.told(world, call.reference, (made.psp_id,), since=since):
            said = notice.result or await scenes.fetched(world, scripted)
            for fact in facts(said):
                if fact.kind is FactKind.CHARGED_BACK:
                    return fact
        return None

    taken_back = await scenes.eventually(world, look)
    if taken_back is None:
        raise Violation("No notification tells of the chargeback.")
    equal(taken_back.amount, scripted.amount, "the amount charged back")


@check(_late)
async def a_late_outcome_is_told(world: World, case: tuple[Kind, Script]) -> None:
    """What was accepted and is decided later is told of, or a look-up shows it when told."""
    kind, script = case
    since = await post.so_far(world)
    prepared = await acts.prepare(world, kind)
    scripted = await world.bench.scripted(prepared.call, script)
    if scripted is None:
        raise CannotBeProvoked(f"the bench has no script {script.value} for it")
    act = Act(kind.way, scripted, prepared.books)
    made = await act.carry_out(world)
    await _told_of(world, act, made, _LATE[script], since)


@check(_ends)
async def the_end_of_a_visit_is_told(world: World, case: tuple[Money, Customer]) -> None:
    """A customer who is refused, or cancels, is told of: nobody may come back to the shop."""
    money, customer = case
    since = await post.so_far(world)
    call, redirect = await scenes.opened(world, money, money.amount)
    await scenes.visited(world, call, redirect, customer)
    await _told_of(world, Act(Way.CHECKOUT, call, None), redirect, Declined, since)


@check()
async def a_replay_is_the_same_event(world: World) -> None:
    """A notification that comes twice has the same event ids: that is how it is recognised."""
    delivery = await post.one_delivery(world)
    first = [notice.event_id for notice in post.read(world, delivery)]
    again = [notice.event_id for notice in post.read(world, post.signed(world, delivery))]
    require(all(first), "An event has no id.")
    equal(again, first, "the event ids of the repetition")


@check()
async def events_are_told_apart(world: World) -> None:
    """Different events have different ids."""
    one, two = await post.one_delivery(world), await post.another_delivery(world)
    require(one.body != two.body, "The PSP sent the same notification twice.")
    ids = [notice.event_id for delivery in (one, two) for notice in post.read(world, delivery)]
    equal(len(set(ids)), len(ids), "the number of different event ids")


@check()
async def every_event_of_a_batch_is_read(world: World) -> None:
    """Of a notification with several events none is lost."""
    one, two = await post.one_delivery(world), await post.another_delivery(world)
    both = world.bench.batched([one, two])
    if both is None:
        raise CannotBeProvoked("the PSP sends one event at a time")
    wanted = [*post.read(world, one), *post.read(world, two)]
    found = post.read(world, post.signed(world, both))
    equal([n.event_id for n in found], [n.event_id for n in wanted], "the events of the batch")


@check()
async def an_unknown_event_is_let_be(world: World) -> None:
    """An event that the PSP invents tomorrow is not relevant, or is left to a look-up."""
    delivery = _unknown(world)
    try:
        notices = post.read(world, delivery)
    except NotificationRejected as error:
        raise Violation("It was rejected: the PSP would send it for days.") from error
    except Exception as error:
        raise Violation(f"{type(error).__name__} left parse_notification: {error}") from error
    for notice in notices:
        require(not notice.relevant or notice.result is None, "It was believed.")


@check()
async def an_unknown_event_hides_nothing(world: World) -> None:
    """In a batch, an unknown event does not keep the others from being read."""
    known = await post.one_delivery(world)
    both = world.bench.batched([_unknown(world), known])
    if both is None:
        raise CannotBeProvoked("the PSP sends one event at a time")
    found = {notice.event_id for notice in post.read(world, post.signed(world, both))}
    wanted = {notice.event_id for notice in post.read(world, known)}
    require(wanted <= found, "The known event is missing.")


def _unknown(world: World) -> Delivery:
    delivery = world.bench.unknown_event()
    if delivery is None:
        raise CannotBeProvoked("the bench does not say how an unknown event would look")
    return post.signed(world, delivery)


async def _told_of(
    world: World, act: Act, made: Outcome, end: type[Approved] | type[Declined], since: int
) -> None:
    async def look() -> bool | None:
        told = await post.told(world, act.call.reference, (made.psp_id,), since=since)
        for _, notice in told:
            said = notice.result or await act.look_up(world, made.psp_id)
            if isinstance(said, end):
                return True
        return None

    if not await scenes.eventually(world, look):
        raise Violation(f"No notification tells that it ended as {end.__name__}.")


def _agrees(notice: Notice, current: Outcome | None) -> None:
    """A notice may be older than the look-up, but what it is certain of must still be so."""
    told = {(fact.kind, fact.id): fact.amount for fact in facts(notice.result)}
    known = {(fact.kind, fact.id): fact.amount for fact in facts(current)}
    if notice.result is not None and current is not None and current.outcome == "approved":
        require(told.items() <= known.items(), f"It says {shown(notice.result)}, not {current}")
        require(notice.result.outcome != "declined", "A decline was told of what is approved.")
