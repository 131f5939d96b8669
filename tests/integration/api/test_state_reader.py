"""States read from the workflow or the store, without HTTP."""

import asyncio

import pytest
from temporalio.service import RPCStatusCode

from api.transactions.state_reader import CircuitBreaker, Reading, StateReader
from integrator.store import Store
from tests.integration.api.builders import MERCHANT, STATE_MEMBERS, transaction_row
from tests.integration.api.fakes import FakeTransactionClient, rpc_error
from workflows.state import PaymentState, RefundState, TransactionKind

STORED = PaymentState(**STATE_MEMBERS, version=3)
ROW = transaction_row(STORED)
KEY = (MERCHANT, TransactionKind.PAYMENT, STORED.transaction_id)


@pytest.fixture
def reader(store: Store, transaction_client: FakeTransactionClient) -> StateReader:
    return StateReader(store, transaction_client, 0.05)  # type: ignore[arg-type]


@pytest.mark.parametrize(("version", "expected"), [(2, 3), (3, 3), (4, 4)])
async def test_the_newer_state_is_returned(
    reader: StateReader, transaction_client: FakeTransactionClient, version: int, expected: int
) -> None:
    transaction_client.states[KEY] = STORED.model_copy(update={"version": version})
    reading = await reader.read(ROW)
    assert reading.state.version == expected
    assert reading.authoritative


async def test_a_missing_workflow_is_reported(reader: StateReader) -> None:
    reading = await reader.read(ROW)
    assert (reading.state, reading.workflow_missing) == (STORED, True)
    assert not reader.breaker.is_open


async def test_an_unanswered_query_is_not_repeated_unless_required(
    reader: StateReader, transaction_client: FakeTransactionClient
) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    transaction_client.before["state"] = never
    for _ in range(2):
        reading = await reader.read(ROW)
        assert (reading.state, reading.authoritative) == (STORED, False)
    assert transaction_client.calls == ["state"]
    await reader.read(ROW, require_authoritative=True)
    assert transaction_client.calls == ["state", "state"]


async def test_an_unavailable_workflow_opens_the_breaker(
    reader: StateReader, transaction_client: FakeTransactionClient
) -> None:
    async def fail() -> None:
        raise rpc_error(RPCStatusCode.UNAVAILABLE)

    transaction_client.before["state"] = fail
    assert not (await reader.read(ROW)).authoritative
    assert reader.breaker.is_open


async def test_a_malformed_id_is_not_looked_up(reader: StateReader) -> None:
    assert await reader.find(MERCHANT, TransactionKind.PAYMENT, "\x00") is None


async def test_a_refund_has_no_instrument(reader: StateReader) -> None:
    state = RefundState(**STATE_MEMBERS, payment_id="p")
    assert await reader.read_instrument(Reading(transaction_row(state), state)) is None


def test_the_breaker_closes_by_itself() -> None:
    now = [100.0]
    breaker = CircuitBreaker(pause=5, clock=lambda: now[0])
    assert not breaker.is_open
    breaker.trip()
    assert breaker.is_open
    now[0] += 5
    assert not breaker.is_open
