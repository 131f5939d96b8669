"""The way of every API call: faults, remembered answers, steering, booking, more faults."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass

from devtools.sandbox_psp import idempotency, magic_amounts
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.errors import DropConnection, PspError, invalid
from devtools.sandbox_psp.faults import Fault, Operation
from devtools.sandbox_psp.idempotency import Answer
from devtools.sandbox_psp.magic_amounts import Ending


@dataclass(frozen=True)
class Call:
    """One POST: whose it is, what it does, and what makes it the same call again.

    `keyless`: the PSP protects the call by no key. `forgets_refusals`: it remembers a key only for
    what it has made, so that a refused call may be repeated with it.
    """

    account: str
    operation: Operation
    key: str | None
    fingerprint: str
    steered: Ending | None = None
    keyless: bool = False
    forgets_refusals: bool = False

    @property
    def needs_key(self) -> bool:
        """Whether it moves money."""
        return not self.keyless and self.operation not in ("checkout_session", "mandate")


async def perform(ctx: Context, call: Call, work: Callable[[], Answer]) -> Answer:
    """Answer a POST. `work` books and runs at most once per key, inside a transaction.

    Raises PspError for refusals and DropConnection for no answer at all.
    """
    if call.needs_key and not call.key:
        raise invalid("idempotency_key_missing", "This call needs an Idempotency-Key header.")
    faults = ctx.faults.strike(call.operation)
    await _suffer(faults, "before")
    given = await _answer(ctx, call, work)
    await _suffer(faults, "after")
    return given


async def read(ctx: Context, look: Callable[[], Answer]) -> Answer:
    """Answer a GET, with the faults set for `fetch`."""
    faults = ctx.faults.strike("fetch")
    await _suffer(faults, "before")
    given = look()
    await _suffer(faults, "after")
    return given


async def _answer(ctx: Context, call: Call, work: Callable[[], Answer]) -> Answer:
    if call.key is None:
        with ctx.db.transaction():
            return work()
    remembered = idempotency.recall(ctx, call.account, call.key, call.fingerprint)
    if remembered is not None:
        return remembered
    owner = (call.account, call.key)
    ctx.in_flight.add(owner)
    # A task of its own, shielded: a caller that hangs up must not stop the booking.
    task = asyncio.create_task(_first_time(ctx, call, call.key, work))
    ctx.tasks.add(task)
    task.add_done_callback(lambda done: _finished(ctx, owner, done))
    return await asyncio.shield(task)


def _finished(ctx: Context, owner: tuple[str, str], task: "asyncio.Task[Answer]") -> None:
    ctx.in_flight.discard(owner)
    ctx.tasks.discard(task)
    if not task.cancelled():
        # Asked for, so that asyncio does not complain when the caller has gone.
        task.exception()


async def _first_time(ctx: Context, call: Call, key: str, work: Callable[[], Answer]) -> Answer:
    await magic_amounts.before_booking(ctx, call.steered, call.account, key)
    try:
        with ctx.db.transaction():
            given = work()
            idempotency.remember(ctx, call.account, key, call.fingerprint, given)
    except PspError as refusal:
        if call.forgets_refusals:
            raise
        given = Answer(refusal.status, json.dumps(refusal.body()).encode(), refusal.headers)
        idempotency.remember(ctx, call.account, key, call.fingerprint, given)
    if call.steered is Ending.DROP_AFTER_BOOKING:
        raise DropConnection
    return given


async def _suffer(faults: list[Fault], when: str) -> None:
    for fault in faults:
        if fault.when == when:
            await _inflict(fault)


async def _inflict(fault: Fault) -> None:
    seconds = 1.0 if fault.seconds is None else fault.seconds
    match fault.kind:
        case "delay":
            await asyncio.sleep(seconds)
        case "drop":
            raise DropConnection
        case "error":
            message = "Something went wrong at the PSP."
            raise PspError(fault.status, "api_error", "internal_error", message)
        case "rate":
            message = "Too many requests; try again shortly."
            raise PspError(429, "rate_limit", "too_many_requests", message, retry_after=seconds)
        case _:
            pass
