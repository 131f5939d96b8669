"""Nothing secret or personal leaves the adapter where it would be logged or stored."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psp.errors import PspError
from psp.kit import acts, calls, wire
from psp.kit.acts import Act, Kind
from psp.kit.bench import PspAnswer, Said
from psp.kit.expect import require
from psp.kit.registry import check
from psp.kit.verdicts import CannotBeProvoked
from psp.kit.watched import texts
from psp.kit.wire import Fault
from psp.kit.world import World
from psp.types import Declined

_CARD, _IBAN = "4242 4242 4242 4242", "DE89370400440532013000"
_MAIL = "mia.kern@example.org"
_INDISCREET = f"Card {_CARD} of {_MAIL}, account {_IBAN}, was refused"
# Not the adapter's: they log addresses and, at the lowest level, headers. The worker mutes them.
_LIBRARIES = ("httpx", "httpcore", "asyncio")


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith(_LIBRARIES):
            self.lines.append(self.format(record))


@contextmanager
def _logged() -> Iterator[list[str]]:
    root, handler = logging.getLogger(), _Lines()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield handler.lines
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


@check(acts.kinds)
async def a_log_shows_nothing(world: World, kind: Kind) -> None:
    """No log line holds a secret, a token or payment data, also when calls go wrong."""
    act = await acts.prepare(world, kind)
    private = _private(world, act)
    with _logged() as lines:
        for effect in (
            wire.lost(after_booking=False),
            wire.late(after_booking=True),
            wire.answering(wire.html(500)),
            wire.answering(wire.html(401)),
        ):
            with world.wire.failing(Fault(effect)):
                await _tried(act, world)
        await _tried(act, world)
    shown = [name for name in private if any(name in line for line in lines)]
    require(not shown, f"{len(shown)} private values are in the log.")


@check(acts.kinds)
async def an_error_shows_nothing(world: World, kind: Kind) -> None:
    """No error holds a secret, a token, payment data or what a proxy said."""
    act = await acts.prepare(world, kind)
    private = (*_private(world, act), "Please try again later")
    for effect in (
        wire.unreachable(),
        wire.lost(after_booking=False),
        wire.answering(wire.html(403)),
        wire.mangled(lambda body: body + b"}"),
    ):
        with world.wire.failing(Fault(effect)):
            said = await _tried(act, world)
        shown = [name for name in private if any(name in text for text in said)]
        require(not shown, f"{len(shown)} private values are in the error.")


@check(acts.kinds)
async def the_psps_sentence_is_cleaned(world: World, kind: Kind) -> None:
    """A PSP's explanation that repeats payment data is passed on without it."""
    answer = world.bench.answer(Said.UNHEARD_OF)
    if answer is None:
        raise CannotBeProvoked("the bench does not know how the PSP words a refusal")
    act = await acts.prepare(world, kind)
    body = json.dumps(_indiscreet(json.loads(answer.body))).encode()
    rude = PspAnswer(answer.status, body, answer.headers)
    with world.wire.failing(Fault(wire.answering(rude))):
        said = await _tried(act, world)
    shown = [name for name in (_CARD, _IBAN, _MAIL) if any(name in text for text in said)]
    require(not shown, f"{len(shown)} values of payment data came through.")


@check(acts.kinds)
async def secrets_stay_out_of_addresses(world: World, kind: Kind) -> None:
    """Addresses are logged by every proxy: they hold no secret; and all go to the PSP only."""
    act = await acts.prepare(world, kind)
    await act.carry_out(world)
    addresses = [str(request.url) for request in world.wire.seen]
    private = _private(world, act) - {_id(act)}
    shown = [name for name in private if any(name in address for address in addresses)]
    require(not shown, "An address holds a secret or payment data.")


@check(acts.kinds)
async def the_webhook_secret_is_not_sent(world: World, kind: Kind) -> None:
    """The webhook secret is for receiving: no call carries it."""
    if world.bench.signature is None:
        raise CannotBeProvoked("the bench does not say how notifications are signed")
    secret = world.bench.form[world.bench.signature.setting]
    act = await acts.prepare(world, kind)
    await act.carry_out(world)
    for request in world.wire.seen:
        require(secret not in repr(request.headers.raw), "A header carries the webhook secret.")
        require(secret.encode() not in request.content, "A body carries the webhook secret.")


def _private(world: World, act: Act) -> set[str]:
    """Everything about the account and the customer that must not be seen."""
    personal = {calls.PAYER.email, _IBAN}
    stored = getattr(act.call, "instrument", None)
    if stored is not None:
        personal |= {*stored.bearer.values(), *stored.token.values()}
    personal |= set((getattr(act.call, "initial_bearer", None) or {}).values())
    known = {value for value in personal if value is not None and len(value) > 4}
    return known | world.secrets


def _id(act: Act) -> str:
    return getattr(act.call, "authorization_id", getattr(act.call, "payment_psp_id", ""))


async def _tried(act: Act, world: World) -> list[str]:
    """What a log or the workflow history would hold of the call."""
    try:
        outcome = await act.carry_out(world)
    except PspError as error:
        return [*texts(error)]
    message = outcome.message if isinstance(outcome, Declined) else None
    return [repr(outcome), message or ""]


def _indiscreet(body: Any) -> Any:
    """The PSP's error with every sentence in it replaced; words without blanks are codes."""
    if isinstance(body, dict):
        return {name: _indiscreet(value) for name, value in body.items()}
    if isinstance(body, list):
        return [_indiscreet(value) for value in body]
    return _INDISCREET if isinstance(body, str) and " " in body else body
