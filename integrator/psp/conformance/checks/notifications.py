"""Events of notifications: the transaction they identify and the outcome they report."""

import json
from collections.abc import Iterator
from typing import Any

from integrator.psp.conformance import call_factory, notifications, operations, setup
from integrator.psp.conformance.assertions import (
    describe,
    facts_of,
    require,
    require_approved,
    require_equal,
)
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.harness import CustomerBehavior, Delivery, OddEvent, Script
from integrator.psp.conformance.operations import OperationKind, OperationVariant, PreparedCall
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.conformance.setup import MethodCurrency
from integrator.psp.errors import NotificationRejected
from integrator.psp.types import Approved, Declined, Fact, FactKind, NotificationEvent, Outcome

_LATE_OUTCOMES: dict[Script, type[Approved] | type[Declined]] = {
    Script.PENDING_THEN_DONE: Approved,
    Script.PENDING_THEN_FAILED: Declined,
}


_UNREADABLE_ENTRIES: tuple[Any, ...] = (None, 7, "event", [], {}, {"id": ["EV1"], "links": []})


def _add_entry(body: bytes, entry: Any) -> bytes:
    """Put an entry before the others of the batch's list."""
    content = json.loads(body)
    members = content.values() if isinstance(content, dict) else [content]
    entries = next((member for member in members if isinstance(member, list)), None)
    if entries is None:
        raise NotApplicable("the batch is no JSON with a list of events")
    entries.insert(0, entry)
    return json.dumps(content).encode()


def _notified_kinds(context: CheckContext) -> Iterator[tuple[str, OperationKind]]:
    for label, kind in operations.kinds(context):
        if kind.variant is not OperationVariant.CHECKOUT:
            yield label, kind


def _redirect_methods(context: CheckContext) -> Iterator[tuple[str, MethodCurrency]]:
    roles = [role for role, method in context.capabilities.methods.items() if method.redirect]
    yield from setup.each_method(context, roles)


def _late_cases(context: CheckContext) -> Iterator[tuple[str, tuple[OperationKind, Script]]]:
    for label, kind in operations.kinds(context):
        if kind.variant in (
            OperationVariant.CAPTURE,
            OperationVariant.CHARGE,
            OperationVariant.REFUND,
        ):
            for script in _LATE_OUTCOMES:
                yield f"{label}-{script.value}", (kind, script)


def _odd_events(context: CheckContext) -> Iterator[tuple[str, OddEvent]]:
    yield from context.harness.odd_events().items()


def _unsuccessful_visits(
    context: CheckContext,
) -> Iterator[tuple[str, tuple[MethodCurrency, CustomerBehavior]]]:
    for label, method in _redirect_methods(context):
        for customer in (
            CustomerBehavior.LACKS_FUNDS,
            CustomerBehavior.CANCELS,
            CustomerBehavior.STAYS_AWAY,
        ):
            yield f"{label}-{customer.value}", (method, customer)


@check(_notified_kinds)
async def an_operation_is_notified(context: CheckContext, kind: OperationKind) -> None:
    """A notification identifies its transaction and agrees with a look-up or has no result."""
    since = await notifications.count_deliveries(context)
    prepared = await operations.prepare(context, kind)
    outcome = await prepared.execute(context)
    await setup.wait_until_booked(context, prepared.call)
    reported = await notifications.wait_for_events(
        context, prepared.call.reference, (outcome.psp_id,), since=since
    )
    current = await prepared.look_up(context)
    for _, event in reported:
        _require_agreement(event, current)


@check(_redirect_methods)
async def a_completed_checkout_is_notified(context: CheckContext, method: MethodCurrency) -> None:
    """A completed checkout is notified, even if the customer never returns."""
    since = await notifications.count_deliveries(context)
    call, redirect = await setup.open_page(context, method, method.amount)
    outcome = require_approved(
        await setup.visit_page(context, call, redirect, CustomerBehavior.PAYS)
    )
    ids = (redirect.psp_id, outcome.psp_id)
    for _, event in await notifications.wait_for_events(context, call.reference, ids, since=since):
        _require_agreement(event, outcome)


