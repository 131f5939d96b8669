"""Nothing secret or personal leaves the adapter where it would be logged or stored."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from integrator.psp.conformance import call_factory, fault_transport, operations
from integrator.psp.conformance.assertions import require
from integrator.psp.conformance.checked_connection import texts
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.fault_transport import Fault
from integrator.psp.conformance.harness import ErrorCase, PspAnswer
from integrator.psp.conformance.operations import OperationKind, PreparedCall
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable
from integrator.psp.errors import PspError
from integrator.psp.types import Declined

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


@check(operations.kinds)
async def a_log_shows_nothing(world: CheckContext, kind: OperationKind) -> None:
    """No log line holds a secret, a token or payment data, also when calls go wrong."""
    act = await operations.prepare(world, kind)
    private = _private(world, act)
    with _logged() as lines:
        for effect in (
            fault_transport.lost(after_booking=False),
            fault_transport.late(after_booking=True),
            fault_transport.answering(fault_transport.html(500)),
            fault_transport.answering(fault_transport.html(401)),
        ):
            with world.wire.failing(Fault(effect)):
                await _tried(act, world)
        await _tried(act, world)
    shown = [name for name in private if any(name in line for line in lines)]
    require(not shown, f"{len(shown)} private values are in the log.")


@check(operations.kinds)
async def an_error_shows_nothing(world: CheckContext, kind: OperationKind) -> None:
    """No error holds a secret, a token, payment data or what a proxy said."""
    act = await operations.prepare(world, kind)
    private = (*_private(world, act), "Please try again later")
    for effect in (
        fault_transport.unreachable(),
        fault_transport.lost(after_booking=False),
        fault_transport.answering(fault_transport.html(403)),
        fault_transport.mangled(lambda body: body + b"}"),
    ):
        with world.wire.failing(Fault(effect)):
            said = await _tried(act, world)
        shown = [name for name in private if any(name in text for text in said)]
        require(not shown, f"{len(shown)} private values are in the error.")


@check(operations.kinds)
async def the_psps_sentence_is_cleaned(world: CheckContext, kind: OperationKind) -> None:
    """A PSP's explanation that repeats payment data is passed on without it."""
    answer = world.bench.answer(ErrorCase.UNHEARD_OF)
    if answer is None:
        raise NotApplicable("the bench does not know how the PSP words a refusal")
    act = await operations.prepare(world, kind)
    body = json.dumps(_indiscreet(json.loads(answer.body))).encode()
    rude = PspAnswer(answer.status, body, answer.headers)
    with world.wire.failing(Fault(fault_transport.answering(rude))):
        said = await _tried(act, world)
    shown = [name for name in (_CARD, _IBAN, _MAIL) if any(name in text for text in said)]
    require(not shown, f"{len(shown)} values of payment data came through.")


@check(operations.kinds)
async def secrets_stay_out_of_addresses(world: CheckContext, kind: OperationKind) -> None:
    """Addresses are logged by every proxy: they hold no secret; and all go to the PSP only."""
    act = await operations.prepare(world, kind)
    await act.carry_out(world)
    addresses = [str(request.url) for request in world.wire.seen]
    private = _private(world, act) - {_id(act)}
    shown = [name for name in private if any(name in address for address in addresses)]
    require(not shown, "An address holds a secret or payment data.")


@check(operations.kinds)
async def the_webhook_secret_is_not_sent(world: CheckContext, kind: OperationKind) -> None:
    """The webhook secret is for receiving: no call carries it."""
    if world.bench.signature is None:
        raise NotApplicable("the bench does not say how notifications are signed")
    secret = world.bench.form[world.bench.signature.setting]
    act = await operations.prepare(world, kind)
    await act.carry_out(world)
    for request in world.wire.seen:
        require(secret not in repr(request.headers.raw), "A header carries the webhook secret.")
        require(secret.encode() not in request.content, "A body carries the webhook secret.")


def _private(world: CheckContext, act: PreparedCall) -> set[str]:
    """Everything about the account and the customer that must not be seen."""
    personal = {call_factory.PAYER.email, _IBAN}
    stored = getattr(act.call, "instrument", None)
    if stored is not None:
        personal |= {*stored.bearer.values(), *stored.token.values()}
    personal |= set((getattr(act.call, "initial_bearer", None) or {}).values())
    known = {value for value in personal if value is not None and len(value) > 4}
    return known | world.secrets


def _id(act: PreparedCall) -> str:
    return getattr(act.call, "authorization_id", getattr(act.call, "payment_psp_id", ""))


async def _tried(act: PreparedCall, world: CheckContext) -> list[str]:
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
