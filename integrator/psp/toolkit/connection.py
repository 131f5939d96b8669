"""Base class of an adapter's connection."""

from collections.abc import Callable, Coroutine
from datetime import datetime
from functools import wraps
from typing import Any, TypeVar

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.errors import BearerRefused, ProtocolError
from integrator.psp.toolkit.client import RefusedError
from integrator.psp.toolkit.outcomes import NOTHING_HELD, UnsupportedRequestError
from integrator.psp.types import (
    Authorize,
    Call,
    Capture,
    Charge,
    Declined,
    EventPage,
    MovementPage,
    Outcome,
    Void,
)

C = TypeVar("C", bound=Call)
S = TypeVar("S", bound="PspConnection")
Operation = Callable[[S, C], Coroutine[Any, Any, Outcome]]


def returns_declines(operation: Operation[S, C]) -> Operation[S, C]:
    """Decorate an operation to return `Declined` where it raises a definite refusal.

    That is either a refusal by the PSP or a request that cannot be sent at all, such as an amount
    with more decimals than its currency has.
    """

    @wraps(operation)
    async def wrapper(self: S, call: C) -> Outcome:
        try:
            return await operation(self, call)
        except RefusedError as refusal:
            return self.map_refusal(refusal, call)
        except (BearerRefused, UnsupportedRequestError) as error:
            return Declined(code=error.code, message=str(error))

    return wrapper


class PspConnection:
    """Base class of a connection, with defaults for what a PSP does not support.

    The adapter implements the rest of `integrator.psp.port.Connection` and decorates its operations
    with `returns_declines`.
    """

    def map_refusal(self, refusal: RefusedError, call: Call) -> Declined:
        """Return the decline for a refusal.

        An object that is missing at the PSP is the stored payment method, if the call uses one.
        """
        if not refusal.missing:
            return refusal.declined
        uses_method = isinstance(call, Authorize | Charge)
        code = Code.BearerInvalid if uses_method else Code.InvalidData
        return refusal.declined.model_copy(update={"code": code})

    async def void(self, call: Void) -> Outcome:
        """Return `NOTHING_HELD`, for a PSP without reservations."""
        return NOTHING_HELD

    async def capture(self, call: Capture) -> Outcome:
        """Return `NOTHING_HELD`, for a PSP without reservations."""
        return NOTHING_HELD

    async def list_events(self, cursor: str | None) -> EventPage:
        """Raise `ProtocolError`; not called without the capability `event_list`."""
        raise ProtocolError("The PSP has no list of events")

    async def list_movements(
        self, since: datetime, until: datetime, cursor: str | None
    ) -> MovementPage:
        """Raise `ProtocolError`; not called without the capability `movement_list`."""
        raise ProtocolError("The PSP has no list of movements")
