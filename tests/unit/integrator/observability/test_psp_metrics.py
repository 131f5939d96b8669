"""Metrics of calls to PSPs by result."""

import contextlib
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY
from temporalio import activity
from temporalio.testing import ActivityEnvironment

from integrator.observability.psp_metrics import InstrumentedConnection, initialize_counters
from integrator.psp.errors import (
    CredentialsRejected,
    LocallyRateLimited,
    OutcomeUnknown,
    ProtocolError,
    PspError,
    PspTimeout,
    PspUnavailable,
    RateLimited,
)
from integrator.psp.port import Connection
from integrator.psp.types import Absent, Declined, Pending

OPERATIONS = [
    name
    for name, member in vars(Connection).items()
    if inspect.isfunction(member) and not name.startswith("_")
]


class FakeConnection:
    """Connection whose operations all return or raise the same."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        self._answer = answer

    def __getattr__(self, name: str) -> Any:
        async def operation(*_: Any) -> Any:
            return self._answer()

        return operation


def raises(error: Exception) -> Callable[[], Any]:
    def answer() -> Any:
        raise error

    return answer


def metric_value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def count_calls(psp: str, operation: str, result: str) -> float:
    name = "integrator_psp_call_duration_seconds_count"
    return metric_value(name, psp=psp, operation=operation, result=result)


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_every_operation_of_the_port_is_measured(operation: str) -> None:
    connection = InstrumentedConnection(cast(Connection, FakeConnection(lambda: None)), "measured")
    arguments = {"verify_settings": 0, "list_events": 1, "list_movements": 3}.get(operation, 1)
    assert await getattr(connection, operation)(*[None] * arguments) is None
    assert count_calls("measured", operation, "absent") == 1


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (lambda: Pending(psp_id=None), "pending"),
        (lambda: Declined(), "declined"),
        (lambda: object(), "done"),
        (lambda: Absent(proven=True), "absent"),
        (raises(LocallyRateLimited("x")), "over_budget"),
        (raises(RateLimited("x")), "throttled"),
        (raises(PspUnavailable("x")), "unavailable"),
        (raises(PspTimeout("x")), "timeout"),
        (raises(ProtocolError("x")), "unreadable"),
        (raises(OutcomeUnknown("x")), "unknown"),
        (raises(CredentialsRejected("x")), "credentials"),
        (raises(ValueError("x")), "failed"),
    ],
)
async def test_calls_are_counted_by_result(answer: Callable[[], Any], result: str) -> None:
    psp = f"by-{result}"
    initialize_counters([psp])
    connection = InstrumentedConnection(cast(Connection, FakeConnection(answer)), psp)
    for operation in (connection.charge, connection.fetch_payment):
        with contextlib.suppress(PspError, ValueError):
            await operation(cast(Any, None))
    assert count_calls(psp, "charge", result) == count_calls(psp, "fetch_payment", result) == 1
    lost = result in ("timeout", "unreadable", "unknown")
    unknown = "integrator_psp_unknown_outcomes_total"
    assert metric_value(unknown, psp=psp, operation="charge") == lost
    assert metric_value(unknown, psp=psp, operation="fetch_payment") == 0  # no money operation
    rejected = metric_value("integrator_psp_credentials_rejected_total", psp=psp)
    assert rejected == (2 if result == "credentials" else 0)


async def test_errors_pass_unchanged() -> None:
    error = PspTimeout("x")
    connection = InstrumentedConnection(cast(Connection, FakeConnection(raises(error))), "passing")
    with pytest.raises(PspTimeout) as caught:
        await connection.refund(cast(Any, None))
    assert caught.value is error


async def test_repetitions_by_an_activity_are_counted() -> None:
    connection = InstrumentedConnection(cast(Connection, FakeConnection(lambda: None)), "again")

    @activity.defn
    async def charge() -> None:
        await connection.charge(cast(Any, None))

    for attempt in (1, 2, 3):
        environment = ActivityEnvironment()
        environment.info = replace(environment.info, attempt=attempt)
        await environment.run(charge)
    name = "integrator_psp_repeated_calls_total"
    assert metric_value(name, psp="again", operation="charge") == 2