@check(setup.each_method)
async def a_chargeback_is_notified(context: CheckContext, method: MethodCurrency) -> None:
    """A chargeback is notified with its payment, or shown by a look-up at that time."""
    since = await notifications.count_deliveries(context)
    stored = await setup.stored_instrument(context, method)
    call = call_factory.charge(method.role, method.amount, method.currency, stored)
    scripted_call = await context.harness.script_call(call, Script.CHARGED_BACK)
    if scripted_call is None:
        raise NotApplicable(f"the harness has no chargebacks for {method.role.name}")
    outcome = await context.connection.charge(scripted_call)

    async def probe() -> Fact | None:
        for _, event in await notifications.wait_for_events(
            context, call.reference, (outcome.psp_id,), since=since
        ):
            outcome_at_event = event.result or await setup.fetch_outcome(context, scripted_call)
            for fact in facts_of(outcome_at_event):
                if fact.kind is FactKind.CHARGED_BACK:
                    return fact
        return None

    chargeback = await setup.poll(context, probe)
    if chargeback is None:
        raise Violation("No notification reports the chargeback.")
    require_equal(chargeback.amount, scripted_call.amount, "the amount charged back")


@check(_late_cases)
async def a_late_outcome_is_notified(
    context: CheckContext, case: tuple[OperationKind, Script]
) -> None:
    """A late outcome is notified, or shown by a look-up after the notification."""
    kind, script = case
    since = await notifications.count_deliveries(context)
    unscripted = await operations.prepare(context, kind)
    scripted_call = await context.harness.script_call(unscripted.call, script)
    if scripted_call is None:
        raise NotApplicable(f"the harness has no script {script.value} for {kind.variant.value}")
    prepared = PreparedCall(kind.variant, scripted_call, unscripted.booking_kind)
    outcome = await prepared.execute(context)
    await _require_notified(context, prepared, outcome, _LATE_OUTCOMES[script], since)


@check(_unsuccessful_visits)
async def an_unsuccessful_checkout_is_notified(
    context: CheckContext, case: tuple[MethodCurrency, CustomerBehavior]
) -> None:
    """A declined, cancelled or expired checkout is notified: the customer may never return."""
    method, customer = case
    since = await notifications.count_deliveries(context)
    call, redirect = await setup.open_page(context, method, method.amount)
    await setup.visit_page(context, call, redirect, customer)
    await _require_notified(
        context, PreparedCall(OperationVariant.CHECKOUT, call, None), redirect, Declined, since
    )


@check()
async def a_redelivery_has_the_same_event_id(context: CheckContext) -> None:
    """A redelivered notification has the same event ids, by which it is recognised."""
    delivery = await notifications.first_delivery(context)
    first_ids = [event.event_id for event in notifications.parse(context, delivery)]
    repeated_ids = [
        event.event_id
        for event in notifications.parse(context, notifications.sign(context, delivery))
    ]
    require(all(first_ids), "An event has no id.")
    require_equal(repeated_ids, first_ids, "the event ids of the repetition")


@check()
async def events_have_distinct_ids(context: CheckContext) -> None:
    """Different events have different ids."""
    first, second = (
        await notifications.first_delivery(context),
        await notifications.second_delivery(context),
    )
    require(first.body != second.body, "The PSP sent the same notification twice.")
    ids = [
        event.event_id
        for delivery in (first, second)
        for event in notifications.parse(context, delivery)
    ]
    require_equal(len(set(ids)), len(ids), "the number of different event ids")


@check()
async def every_event_of_a_batch_is_read(context: CheckContext) -> None:
    """Every event of a batch is parsed."""
    first, second = (
        await notifications.first_delivery(context),
        await notifications.second_delivery(context),
    )
    batch = context.harness.batch_deliveries([first, second])
    if batch is None:
        raise NotApplicable("the PSP sends one event at a time")
    expected = [*notifications.parse(context, first), *notifications.parse(context, second)]
    parsed = notifications.parse(context, notifications.sign(context, batch))
    require_equal(
        [event.event_id for event in parsed],
        [event.event_id for event in expected],
        "the events of the batch",
    )


@check()
async def an_unknown_event_is_not_an_error(context: CheckContext) -> None:
    """An event of an unknown kind is not relevant, or has no result."""
    delivery = _signed_unknown_event(context)
    try:
        events = notifications.parse(context, delivery)
    except NotificationRejected as error:
        raise Violation("The event was rejected: the PSP would send it again for days.") from error
    except Exception as error:
        raise Violation(
            f"{type(error).__name__} was raised by parse_notification: {error}"
        ) from error
    for event in events:
        require(not event.relevant or event.result is None, "The unknown event has a result.")


