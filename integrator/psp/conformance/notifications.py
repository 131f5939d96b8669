"""Received notifications, and their events as parsed by the adapter."""

import time
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime

from integrator.psp.conformance import setup
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.harness import Delivery, SignatureScheme
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.errors import NotificationRejected
from integrator.psp.types import NotificationEvent

ReceivedEvent = tuple[Delivery, NotificationEvent]


def signature_scheme(context: CheckContext) -> SignatureScheme:
    """Return what the PSP's signatures protect. Raises `NotApplicable`."""
    if context.harness.signature is None:
        raise NotApplicable("the harness does not describe how notifications are signed")
    return context.harness.signature


def webhook_secret(context: CheckContext) -> str:
    """Return the account's webhook secret."""
    return context.harness.form[signature_scheme(context).setting].split(",")[0].strip()


def sign(
    context: CheckContext,
    delivery: Delivery,
    *,
    secret: str | None = None,
    at: datetime | None = None,
) -> Delivery:
    """Sign the delivery's body again, by default with the account's secret and the present time."""
    now = datetime.now(UTC)
    return context.harness.sign_delivery(
        delivery, secret=secret or webhook_secret(context), at=at or now
    )


def parse(
    context: CheckContext, delivery: Delivery, *, form: dict[str, str] | None = None
) -> Sequence[NotificationEvent]:
    """Parse a delivery with the adapter. Raises `NotificationRejected`."""
    settings = context.settings if form is None else context.settings_from(form)
    now = datetime.now(UTC)
    return context.adapter.parse_notification(settings, delivery.headers, delivery.body, now)


def without_raw(events: Sequence[NotificationEvent]) -> list[NotificationEvent]:
    """Return the events without their JSON, which may contain the signature."""
    return [event.model_copy(update={"raw": None}) for event in events]


async def count_deliveries(context: CheckContext) -> int:
    """Return the number of notifications received so far."""
    deliveries = await context.harness.list_deliveries()
    if deliveries is None:
        raise NotApplicable("the harness cannot receive notifications")
    return len(deliveries)


async def wait_for_events(
    context: CheckContext, reference: str, psp_ids: Collection[str | None] = (), *, since: int = 0
) -> list[ReceivedEvent]:
    """Wait for events about a transaction, up to the harness's timeout.

    Raises `NotApplicable` if the PSP sends none, `Violation` if it does and the adapter does not
    recognise the transaction.
    """
    ids = {psp_id for psp_id in psp_ids if psp_id is not None}

    async def probe() -> list[ReceivedEvent] | None:
        deliveries = await context.harness.list_deliveries() or ()
        matching = list(_matching_events(context, deliveries[since:], reference, ids))
        return matching or None

    await count_deliveries(context)
    events = await setup.poll(context, probe)
    if events is None:
        deliveries = (await context.harness.list_deliveries() or ())[since:]
        identifiers = [text.encode() for text in (reference, *ids)]
        if any(text in delivery.body for delivery in deliveries for text in identifiers):
            raise Violation("A notification names the transaction, but none of its events does.")
        raise NotApplicable("the PSP sends no notification about it")
    return events


def _matching_events(
    context: CheckContext, deliveries: Sequence[Delivery], reference: str, ids: set[str]
) -> Iterator[ReceivedEvent]:
    for delivery in deliveries:
        for event in _parse_genuine(context, delivery):
            if event.relevant and (event.reference == reference or ids & set(event.psp_ids)):
                yield delivery, event


def _parse_genuine(context: CheckContext, delivery: Delivery) -> Sequence[NotificationEvent]:
    try:
        return parse(context, delivery)
    except NotificationRejected as error:
        raise Violation(f"A genuine notification was rejected: {error}") from error


async def first_delivery(context: CheckContext) -> Delivery:
    """Return a genuine notification about a payment, shared by all checks."""
    return await context.kit_run.get_or_create(
        ("first delivery", _signature_period()), lambda: new_delivery(context)
    )


async def second_delivery(context: CheckContext) -> Delivery:
    """Return a second one about another payment, shared by all checks."""
    return await context.kit_run.get_or_create(
        ("second delivery", _signature_period()), lambda: new_delivery(context)
    )


def _signature_period() -> int:
    """Return a number that changes before a shared signature is too old to be accepted."""
    return int(time.monotonic() // 100)


async def new_delivery(context: CheckContext) -> Delivery:
    """Make a payment and return a notification about it."""
    _, method = next(setup.each_method(context))
    since = await count_deliveries(context)
    call, outcome = await setup.make_payment(context, method)
    events = await wait_for_events(context, call.reference, (outcome.psp_id,), since=since)
    return events[0][0]
