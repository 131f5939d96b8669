"""What is answered when the PSP, the worker or Temporal takes too long."""

import asyncio
from datetime import UTC, datetime

import httpx
import pytest
from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCStatusCode

from api.context import Context
from api.transactions.create import create_transaction
from integrator.contract import PreauthRequest, json_codec
from integrator.psp.types import RedirectRequired
from integrator.settings import Settings
from integrator.store import RecordUpdate, Store
from tests.api.builders import MERCHANT, preauth
from tests.api.conftest import Rows, World, assert_error
from tests.api.fakes import FakeAdapter, FakeTransactionClient, approved, away, first_state
from workflows.state import Evidence, EvidenceKind, TransactionKind


async def never() -> None:
    await asyncio.Event().wait()


def started_but_slow(gateway: FakeTransactionClient) -> None:
    """The workflow begins and its PSP does not answer."""

    async def slow() -> None:
        start = gateway.starts[-1]
        key = (start.merchant_id, TransactionKind.PREAUTH, start.transaction_id)
        gateway.states.setdefault(key, first_state(start))
        await never()

    gateway.before["create"] = slow


async def test_a_slow_psp_is_answered_with_pending(
    client: httpx.AsyncClient, gateway: FakeTransactionClient
) -> None:
    started_but_slow(gateway)
    body = preauth()
    response = await client.post("/api/Preauth", json=body)
    assert response.status_code == 200
    assert response.json()["status"] == "Pending"
    assert gateway.calls == ["create", "caller_left", "state"]
    assert (await client.get(f"/api/Preauth/{body['transactionId']}")).json() == response.json()


async def test_without_a_worker_the_store_says_pending_too(
    client: httpx.AsyncClient, gateway: FakeTransactionClient, store: Store
) -> None:
    started_but_slow(gateway)
    gateway.before["state"] = never
    body = preauth()
    first = (await client.post("/api/Preauth", json=body)).json()
    assert first["status"] == "Pending"
    found = (await client.get(f"/api/Preauth/{body['transactionId']}")).json()
    assert found == first
    row = await store.transaction(MERCHANT, body["transactionId"])
    assert row is not None
    assert row.status == "Pending"
    # Version 0: whatever the workflow records wins.
    assert row.version == 0


