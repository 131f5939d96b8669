"""A connection under observation: rules that hold for every call are checked at every call."""

from collections.abc import Awaitable, Collection, Iterator
from datetime import datetime
from typing import TypeVar

from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.errors import PspError
from integrator.psp.port import Connection
from integrator.psp.types import (
    Authorize,
    Capture,
    Charge,
    Declined,
    EventPage,
    Lookup,
    MovementPage,
    Outcome,
    Refund,
    SettingsCheck,
    Void,
)

T = TypeVar("T")


class Watched:
    """Passes everything on to a connection.

    Raises `Violation` for an exception that is no `PspError`, and for a secret in anything that may
    be logged: an error's text, that of its cause, the `repr` of a value.
    """

    def __init__(self, connection: Connection, secrets: Collection[str]) -> None:
        self._inner = connection
        self._secrets = secrets

    async def authorize(self, call: Authorize) -> Outcome:
        """See the port."""
        return await self._watch(self._inner.authorize(call))

    async def void(self, call: Void) -> Outcome:
        """See the port."""
        return await self._watch(self._inner.void(call))

    async def capture(self, call: Capture) -> Outcome:
        """See the port."""
        return await self._watch(self._inner.capture(call))

    async def charge(self, call: Charge) -> Outcome:
        """See the port."""
        return await self._watch(self._inner.charge(call))

    async def refund(self, call: Refund) -> Outcome:
        """See the port."""
        return await self._watch(self._inner.refund(call))

    async def fetch_authorization(self, lookup: Lookup) -> Outcome | None:
        """See the port."""
        return await self._read(self._inner.fetch_authorization(lookup))

    async def fetch_payment(self, lookup: Lookup) -> Outcome | None:
        """See the port."""
        return await self._read(self._inner.fetch_payment(lookup))

    async def fetch_refund(self, lookup: Lookup) -> Outcome | None:
        """See the port."""
        return await self._read(self._inner.fetch_refund(lookup))

    async def verify_settings(self) -> SettingsCheck:
        """See the port."""
        return await self._watch(self._inner.verify_settings())

    async def list_events(self, cursor: str | None) -> EventPage:
        """See the port."""
        return await self._watch(self._inner.list_events(cursor))

    async def list_movements(
        self, since: datetime, until: datetime, cursor: str | None
    ) -> MovementPage:
        """See the port."""
        return await self._watch(self._inner.list_movements(since, until, cursor))

    async def _read(self, fetch: Awaitable[Outcome | None]) -> Outcome | None:
        return await self._watch(fetch)

    async def _watch(self, call: Awaitable[T]) -> T:
        try:
            answer = await call
        except (PspError, NotApplicable) as error:
            self._keeps_secrets(*texts(error))
            raise
        except Exception as error:
            raise Violation(
                f"{type(error).__name__} left the adapter; only a PspError may: {error}"
            ) from error
        self._keeps_secrets(repr(answer), *_message(answer))
        return answer

    def _keeps_secrets(self, *said: str) -> None:
        if any(secret in text for secret in self._secrets for text in said):
            raise Violation("A secret of the settings shows in an error's text or in a repr.")


def texts(error: BaseException | None) -> Iterator[str]:
    """Everything that a log would show of an exception: its texts and those behind it."""
    while error is not None:
        yield from (str(error), repr(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _message(answer: object) -> list[str]:
    return [answer.message or ""] if isinstance(answer, Declined) else []
