"""Metrics of calls to PSPs: duration and result."""

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
    Absent,
    Authorize,
    Capture,
    Charge,
    EventPage,
    Lookup,
    LookupAnswer,
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
    "Duration of calls to PSPs by result: `approved`, `pending`, `redirect`, `declined`, `done` "
    "(a list or a check), `absent` (nothing found), `throttled`, `over_budget` (our own limit; not "
    "sent), `unavailable` (certainly without effect), `timeout`, `unreadable`, `unknown`, "
    "`credentials`, `failed` (an error of the integrator)",
    *("psp", "operation", "result"),
)
UNKNOWN = counter(
    "integrator_psp_unknown_outcomes_total",
    "Money operations with an unknown outcome; each is repeated with its key or looked up",
    *("psp", "operation"),
)
REPEATED = counter(
    "integrator_psp_repeated_calls_total",
    "Calls to PSPs that were repeated by a retry of an activity",
    *("psp", "operation"),
)

CREDENTIALS = counter(
    "integrator_psp_credentials_rejected_total",
    "Calls that the PSP rejected because of the merchant's credentials",
    "psp",
)

MONEY_OPERATIONS = frozenset(Operation)

_FAILURES: tuple[tuple[type[PspError], str], ...] = (
    (LocallyRateLimited, "over_budget"),
    (RateLimited, "throttled"),
    (PspUnavailable, "unavailable"),
    (PspTimeout, "timeout"),
    (ProtocolError, "unreadable"),
    (CredentialsRejected, "credentials"),
    (PspError, "unknown"),
)
_UNKNOWN_RESULTS = frozenset({"timeout", "unreadable", "unknown"})


def initialize_counters(psps: Iterable[str]) -> None:
    """Create series with zero for these PSPs; otherwise the first rare event would be missed."""
    for psp in psps:
        CREDENTIALS.labels(psp)
        for operation in MONEY_OPERATIONS:
            UNKNOWN.labels(psp, operation)


class InstrumentedConnection:
    """Connection that counts and times every operation of another one."""

    def __init__(self, connection: Connection, psp: str) -> None:
        self._connection = connection
        self._psp = psp

    async def authorize(self, call: Authorize) -> Outcome:
        """Authorize by the wrapped connection; the other operations do the same."""
        return await self._measure("authorize", self._connection.authorize(call))

    async def void(self, call: Void) -> Outcome:
        return await self._measure("void", self._connection.void(call))

    async def capture(self, call: Capture) -> Outcome:
        return await self._measure("capture", self._connection.capture(call))

    async def charge(self, call: Charge) -> Outcome:
        return await self._measure("charge", self._connection.charge(call))

    async def refund(self, call: Refund) -> Outcome:
        return await self._measure("refund", self._connection.refund(call))

    async def fetch_authorization(self, lookup: Lookup) -> LookupAnswer:
        return await self._measure(
            "fetch_authorization", self._connection.fetch_authorization(lookup)
        )

    async def fetch_payment(self, lookup: Lookup) -> LookupAnswer:
        return await self._measure("fetch_payment", self._connection.fetch_payment(lookup))

    async def fetch_refund(self, lookup: Lookup) -> LookupAnswer:
        return await self._measure("fetch_refund", self._connection.fetch_refund(lookup))

    async def verify_settings(self) -> SettingsCheck:
        return await self._measure("verify_settings", self._connection.verify_settings())

    async def list_events(self, cursor: str | None) -> EventPage:
        return await self._measure("list_events", self._connection.list_events(cursor))

    async def list_movements(
        self, since: datetime, until: datetime, cursor: str | None
    ) -> MovementPage:
        return await self._measure(
            "list_movements", self._connection.list_movements(since, until, cursor)
        )

    async def _measure(self, operation: str, call: Awaitable[T]) -> T:
        if activity.in_activity() and activity.info().attempt > 1:
            REPEATED.labels(self._psp, operation).inc()
        result = "failed"
        started = time.perf_counter()
        try:
            response = await call
            absent = response is None or isinstance(response, Absent)
            result = "absent" if absent else str(getattr(response, "outcome", "done"))
        except PspError as error:
            result = failure_label(error)
            if operation in MONEY_OPERATIONS and result in _UNKNOWN_RESULTS:
                UNKNOWN.labels(self._psp, operation).inc()
            if result == "credentials":
                CREDENTIALS.labels(self._psp).inc()
            raise
        else:
            return response
        finally:
            duration = time.perf_counter() - started
            CALLS.labels(self._psp, operation, result).observe(duration)


def failure_label(error: PspError) -> str:
    """Return the result label of an error."""
    return next(label for error_type, label in _FAILURES if isinstance(error, error_type))