@check()
async def an_unknown_event_does_not_hide_others(context: CheckContext) -> None:
    """In a batch, an unknown event does not prevent the others from being parsed."""
    known_delivery = await notifications.first_delivery(context)
    batch = context.harness.batch_deliveries([_signed_unknown_event(context), known_delivery])
    if batch is None:
        raise NotApplicable("the PSP sends one event at a time")
    parsed = {
        event.event_id for event in notifications.parse(context, notifications.sign(context, batch))
    }
    expected = {event.event_id for event in notifications.parse(context, known_delivery)}
    require(expected <= parsed, "The known event is missing.")


@check()
async def an_unreadable_entry_does_not_hide_others(context: CheckContext) -> None:
    """In a batch, entries that are no events are returned as unreadable, or ignored."""
    known_delivery = await notifications.first_delivery(context)
    batch = context.harness.batch_deliveries([known_delivery])
    if batch is None:
        raise NotApplicable("the PSP sends one event at a time")
    for entry in _UNREADABLE_ENTRIES:
        mixed = Delivery(batch.headers, _add_entry(batch.body, entry))
        try:
            parsed = notifications.parse(context, notifications.sign(context, mixed))
        except NotificationRejected as error:
            raise Violation(f"All events were rejected because of the entry {entry!r}.") from error
        except Exception as error:
            raise Violation(
                f"{type(error).__name__} was raised by parse_notification: {error}"
            ) from error
        known = notifications.parse(context, known_delivery)
        expected = {event.event_id for event in known if event.relevant}
        relevant = {event.event_id for event in parsed if event.relevant}
        require_equal(relevant, expected, f"the relevant events beside the entry {entry!r}")


@check()
async def an_event_is_read_again_from_its_own_json(context: CheckContext) -> None:
    """`read_event` returns the same event from its `raw`, which holds no other event."""
    first, second = (
        await notifications.first_delivery(context),
        await notifications.second_delivery(context),
    )
    batch = context.harness.batch_deliveries([first, second])
    delivery = first if batch is None else notifications.sign(context, batch)
    events = notifications.parse(context, delivery)
    if all(event.raw is None for event in events):
        raise NotApplicable("its events have no JSON of their own (raw)")
    for event in events:
        require(event.raw is not None, f"The event {event.event_id} has no raw, others have.")
        require_equal(
            list(context.adapter.read_event(event.raw or b"")),
            [event.model_copy(update={"raw": None})],
            "the event read again from its raw",
        )


@check(_odd_events)
async def an_odd_event_is_accepted(context: CheckContext, odd: OddEvent) -> None:
    """A genuine event of another API version or with odd characters is read, or ignored.

    Rejected, the PSP would send it again for days, and then disable the endpoint.
    """
    delivery = odd.build(await notifications.first_delivery(context))
    try:
        events = notifications.parse(context, notifications.sign(context, delivery))
    except NotificationRejected as error:
        raise Violation(f"The event was rejected: {error}") from error
    for event in events:
        require(event.event_id, "The event has no id.")
    if odd.relevant is not None:
        require_equal(any(event.relevant for event in events), odd.relevant, "whether it matters")


def _signed_unknown_event(context: CheckContext) -> Delivery:
    delivery = context.harness.unknown_event()
    if delivery is None:
        raise NotApplicable("the harness has no example of an unknown event")
    return notifications.sign(context, delivery)


async def _require_notified(
    context: CheckContext,
    prepared: PreparedCall,
    outcome: Outcome,
    expected_type: type[Approved] | type[Declined],
    since: int,
) -> None:
    async def probe() -> bool | None:
        reported = await notifications.wait_for_events(
            context, prepared.call.reference, (outcome.psp_id,), since=since
        )
        for _, event in reported:
            outcome_at_event = event.result or await prepared.look_up(context, outcome.psp_id)
            if isinstance(outcome_at_event, expected_type):
                return True
        return None

    if not await setup.poll(context, probe):
        raise Violation(f"No notification reports the outcome {expected_type.__name__}.")


def _require_agreement(event: NotificationEvent, current: Outcome | None) -> None:
    """Require that what an event reports still holds; it may be older than the look-up."""
    reported = {(fact.kind, fact.id): fact.amount for fact in facts_of(event.result)}
    current_facts = {(fact.kind, fact.id): fact.amount for fact in facts_of(current)}
    if event.result is not None and current is not None and current.outcome == "approved":
        require(
            reported.items() <= current_facts.items(),
            f"The event reports {describe(event.result)}, the look-up {current}",
        )
        require(
            event.result.outcome != "declined",
            "The event reports a decline of an approved transaction.",
        )
