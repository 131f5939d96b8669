"""Notifications that are not what they seem."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from integrator.psp.conformance import notifications
from integrator.psp.conformance.assertions import equal, require
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.harness import Delivery
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.errors import NotificationRejected

_OTHER_SECRET = "whsec_somebody_elses_0123456789"  # noqa: S105 - nobody's
_BODIES = {
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


def _bodies(world: CheckContext) -> Iterator[tuple[str, bytes]]:
    yield from _BODIES.items()


def _moments(world: CheckContext) -> Iterator[tuple[str, timedelta]]:
    yield "an-hour-old", timedelta(hours=-1)
    yield "from-the-future", timedelta(hours=1)


@check()
async def a_genuine_one_is_accepted(world: CheckContext) -> None:
    """What the PSP has sent is accepted, and also what the bench signs as the PSP does."""
    delivery = await notifications.one_delivery(world)
    notices = notifications.read(world, delivery)
    require(notices, "No event was read.")
    equal(
        list(notifications.read(world, notifications.signed(world, delivery))),
        list(notices),
        "signed anew",
    )


@check()
async def headers_have_any_case(world: CheckContext) -> None:
    """Header names differ in case from server to server."""
    delivery = await notifications.one_delivery(world)
    for change in (str.lower, str.upper, str.title):
        headers = {change(name): text for name, text in delivery.headers.items()}
        require(notifications.read(world, Delivery(headers, delivery.body)), "No event was read.")


@check()
async def another_secret_is_rejected(world: CheckContext) -> None:
    """What is signed with another secret comes from somebody else."""
    delivery = await notifications.one_delivery(world)
    _rejected(world, notifications.signed(world, delivery, by=_OTHER_SECRET))


@check()
async def other_settings_reject_it(world: CheckContext) -> None:
    """What is genuine for one merchant is not for another."""
    delivery = await notifications.one_delivery(world)
    form = {**world.bench.form, notifications.signature(world).setting: _OTHER_SECRET}
    _rejected(world, delivery, form)


@check()
async def a_header_brings_no_secret(world: CheckContext) -> None:
    """The secret comes from the merchant's settings: none that travels along is used."""
    delivery = await notifications.one_delivery(world)
    forged = notifications.signed(world, delivery, by=_OTHER_SECRET)
    prefixes = {name.rpartition("-")[0] for name in forged.headers} | {"X", "X-Webhook"}
    carried = {
        f"{prefix}-{word}".lstrip("-"): _OTHER_SECRET
        for prefix in prefixes
        for word in ("Secret", "Webhook-Secret", "Signing-Secret", "Key")
    }
    _rejected(world, Delivery({**carried, **forged.headers}, forged.body))


@check()
async def no_headers_are_rejected(world: CheckContext) -> None:
    """A body without its signature proves nothing."""
    _covered(world)
    delivery = await notifications.one_delivery(world)
    _rejected(world, Delivery({}, delivery.body))
    _rejected(world, Delivery({"Content-Type": "application/json"}, delivery.body))


@check()
async def an_altered_body_is_rejected(world: CheckContext) -> None:
    """The signature is checked over the body as it came, to the last byte."""
    _covered(world)
    delivery = await notifications.one_delivery(world)
    body = delivery.body
    altered = (body + b" ", b" " + body, body[:-1], _next_digit(body))
    for other in altered:
        _rejected(world, Delivery(delivery.headers, other))


@check()
async def a_borrowed_signature_is_rejected(world: CheckContext) -> None:
    """The signature of one notification does not fit another."""
    _covered(world)
    first, second = (
        await notifications.one_delivery(world),
        await notifications.another_delivery(world),
    )
    _rejected(world, Delivery(first.headers, second.body))


@check()
async def an_appended_event_is_rejected(world: CheckContext) -> None:
    """In a notification of several events, the signature is checked over all of them."""
    _covered(world)
    first, second = (
        await notifications.one_delivery(world),
        await notifications.another_delivery(world),
    )
    both = world.bench.batched([first, second])
    if both is None:
        raise NotApplicable("the PSP sends one event at a time")
    alone = world.bench.batched([first])
    if alone is None:
        raise NotApplicable("the bench cannot put a single event into a batch")
    _rejected(world, Delivery(notifications.signed(world, alone).headers, both.body))


