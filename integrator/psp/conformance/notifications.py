"""Notifications as they arrived, read by the adapter."""

import time
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime

from integrator.psp.conformance import setup
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.harness import Delivery, Signature
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.errors import NotificationRejected
from integrator.psp.types import NotificationEvent

Told = tuple[Delivery, NotificationEvent]


def signature(world: CheckContext) -> Signature:
    """What the PSP's signatures protect; raises `CannotBeProvoked`."""
    if world.bench.signature is None:
        raise NotApplicable("the bench does not say how notifications are signed")
    return world.bench.signature


def secret(world: CheckContext) -> str:
    """The account's webhook secret."""
    return world.bench.form[signature(world).setting].split(",")[0].strip()


def signed(
    world: CheckContext, delivery: Delivery, *, by: str | None = None, at: datetime | None = None
) -> Delivery:
    """The delivery signed anew, by the account's secret and now unless said otherwise."""
    now = datetime.now(UTC)
    return world.bench.signed(delivery, secret=by or secret(world), at=at or now)


def read(
    world: CheckContext, delivery: Delivery, *, form: dict[str, str] | None = None
) -> Sequence[NotificationEvent]:
    """What the adapter makes of a delivery. Raises `NotificationRejected`."""
    settings = world.settings if form is None else world.settings_of(form)
    now = datetime.now(UTC)
    return world.adapter.parse_notification(settings, delivery.headers, delivery.body, now)


async def so_far(world: CheckContext) -> int:
    """How many notifications have arrived."""
    deliveries = await world.bench.deliveries()
    if deliveries is None:
        raise NotApplicable("the bench cannot receive notifications")
    return len(deliveries)


async def told(
    world: CheckContext, reference: str, psp_ids: Collection[str | None] = (), *, since: int = 0
) -> list[Told]:
    """What arrives about a transaction within the bench's patience.

    Raises `CannotBeProvoked` if the PSP tells nothing, `Violation` if it does and the adapter does
    not notice which transaction is meant.
    """
    ids = {psp_id for psp_id in psp_ids if psp_id is not None}

    async def look() -> list[Told] | None:
        deliveries = await world.bench.deliveries() or ()
        found = list(_about(world, deliveries[since:], reference, ids))
        return found or None

    await so_far(world)
    found = await setup.eventually(world, look)
    if found is None:
        deliveries = (await world.bench.deliveries() or ())[since:]
        names = [name.encode() for name in (reference, *ids)]
        if any(name in delivery.body for delivery in deliveries for name in names):
            raise Violation("A notification names the transaction, but none of its notices does.")
        raise NotApplicable("the PSP sends no notification about it")
    return found


def _about(
    world: CheckContext, deliveries: Sequence[Delivery], reference: str, ids: set[str]
) -> Iterator[Told]:
    for delivery in deliveries:
        for notice in _genuine(world, delivery):
            if notice.relevant and (notice.reference == reference or ids & set(notice.psp_ids)):
                yield delivery, notice


def _genuine(world: CheckContext, delivery: Delivery) -> Sequence[NotificationEvent]:
    try:
        return read(world, delivery)
    except NotificationRejected as error:
        raise Violation(f"A genuine notification was rejected: {error}") from error


async def one_delivery(world: CheckContext) -> Delivery:
    """A genuine notification about a payment; the same one for all checks."""
    return await world.rig.once(("delivery", _age()), lambda: fresh_delivery(world))


async def another_delivery(world: CheckContext) -> Delivery:
    """A second one, about another payment."""
    return await world.rig.once(("another delivery", _age()), lambda: fresh_delivery(world))


def _age() -> int:
    """Changes before a signature is too old to be accepted."""
    return int(time.monotonic() // 100)


async def fresh_delivery(world: CheckContext) -> Delivery:
    """A notification about a payment made now."""
    _, money = next(setup.first_moneys(world))
    since = await so_far(world)
    call, outcome = await setup.paid(world, money)
    found = await told(world, call.reference, (outcome.psp_id,), since=since)
    return found[0][0]
