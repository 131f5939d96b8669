"""A connection to a PSP that is watched: how long its calls take and what they come to."""

import time
from collections.abc import Awaitable, Iterable
from datetime import datetime
from typing import TypeVar

from temporalio import activity

from integrator.observability.metrics import counter, histogram
from integrator.psp.errors import (
    CredentialsRejected,
    LocallyRateLimited,
    ProtocolError,
    PspError,
    PspTimeout,
    PspUnavailable,
    RateLimited,
)
from integrator.psp.port import Connection
from integrator.psp.types import (
    Authorize,
    Capture,
    Charge,
    EventPage,
    Lookup,
    MovementPage,
    Operation,
    Outcome,
    Refund,
    SettingsCheck,
    Void,
)

T = TypeVar("T")

CALLS = histogram(
    "integrator_psp_call_duration_seconds",
    "Calls to PSPs and what they came to: `approved`, `pending`, `redirect`, `declined`, `done` "
    "(a list or a check), `absent` (nothing found), `throttled`, `over_budget` (our own limit; not "
    "sent), `unavailable` (surely without effect), `timeout`, `unreadable`, `unknown`, "
    "`credentials`, `failed` (our own fault)",
    *("psp", "operation", "result"),
)
UNKNOWN = counter(
    "integrator_psp_unknown_outcomes_total",
    "Money operations whose answer was lost; each is repeated with its key or looked up",
    *("psp", "operation"),
)
REPEATED = counter(
    "integrator_psp_repeated_calls_total",
    "Calls to PSPs that were made again by the same activity",
    *("psp", "operation"),
)

CREDENTIALS = counter(
    "integrator_psp_credentials_rejected_total",
    "Calls that the PSP turned down because of the merchant's credentials",
    "psp",
)

MONEY = frozenset(Operation)

_FAILURES: tuple[tuple[type[PspError], str], ...] = (
    (LocallyRateLimited, "over_budget"),
    (RateLimited, "throttled"),
    (PspUnavailable, "unavailable"),
    (PspTimeout, "timeout"),
    (ProtocolError, "unreadable"),
    (CredentialsRejected, "credentials"),
    (PspError, "unknown"),
)
_LOST = frozenset({"timeout", "unreadable", "unknown"})


def expect(psps: Iterable[str]) -> None:
    """Show zeros for these PSPs from the start: the first of a rare event would else be missed."""
    for psp in psps:
        CREDENTIALS.labels(psp)
        for operation in MONEY:
            UNKNOWN.labels(psp, operation)


class InstrumentedConnection:
    """Every operation of a connection, counted and timed."""

    def __init__(self, connection: Connection, psp: str) -> None:
        self._connection = connection
        self._psp = psp

    async def authorize(self, call: Authorize) -> Outcome:
        """As the connection's own, like all that follow."""
        return await self._watch("authorize", self._connection.authorize(call))

    async def void(self, call: Void) -> Outcome:
        return await self._watch("void", self._connection.void(call))

    async def capture(self, call: Capture) -> Outcome:
        return await self._watch("capture", self._connection.capture(call))

    async def charge(self, call: Charge) -> Outcome:
        return await self._watch("charge", self._connection.charge(call))

    async def refund(self, call: Refund) -> Outcome:
        return await self._watch("refund", self._connection.refund(call))

    async def fetch_authorization(self, lookup: Lookup) -> Outcome | None:
        return await self._watch(
            "fetch_authorization", self._connection.fetch_authorization(lookup)
        )

    async def fetch_payment(self, lookup: Lookup) -> Outcome | None:
        return await self._watch("fetch_payment", self._connection.fetch_payment(lookup))

    async def fetch_refund(self, lookup: Lookup) -> Outcome | None:
        return await self._watch("fetch_refund", self._connection.fetch_refund(lookup))

    async def verify_settings(self) -> SettingsCheck:
        return await self._watch("verify_settings", self._connection.verify_settings())

    async def list_events(self, cursor: str | None) -> EventPage:
        return await self._watch("list_events", self._connection.list_events(cursor))

    async def list_movements(
        self, since: datetime, until: datetime, cursor: str | None
    ) -> MovementPage:
        return await self._watch(
            "list_movements", self._connection.list_movements(since, until, cursor)
        )

    async def _watch(self, operation: str, work: Awaitable[T]) -> T:
        if activity.in_activity() and activity.info().attempt > 1:
            REPEATED.labels(self._psp, operation).inc()
        result = "failed"
        began = time.perf_counter()
        try:
            answer = await work
            result = "absent" if answer is None else str(getattr(answer, "outcome", "done"))
        except PspError as error:
            result = failure(error)
            if operation in MONEY and result in _LOST:
                UNKNOWN.labels(self._psp, operation).inc()
            if result == "credentials":
                CREDENTIALS.labels(self._psp).inc()
            raise
        else:
            return answer
        finally:
            took = time.perf_counter() - began
            CALLS.labels(self._psp, operation, result).observe(took)


def failure(error: PspError) -> str:
    """The label of what went wrong."""
    return next(label for kind, label in _FAILURES if isinstance(error, kind))
