"""Forged, altered, replayed and malformed notifications."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from integrator.psp.conformance import notifications
from integrator.psp.conformance.assertions import require, require_equal
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.harness import Delivery
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.errors import NotificationRejected

_OTHER_SECRET = "whsec_other_merchant_0123456789"  # noqa: S105 - a made-up value
_MALFORMED_BODIES = {
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "text": b'"event"',
    "object": b"{}",
    "numbers": b'{"id": 1, "type": 2, "data": 3}',
    "cut-off": b'{"id": "evt_1", "type": "pay',
    "not-utf8": b'{"id": "\xff\xfe"}',
    "deep": b"[" * 100_000,
    "form": b"id=evt_1&type=payment",
}


def _malformed_bodies(context: CheckContext) -> Iterator[tuple[str, bytes]]:
    yield from _MALFORMED_BODIES.items()


def _invalid_ages(context: CheckContext) -> Iterator[tuple[str, timedelta]]:
    yield "an-hour-old", timedelta(hours=-1)
    yield "from-the-future", timedelta(hours=1)


@check()
async def a_genuine_notification_is_accepted(context: CheckContext) -> None:
    """The PSP's notification is accepted, and so is the harness's signature of it."""
    delivery = await notifications.first_delivery(context)
    events = notifications.parse(context, delivery)
    require(events, "No event was read.")
    require_equal(
        notifications.without_raw(
            notifications.parse(context, notifications.sign(context, delivery))
        ),
        notifications.without_raw(events),
        "the events after signing again",
    )


@check()
async def header_names_are_case_insensitive(context: CheckContext) -> None:
    """Header names differ in case between servers."""
    delivery = await notifications.first_delivery(context)
    for change_case in (str.lower, str.upper, str.title):
        headers = {change_case(name): text for name, text in delivery.headers.items()}
        require(
            notifications.parse(context, Delivery(headers, delivery.body)), "No event was read."
        )


@check()
async def another_secret_is_rejected(context: CheckContext) -> None:
    """A notification signed with another secret is rejected."""
    delivery = await notifications.first_delivery(context)
    _require_rejected(context, notifications.sign(context, delivery, secret=_OTHER_SECRET))


@check()
async def another_merchants_settings_reject_it(context: CheckContext) -> None:
    """A notification genuine for one merchant is rejected for another."""
    delivery = await notifications.first_delivery(context)
    form = {**context.harness.form, notifications.signature_scheme(context).setting: _OTHER_SECRET}
    _require_rejected(context, delivery, form)


@check()
async def a_header_cannot_supply_the_secret(context: CheckContext) -> None:
    """The secret comes from the merchant's settings; none sent along is used."""
    delivery = await notifications.first_delivery(context)
    forged = notifications.sign(context, delivery, secret=_OTHER_SECRET)
    prefixes = {name.rpartition("-")[0] for name in forged.headers} | {"X", "X-Webhook"}
    secret_headers = {
        f"{prefix}-{suffix}".lstrip("-"): _OTHER_SECRET
        for prefix in prefixes
        for suffix in ("Secret", "Webhook-Secret", "Signing-Secret", "Key")
    }
    _require_rejected(context, Delivery({**secret_headers, **forged.headers}, forged.body))


@check()
async def a_missing_signature_is_rejected(context: CheckContext) -> None:
    """A body without a signature is rejected."""
    _require_covered_body(context)
    delivery = await notifications.first_delivery(context)
    _require_rejected(context, Delivery({}, delivery.body))
    _require_rejected(context, Delivery({"Content-Type": "application/json"}, delivery.body))


@check()
async def an_altered_body_is_rejected(context: CheckContext) -> None:
    """The signature is verified over the received body, to the last byte."""
    _require_covered_body(context)
    delivery = await notifications.first_delivery(context)
    body = delivery.body
    altered_bodies = (body + b" ", b" " + body, body[:-1], _change_last_digit(body))
    for altered_body in altered_bodies:
        _require_rejected(context, Delivery(delivery.headers, altered_body))


@check()
async def another_notifications_signature_is_rejected(context: CheckContext) -> None:
    """The signature of one notification is not valid for another."""
    _require_covered_body(context)
    first, second = (
        await notifications.first_delivery(context),
        await notifications.second_delivery(context),
    )
    _require_rejected(context, Delivery(first.headers, second.body))


