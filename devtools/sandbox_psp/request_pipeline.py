"""Run every API call through faults, idempotency, magic amounts and booking."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass

from devtools.sandbox_psp import idempotency, magic_amounts
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.errors import DropConnection, PspError, invalid_request
from devtools.sandbox_psp.faults import Fault, Operation
from devtools.sandbox_psp.idempotency import ApiResponse
from devtools.sandbox_psp.magic_amounts import MagicEnding


@dataclass(frozen=True)
class Call:
    """One POST: its account, operation, idempotency key and fingerprint.

    `keyless`: the PSP does not require a key. `forget_errors`: only successes are stored under a
    key, so that a failed call may be repeated with the same key. `reference` is the merchant's
    name of the transaction, None where the call does not carry it. `convert_error` gives an error
    the form in which the PSP stores it. `is_creation`: it creates an object without effect.
    """

    account: str
    operation: Operation
    key: str | None
    fingerprint: str
    ending: MagicEnding | None = None
    keyless: bool = False
    forget_errors: bool = False
    reference: str | None = None
    convert_error: Callable[[PspError], PspError] | None = None
    is_creation: bool = False

    @property
    def needs_key(self) -> bool:
        """Return whether a key is required: for every call that moves money."""
        return not self.keyless and self.operation not in ("checkout_session", "mandate")


async def handle_write(ctx: Context, call: Call, action: Callable[[], ApiResponse]) -> ApiResponse:
    """Handle a POST. `action` books and runs at most once per key, inside a transaction.

    Raises PspError for error responses and DropConnection for no response at all.
    """
    if call.needs_key and not call.key:
        raise invalid_request(
            "idempotency_key_missing", "This call needs an Idempotency-Key header."
        )
    also: Operation | None = "creation" if call.is_creation else None
    faults = ctx.faults.draw(call.operation, call.reference, also)
    stored = next((fault for fault in faults if fault.stored), None)
    await _apply_faults(ctx, faults, "before")
    response = await _respond(ctx, call, _fail_stored(call, stored, action) if stored else action)
    await _apply_faults(ctx, faults, "after")
    return response


async def handle_read(
    ctx: Context,
    load: Callable[[], ApiResponse],
    reference: str | None = None,
    *,
    is_search: bool = False,
) -> ApiResponse:
    """Handle a GET about the transaction `reference`, with the faults set for `fetch`."""
    faults = ctx.faults.draw("fetch", reference, "search" if is_search else None)
    await _apply_faults(ctx, faults, "before")
    response = load()
    await _apply_faults(ctx, faults, "after")
    return response


def _fail_stored(
    call: Call, fault: Fault, action: Callable[[], ApiResponse]
) -> Callable[[], ApiResponse]:
    """Return an action whose response is the error, with or without the booking."""

    def fail() -> ApiResponse:
        if fault.when == "after":
            action()
        error = _server_error(fault.status)
        if call.convert_error is not None:
            error = call.convert_error(error)
        return ApiResponse(error.status, json.dumps(error.body()).encode(), error.headers)

    return fail


async def _respond(ctx: Context, call: Call, action: Callable[[], ApiResponse]) -> ApiResponse:
    if call.key is None:
        with ctx.db.transaction():
            return action()
    stored = idempotency.find_response(ctx, call.account, call.key, call.fingerprint)
    if stored is not None:
        return stored
    key_in_use = (call.account, call.key)
    ctx.in_flight.add(key_in_use)
    # A shielded task of its own: a caller that disconnects must not stop the booking.
    task = asyncio.create_task(_run_once(ctx, call, call.key, action))
    ctx.tasks.add(task)
    task.add_done_callback(lambda finished: _release_key(ctx, key_in_use, finished))
    return await asyncio.shield(task)


def _release_key(
    ctx: Context, key_in_use: tuple[str, str], task: "asyncio.Task[ApiResponse]"
) -> None:
    ctx.in_flight.discard(key_in_use)
    ctx.tasks.discard(task)
    if not task.cancelled():
        # Retrieve the exception, so that asyncio does not log it when the caller has disconnected.
        task.exception()


async def _run_once(
    ctx: Context, call: Call, key: str, action: Callable[[], ApiResponse]
) -> ApiResponse:
    await magic_amounts.apply_before_booking(ctx, call.ending, call.account, key)
    try:
        with ctx.db.transaction():
            response = action()
            idempotency.store_response(ctx, call.account, key, call.fingerprint, response)
    except PspError as error:
        if call.forget_errors:
            raise
        response = ApiResponse(error.status, json.dumps(error.body()).encode(), error.headers)
        idempotency.store_response(ctx, call.account, key, call.fingerprint, response)
    if call.ending is MagicEnding.DROP_AFTER_BOOKING:
        raise DropConnection
    return response


async def _apply_faults(ctx: Context, faults: list[Fault], when: str) -> None:
    for fault in faults:
        if fault.when == when and not fault.stored:
            await _apply_fault(ctx, fault)


async def _apply_fault(ctx: Context, fault: Fault) -> None:
    seconds = 1.0 if fault.seconds is None else fault.seconds
    match fault.kind:
        case "delay":
            await asyncio.sleep(seconds)
        case "hold":
            await ctx.faults.wait_until_removed(fault.id)
        case "drop":
            raise DropConnection
        case "error":
            raise _server_error(fault.status)
        case "refuse":
            raise PspError(400, "invalid_request", "refused", "This is not available here.")
        case "rate":
            message = "Too many requests; try again shortly."
            raise PspError(429, "rate_limit", "too_many_requests", message, retry_after=seconds)
        case _:
            pass


def _server_error(status: int) -> PspError:
    message = "Something went wrong at the PSP."
    return PspError(status, "api_error", "internal_error", message)