async def test_pending_never_overwrites_what_the_workflow_recorded(
    client: httpx.AsyncClient,
    gateway: FakeTransactionClient,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The PSP answers between the last read of the store and the record."""
    started_but_slow(gateway)
    gateway.before["state"] = never
    record = store.record

    async def overtaken(change: RecordUpdate) -> bool:
        monkeypatch.setattr(store, "record", record)
        start = gateway.starts[-1]
        state = first_state(start)
        proof = Evidence(kind=EvidenceKind.ANSWER, source="psp", at=datetime.now(UTC))
        state.apply(approved(start), proof)
        await gateway.record(MERCHANT, state)
        return await record(change)

    monkeypatch.setattr(store, "record", overtaken)
    body = preauth()
    assert (await client.post("/api/Preauth", json=body)).json()["status"] == "Pending"
    found = await client.get(f"/api/Preauth/{body['transactionId']}")
    assert found.json()["status"] == "Succeeded"


async def test_a_repeat_after_pending_joins_and_gets_the_outcome(
    client: httpx.AsyncClient, gateway: FakeTransactionClient
) -> None:
    started_but_slow(gateway)
    gateway.before["state"] = never
    body = preauth()
    await client.post("/api/Preauth", json=body)
    gateway.before.clear()
    response = await client.post("/api/Preauth", json=body)
    assert response.json()["status"] == "Succeeded"


async def test_the_sdks_own_timeout_counts_as_well(
    client: httpx.AsyncClient, gateway: FakeTransactionClient
) -> None:
    async def timed_out() -> None:
        start = gateway.starts[-1]
        key = (start.merchant_id, TransactionKind.PREAUTH, start.transaction_id)
        gateway.states[key] = first_state(start)
        raise WorkflowUpdateRPCTimeoutOrCancelledError

    gateway.before["create"] = timed_out
    response = await client.post("/api/Preauth", json=preauth())
    assert response.json()["status"] == "Pending"


async def test_an_open_redirect_stays_initiated(
    client: httpx.AsyncClient, gateway: FakeTransactionClient, store: Store
) -> None:
    async def slow_after_the_session() -> None:
        start = gateway.starts[-1]
        state = first_state(start)
        at = datetime.now(UTC)
        session = RedirectRequired(psp_id="ses_1", expires_at=at)
        state.apply(session, Evidence(kind=EvidenceKind.ANSWER, source="psp", at=at))
        gateway.states[(start.merchant_id, TransactionKind.PREAUTH, start.transaction_id)] = state
        await store.save_private(
            MERCHANT, start.transaction_id, redirect={"url": "https://psp.example/1", "data": None}
        )
        await never()

    gateway.before["create"] = slow_after_the_session
    found = (await client.post("/api/Preauth", json=preauth())).json()
    assert found["status"] == "Initiated"
    assert found["redirectUrl"] == "https://psp.example/1"


async def test_a_workflow_closed_meanwhile_is_read(
    client: httpx.AsyncClient, gateway: FakeTransactionClient, store: Store
) -> None:
    async def done_unheard() -> None:
        start = gateway.starts[-1]
        state = first_state(start)
        at = datetime.now(UTC)
        state.apply(approved(start), Evidence(kind=EvidenceKind.ANSWER, source="psp", at=at))
        await gateway.record(MERCHANT, state)
        await never()

    gateway.before["create"] = done_unheard
    found = (await client.post("/api/Preauth", json=preauth())).json()
    assert found["status"] == "Succeeded"
    assert "caller_left" in gateway.calls


async def test_a_start_that_never_arrived_is_no_pending(
    client: httpx.AsyncClient, gateway: FakeTransactionClient
) -> None:
    gateway.before["create"] = never
    body = preauth()
    response = await client.post("/api/Preauth", json=body)
    assert_error(response, 503, "InternalError")
    gateway.before.clear()
    assert (await client.post("/api/Preauth", json=body)).json()["status"] == "Succeeded"


async def test_a_transaction_begun_before_is_read(
    client: httpx.AsyncClient, gateway: FakeTransactionClient
) -> None:
    async def done_before() -> None:
        start = gateway.starts[-1]
        state = first_state(start)
        at = datetime.now(UTC)
        state.apply(approved(start), Evidence(kind=EvidenceKind.ANSWER, source="psp", at=at))
        await gateway.record(MERCHANT, state)
        raise WorkflowAlreadyStartedError("id", "PreauthWorkflow")

    gateway.before["create"] = done_before
    found = (await client.post("/api/Preauth", json=preauth())).json()
    assert found["status"] == "Succeeded"


@pytest.mark.parametrize(
    "error",
    [
        away(RPCStatusCode.UNAVAILABLE),
        away(RPCStatusCode.DEADLINE_EXCEEDED),
        away(RPCStatusCode.RESOURCE_EXHAUSTED),
        RuntimeError("Failed client connect"),
    ],
)
async def test_temporal_away_is_said_and_the_repeat_works(
    client: httpx.AsyncClient, gateway: FakeTransactionClient, rows: Rows, error: Exception
) -> None:
    async def fail() -> None:
        raise error

    gateway.before["create"] = fail
    body = preauth()
    response = await client.post("/api/Preauth", json=body)
    assert_error(response, 503, "InternalError")
    assert response.headers["retry-after"] == "2"
    gateway.before.clear()
    assert (await client.post("/api/Preauth", json=body)).json()["status"] == "Succeeded"
    assert rows.count()["transactions"] == 1


async def test_a_cancelled_request_is_finished_all_the_same(
    client: httpx.AsyncClient, gateway: FakeTransactionClient, context: Context
) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        entered.set()
        await release.wait()

    gateway.before["create"] = wait
    body = preauth()
    request = asyncio.create_task(client.post("/api/Preauth", json=body))
    await entered.wait()
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    release.set()
    await context.background_tasks.drain()
    assert (MERCHANT, TransactionKind.PREAUTH, body["transactionId"]) in gateway.states


async def test_an_outcome_that_nobody_heard_is_announced(
    context: Context, store: Store, adapter: FakeAdapter, gateway: FakeTransactionClient
) -> None:
    """The caller hung up before the answer: the workflow must tell it by webhook."""
    merchant = await store.merchant(MERCHANT)
    assert merchant is not None

    async def gone() -> bool:
        return True

    request = json_codec.validate(PreauthRequest, preauth(requestedAmount="119.00"))
    response = await create_transaction(context, merchant, adapter, request, gone)
    assert response.status_code == 200
    assert gateway.calls == ["create", "caller_left"]


class TestReads:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"query_timeout_seconds": 0.05})

    async def test_an_open_transaction_is_asked(
        self, client: httpx.AsyncClient, world: World, gateway: FakeTransactionClient
    ) -> None:
        body = await world.preauth()
        gateway.calls.clear()
        await client.get(f"/api/Preauth/{body['transactionId']}")
        assert gateway.calls == ["state"]

    async def test_the_newer_version_wins(
        self, client: httpx.AsyncClient, world: World, gateway: FakeTransactionClient
    ) -> None:
        body = await world.capture()
        state = gateway.states[(MERCHANT, TransactionKind.PAYMENT, body["transactionId"])]
        path = f"/api/Payment/{body['transactionId']}"
        state.psp_transaction_id = "of the workflow"
        assert (await client.get(path)).json()["pspTransactionId"] == "of the workflow"
        state.version = 0
        assert (await client.get(path)).json()["pspTransactionId"] != "of the workflow"

    async def test_one_unanswered_query_is_enough_for_some_seconds(
        self,
        client: httpx.AsyncClient,
        world: World,
        gateway: FakeTransactionClient,
        context: Context,
    ) -> None:
        body = await world.capture()
        gateway.before["state"] = never
        path = f"/api/Payment/{body['transactionId']}"
        gateway.calls.clear()
        for _ in range(3):
            response = await client.get(path)
            assert response.json()["status"] == "Succeeded"
        assert gateway.calls == ["state"]
        assert context.query_breaker.is_open

    @pytest.mark.parametrize(
        ("error", "trips"),
        [
            (away(RPCStatusCode.NOT_FOUND), False),
            (away(RPCStatusCode.FAILED_PRECONDITION), True),
            (away(RPCStatusCode.UNAVAILABLE), True),
            (RuntimeError("Failed client connect"), True),
        ],
    )
    async def test_a_failed_query_is_answered_from_the_store(
        self,
        client: httpx.AsyncClient,
        world: World,
        gateway: FakeTransactionClient,
        context: Context,
        error: Exception,
        trips: bool,
    ) -> None:
        body = await world.capture()

        async def fail() -> None:
            raise error

        gateway.before["state"] = fail
        response = await client.get(f"/api/Payment/{body['transactionId']}")
        assert response.json()["status"] == "Succeeded"
        assert context.query_breaker.is_open is trips

    async def test_what_cannot_change_is_not_asked(
        self, client: httpx.AsyncClient, gateway: FakeTransactionClient
    ) -> None:
        body = preauth(requestedAmount=0)
        await client.post("/api/Preauth", json=body)
        gateway.calls.clear()
        response = await client.get(f"/api/Preauth/{body['transactionId']}")
        assert response.json()["status"] == "Succeeded"
        assert gateway.calls == []