@check()
async def an_appended_event_is_rejected(context: CheckContext) -> None:
    """In a notification of several events, the signature is verified over all of them."""
    _require_covered_body(context)
    first, second = (
        await notifications.first_delivery(context),
        await notifications.second_delivery(context),
    )
    batch = context.harness.batch_deliveries([first, second])
    if batch is None:
        raise NotApplicable("the PSP sends one event at a time")
    single_batch = context.harness.batch_deliveries([first])
    if single_batch is None:
        raise NotApplicable("the harness cannot put a single event into a batch")
    _require_rejected(
        context, Delivery(notifications.sign(context, single_batch).headers, batch.body)
    )


@check(_invalid_ages)
async def an_old_or_future_time_is_rejected(context: CheckContext, age: timedelta) -> None:
    """A signature that is old, or dated ahead, is rejected: it may be replayed."""
    if not notifications.signature_scheme(context).timestamped:
        raise NotApplicable("the PSP's signatures carry no time")
    delivery = await notifications.first_delivery(context)
    _require_rejected(context, notifications.sign(context, delivery, at=datetime.now(UTC) + age))


@check()
async def a_minute_of_clock_skew_is_accepted(context: CheckContext) -> None:
    """Clocks differ slightly: a minute is accepted."""
    delivery = await notifications.first_delivery(context)
    for age in (timedelta(minutes=-1), timedelta(minutes=1)):
        aged = notifications.sign(context, delivery, at=datetime.now(UTC) + age)
        require(notifications.parse(context, aged), "No event was read.")


@check()
async def both_secrets_are_accepted_during_rotation(context: CheckContext) -> None:
    """During a rotation, notifications signed with either secret are accepted."""
    signature = notifications.signature_scheme(context)
    if not signature.multiple_secrets:
        raise NotApplicable("the setting accepts only one secret")
    delivery = await notifications.first_delivery(context)
    current_secret = notifications.webhook_secret(context)
    form = {**context.harness.form, signature.setting: f"{_OTHER_SECRET},{current_secret}"}
    for secret in (current_secret, _OTHER_SECRET):
        signed = notifications.sign(context, delivery, secret=secret)
        require(notifications.parse(context, signed, form=form), "No event was read.")
    _require_rejected(
        context, notifications.sign(context, delivery, secret=f"{_OTHER_SECRET}x"), form
    )


@check(_malformed_bodies)
async def malformed_bodies_are_rejected(context: CheckContext, body: bytes) -> None:
    """Malformed bodies with a genuine notification's headers are rejected."""
    _require_covered_body(context)
    delivery = await notifications.first_delivery(context)
    _require_rejected(context, Delivery(delivery.headers, body))


@check(_malformed_bodies)
async def signed_malformed_bodies_have_no_result(context: CheckContext, body: bytes) -> None:
    """Even correctly signed, malformed bodies raise NotificationRejected or have no result."""
    _require_covered_body(context)
    delivery = await notifications.first_delivery(context)
    malformed = notifications.sign(context, Delivery(delivery.headers, body))
    try:
        events = notifications.parse(context, malformed)
    except NotificationRejected:
        return
    except Exception as error:
        raise Violation(
            f"{type(error).__name__} was raised by parse_notification: {error}"
        ) from error
    require(not [n for n in events if n.result is not None], "A malformed body has an outcome.")


@check()
async def an_unsigned_body_has_no_result(context: CheckContext) -> None:
    """Where the signature does not cover the body, the outcome is left to a look-up."""
    if notifications.signature_scheme(context).covers_body:
        raise NotApplicable("the signature covers the body")
    delivery = await notifications.first_delivery(context)
    for event in notifications.parse(context, delivery):
        require_equal(event.result, None, "the result of an event with an unsigned body")


def _require_covered_body(context: CheckContext) -> None:
    if not notifications.signature_scheme(context).covers_body:
        raise NotApplicable("the signature does not cover the body")


def _require_rejected(
    context: CheckContext, delivery: Delivery, form: dict[str, str] | None = None
) -> None:
    try:
        notifications.parse(context, delivery, form=form)
    except NotificationRejected as rejection:
        require(
            notifications.webhook_secret(context) not in str(rejection),
            "The rejection shows the secret.",
        )
        return
    except Exception as error:
        raise Violation(
            f"{type(error).__name__} was raised by parse_notification: {error}"
        ) from error
    raise Violation("The notification was accepted.")


def _change_last_digit(body: bytes) -> bytes:
    """Change the body's last digit: part of an amount, a time or an id."""
    place = max(index for index, byte in enumerate(body) if 0x30 <= byte <= 0x39)
    digit = bytes([0x30 + (body[place] - 0x30 + 1) % 10])
    return body[:place] + digit + body[place + 1 :]
