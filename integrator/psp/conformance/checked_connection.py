"""A connection wrapper that checks, at every call, the rules that hold for every call."""

from collections.abc import Awaitable, Collection, Iterator
from datetime import datetime
from typing import TypeVar

from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.errors import PspError
from integrator.psp.port import Connection
from integrator.psp.types import (
    Approved,
    Authorize,
    Capture,
    Charge,
    Declined,
    EventPage,
    Fact,
    FactKind,
    Lookup,
    LookupAnswer,
    MovementPage,
    Outcome,
    Pending,
    Refund,
    SettingsCheck,
    Void,
)

T = TypeVar("T")


class CheckedConnection:
    """Delegates every call to a connection.

    Raises `Violation` for an exception other than `PspError`, for a secret in anything that may be
    logged (an error's text, that of its cause, the `repr` of a value), and for a look-up's
    chargeback reversal without its chargeback.
    """

    def __init__(self, connection: Connection, secrets: Collection[str]) -> None:
        self._inner = connection
        self._secrets = secrets

    async def authorize(self, call: Authorize) -> Outcome:
        """Check `Connection.authorize`."""
        return await self._check(self._inner.authorize(call))

    async def void(self, call: Void) -> Outcome:
        """Check `Connection.void`."""
        return await self._check(self._inner.void(call))

    async def capture(self, call: Capture) -> Outcome:
        """Check `Connection.capture`."""
        return await self._check(self._inner.capture(call))

    async def charge(self, call: Charge) -> Outcome:
        """Check `Connection.charge`."""
        return await self._check(self._inner.charge(call))

    async def refund(self, call: Refund) -> Outcome:
        """Check `Connection.refund`."""
        return await self._check(self._inner.refund(call))

    async def fetch_authorization(self, lookup: Lookup) -> LookupAnswer:
        """Check `Connection.fetch_authorization`."""
        return await self._check_fetch(self._inner.fetch_authorization(lookup))

    async def fetch_payment(self, lookup: Lookup) -> LookupAnswer:
        """Check `Connection.fetch_payment`."""
        return await self._check_fetch(self._inner.fetch_payment(lookup))

    async def fetch_refund(self, lookup: Lookup) -> LookupAnswer:
        """Check `Connection.fetch_refund`."""
        return await self._check_fetch(self._inner.fetch_refund(lookup))

    async def verify_settings(self) -> SettingsCheck:
        """Check `Connection.verify_settings`."""
        return await self._check(self._inner.verify_settings())

    async def list_events(self, cursor: str | None) -> EventPage:
        """Check `Connection.list_events`."""
        return await self._check(self._inner.list_events(cursor))

    async def list_movements(
        self, since: datetime, until: datetime, cursor: str | None
    ) -> MovementPage:
        """Check `Connection.list_movements`."""
        return await self._check(self._inner.list_movements(since, until, cursor))

    async def _check_fetch(self, fetch: Awaitable[LookupAnswer]) -> LookupAnswer:
        answer = await self._check(fetch)
        if isinstance(answer, Approved | Pending | Declined):
            _require_reversed_chargebacks(answer.facts)
        return answer

    async def _check(self, call: Awaitable[T]) -> T:
        try:
            result = await call
        except (PspError, NotApplicable) as error:
            self._require_no_secrets(*exception_texts(error))
            raise
        except Exception as error:
            raise Violation(
                f"The adapter raised {type(error).__name__}; only PspError is allowed: {error}"
            ) from error
        self._require_no_secrets(repr(result), *_message_texts(result))
        return result

    def _require_no_secrets(self, *texts: str) -> None:
        if any(secret in text for secret in self._secrets for text in texts):
            raise Violation("A secret from the settings appears in an error's text or in a repr.")


def exception_texts(error: BaseException | None) -> Iterator[str]:
    """Yield every text that a log would show of an exception and its causes."""
    while error is not None:
        yield from (str(error), repr(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _require_reversed_chargebacks(facts: Collection[Fact]) -> None:
    chargebacks = {fact.id for fact in facts if fact.kind is FactKind.CHARGED_BACK}
    for fact in facts:
        if fact.kind is FactKind.CHARGEBACK_REVERSED and fact.reverses not in chargebacks:
            raise Violation(f"The reversal {fact.id} names no chargeback of the same outcome.")


def _message_texts(result: object) -> list[str]:
    return [result.message or ""] if isinstance(result, Declined) else []
