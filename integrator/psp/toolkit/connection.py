"""The base of an adapter's connection."""

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
    """Make an operation return what it raises for a definite no.

    That is the PSP's refusal, and what it can never be asked for, such as an amount that its
    currency does not have.
    """

    @wraps(operation)
    async def answered(self: S, call: C) -> Outcome:
        try:
            return await operation(self, call)
        except RefusedError as refusal:
            return self.declined(refusal, call)
        except (BearerRefused, UnsupportedRequestError) as no:
            return Declined(code=no.code, message=str(no))

    return answered


class PspConnection:
    """Base of an adapter's connection: what a PSP does not have is answered here.

    The rest of `integrator.psp.port.Connection` is the adapter's own. Its operations are decorated with
    `declining`.
    """

    def declined(self, refusal: RefusedError, call: Call) -> Declined:
        """What a refusal comes to: what is missing is the stored payment method, if one is used."""
        if not refusal.missing:
            return refusal.declined
        uses_method = isinstance(call, Authorize | Charge)
        code = Code.BearerInvalid if uses_method else Code.InvalidData
        return refusal.declined.model_copy(update={"code": code})

    async def void(self, call: Void) -> Outcome:
        """A PSP that holds no money has nothing to give back."""
        return NOTHING_HELD

    async def capture(self, call: Capture) -> Outcome:
        """A PSP that holds no money has nothing to capture."""
        return NOTHING_HELD

    async def list_events(self, cursor: str | None) -> EventPage:
        """Never called without the capability `event_list`."""
        raise ProtocolError("The PSP lists no events")

    async def list_movements(
        self, since: datetime, until: datetime, cursor: str | None
    ) -> MovementPage:
        """Never called without the capability `movement_list`."""
        raise ProtocolError("The PSP lists no movements")