@check(_moments)
async def another_time_is_rejected(world: CheckContext, distance: timedelta) -> None:
    """A signature that is old, or dated ahead, is not accepted: it may be played back."""
    if not notifications.signature(world).window:
        raise NotApplicable("the PSP's signatures carry no time")
    delivery = await notifications.one_delivery(world)
    _rejected(world, notifications.signed(world, delivery, at=datetime.now(UTC) + distance))


@check()
async def a_minute_is_forgiven(world: CheckContext) -> None:
    """Clocks differ a little: a minute is not too old."""
    delivery = await notifications.one_delivery(world)
    for distance in (timedelta(minutes=-1), timedelta(minutes=1)):
        aged = notifications.signed(world, delivery, at=datetime.now(UTC) + distance)
        require(notifications.read(world, aged), "No event was read.")


@check()
async def both_secrets_are_good_meanwhile(world: CheckContext) -> None:
    """While one secret replaces another, notifications signed with either are accepted."""
    signature = notifications.signature(world)
    if not signature.several:
        raise NotApplicable("the setting takes one secret only")
    delivery = await notifications.one_delivery(world)
    old = notifications.secret(world)
    form = {**world.bench.form, signature.setting: f"{_OTHER_SECRET},{old}"}
    for secret in (old, _OTHER_SECRET):
        fresh = notifications.signed(world, delivery, by=secret)
        require(notifications.read(world, fresh, form=form), "No event was read.")
    _rejected(world, notifications.signed(world, delivery, by=f"{_OTHER_SECRET}x"), form)


@check(_bodies)
async def nonsense_is_rejected(world: CheckContext, body: bytes) -> None:
    """Nonsense with a genuine notification's headers is rejected, and breaks nothing."""
    _covered(world)
    delivery = await notifications.one_delivery(world)
    _rejected(world, Delivery(delivery.headers, body))


@check(_bodies)
async def signed_nonsense_breaks_nothing(world: CheckContext, body: bytes) -> None:
    """Even with a good signature, nonsense raises NotificationRejected or says nothing."""
    _covered(world)
    delivery = await notifications.one_delivery(world)
    nonsense = notifications.signed(world, Delivery(delivery.headers, body))
    try:
        notices = notifications.read(world, nonsense)
    except NotificationRejected:
        return
    except Exception as error:
        raise Violation(f"{type(error).__name__} left parse_notification: {error}") from error
    require(not [n for n in notices if n.result is not None], "Nonsense had an outcome.")


@check()
async def an_uncovered_body_is_not_believed(world: CheckContext) -> None:
    """Where the signature does not cover the body, its outcome is left to a look-up."""
    if notifications.signature(world).covers_body:
        raise NotApplicable("the signature covers the body")
    delivery = await notifications.one_delivery(world)
    for notice in notifications.read(world, delivery):
        equal(notice.result, None, "the result of a notice that proves nothing")


def _covered(world: CheckContext) -> None:
    if not notifications.signature(world).covers_body:
        raise NotApplicable("the signature does not cover the body")


def _rejected(world: CheckContext, delivery: Delivery, form: dict[str, str] | None = None) -> None:
    try:
        notifications.read(world, delivery, form=form)
    except NotificationRejected as rejection:
        require(
            notifications.secret(world) not in str(rejection), "The rejection shows the secret."
        )
        return
    except Exception as error:
        raise Violation(f"{type(error).__name__} left parse_notification: {error}") from error
    raise Violation("It was accepted.")


def _next_digit(body: bytes) -> bytes:
    """The body with its last digit changed: an amount, a time or an id."""
    place = max(index for index, byte in enumerate(body) if 0x30 <= byte <= 0x39)
    digit = bytes([0x30 + (body[place] - 0x30 + 1) % 10])
    return body[:place] + digit + body[place + 1 :]
