"""Responses when the PSP, the worker or Temporal takes too long."""

import asyncio
from datetime import UTC, datetime

import httpx
import pytest
from temporalio.client import WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCStatusCode

from api.context import Context
from api.transactions.create import create_transaction
from api.transactions.create_request import CreateRequest
from integrator.contract import PreauthRequest, json_codec
from integrator.psp.types import RedirectRequired
from integrator.settings import Settings
from integrator.store import RecordUpdate, Store
from tests.integration.api.builders import MERCHANT, preauth
from tests.integration.api.conftest import Rows, TransactionFactory, assert_error
from tests.integration.api.fakes import (
    FakeAdapter,
    FakeTransactionClient,
    approve,
    initial_state,
    rpc_error,
)
from workflows.state import Evidence, EvidenceKind, TransactionKind


async def never() -> None:
    await asyncio.Event().wait()


def started_but_slow(transaction_client: FakeTransactionClient) -> None:
    """Start the workflow; its PSP does not answer."""

    async def slow() -> None:
        start = transaction_client.starts[-1]
        key = (start.merchant_id, TransactionKind.PREAUTH, start.transaction_id)
        transaction_client.states.setdefault(key, initial_state(start))
        await never()

    transaction_client.before["create"] = slow


async def test_a_slow_psp_is_answered_with_pending(
    client: httpx.AsyncClient, transaction_client: FakeTransactionClient
) -> None:
    started_but_slow(transaction_client)
    body = preauth()
    response = await client.post("/api/Preauth", json=body)
    assert response.status_code == 200
    assert response.json()["status"] == "Pending"
    assert transaction_client.calls == ["create", "caller_detached", "state"]
    assert (await client.get(f"/api/Preauth/{body['transactionId']}")).json() == response.json()


async def test_pending_is_stored_when_no_worker_answers(
    client: httpx.AsyncClient, transaction_client: FakeTransactionClient, store: Store
) -> None:
    started_but_slow(transaction_client)
    transaction_client.before["state"] = never
    body = preauth()
    first = (await client.post("/api/Preauth", json=body)).json()
    assert first["status"] == "Pending"
    result = (await client.get(f"/api/Preauth/{body['transactionId']}")).json()
    assert result == first
    row = await store.transactions.get(MERCHANT, body["transactionId"])
    assert row is not None
    assert row.status == "Pending"
    # Version 0: any state recorded by the workflow replaces it.
    assert row.version == 0


async def test_pending_never_overwrites_a_state_recorded_by_the_workflow(
    client: httpx.AsyncClient,
    transaction_client: FakeTransactionClient,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The PSP answers between the last read of the store and the record."""
    started_but_slow(transaction_client)
    transaction_client.before["state"] = never
    record = store.transactions.record_pending

    async def record_after_workflow(change: RecordUpdate) -> bool:
        monkeypatch.setattr(store.transactions, "record_pending", record)
        start = transaction_client.starts[-1]
        state = initial_state(start)
        evidence = Evidence(kind=EvidenceKind.ANSWER, source="psp", at=datetime.now(UTC))
        state.apply(approve(start), evidence)
        await transaction_client.record(MERCHANT, state)
        return await record(change)

    monkeypatch.setattr(store.transactions, "record_pending", record_after_workflow)
    body = preauth()
    assert (await client.post("/api/Preauth", json=body)).json()["status"] == "Pending"
    result = await client.get(f"/api/Preauth/{body['transactionId']}")
    assert result.json()["status"] == "Succeeded"


async def test_a_repeat_after_pending_joins_and_gets_the_outcome(
    client: httpx.AsyncClient, transaction_client: FakeTransactionClient
) -> None:
    started_but_slow(transaction_client)
    transaction_client.before["state"] = never
    body = preauth()
    await client.post("/api/Preauth", json=body)
    transaction_client.before.clear()
    response = await client.post("/api/Preauth", json=body)
    assert response.json()["status"] == "Succeeded"


async def test_a_timeout_raised_by_the_sdk_is_answered_with_pending(
    client: httpx.AsyncClient, transaction_client: FakeTransactionClient
) -> None:
    async def timed_out() -> None:
        start = transaction_client.starts[-1]
        key = (start.merchant_id, TransactionKind.PREAUTH, start.transaction_id)
        transaction_client.states[key] = initial_state(start)
        raise WorkflowUpdateRPCTimeoutOrCancelledError

    transaction_client.before["create"] = timed_out
    response = await client.post("/api/Preauth", json=preauth())
    assert response.json()["status"] == "Pending"


async def test_an_open_redirect_stays_initiated(
    client: httpx.AsyncClient, transaction_client: FakeTransactionClient, store: Store
) -> None:
    async def slow_after_the_session() -> None:
        start = transaction_client.starts[-1]
        state = initial_state(start)
        at = datetime.now(UTC)
        session = RedirectRequired(psp_id="ses_1", expires_at=at)
        state.apply(session, Evidence(kind=EvidenceKind.ANSWER, source="psp", at=at))
        transaction_client.states[
            (start.merchant_id, TransactionKind.PREAUTH, start.transaction_id)
        ] = state
        await store.transactions.save_private(
            MERCHANT, start.transaction_id, redirect={"url": "https://psp.example/1", "data": None}
        )
        await never()

    transaction_client.before["create"] = slow_after_the_session
    result = (await client.post("/api/Preauth", json=preauth())).json()
    assert result["status"] == "Initiated"
    assert result["redirectUrl"] == "https://psp.example/1"


async def test_the_state_of_a_workflow_closed_meanwhile_is_returned(
    client: httpx.AsyncClient, transaction_client: FakeTransactionClient, store: Store
) -> None:
    async def complete_without_answer() -> None:
        start = transaction_client.starts[-1]
        state = initial_state(start)
        at = datetime.now(UTC)
        state.apply(approve(start), Evidence(kind=EvidenceKind.ANSWER, source="psp", at=at))
        await transaction_client.record(MERCHANT, state)
        await never()

    transaction_client.before["create"] = complete_without_answer
    result = (await client.post("/api/Preauth", json=preauth())).json()
    assert result["status"] == "Succeeded"
    assert "caller_detached" in transaction_client.calls


async def test_a_start_that_never_arrived_is_answered_with_503(
    client: httpx.AsyncClient, transaction_client: FakeTransactionClient
) -> None:
    transaction_client.before["create"] = never
    body = preauth()
    response = await client.post("/api/Preauth", json=body)
    assert_error(response, 503, "InternalError")
    transaction_client.before.clear()
    assert (await client.post("/api/Preauth", json=body)).json()["status"] == "Succeeded"


async def test_the_state_of_a_workflow_started_before_is_returned(
    client: httpx.AsyncClient, transaction_client: FakeTransactionClient
) -> None:
    async def complete_before() -> None:
        start = transaction_client.starts[-1]
        state = initial_state(start)
        at = datetime.now(UTC)
        state.apply(approve(start), Evidence(kind=EvidenceKind.ANSWER, source="psp", at=at))
        await transaction_client.record(MERCHANT, state)
        raise WorkflowAlreadyStartedError("id", "PreauthWorkflow")

    transaction_client.before["create"] = complete_before
    result = (await client.post("/api/Preauth", json=preauth())).json()
    assert result["status"] == "Succeeded"


@pytest.mark.parametrize(
    "closed",
    [
        WorkflowAlreadyStartedError("id", "PreauthWorkflow"),
        WorkflowUpdateFailedError(
            ApplicationError("closed", type="AcceptedUpdateCompletedWorkflow")
        ),
    ],
    ids=["before the request", "while it waits"],
)
async def test_a_workflow_that_was_ended_without_an_outcome_is_answered_with_pending(
    client: httpx.AsyncClient,
    transaction_client: FakeTransactionClient,
    store: Store,
    closed: Exception,
) -> None:
    """It goes on in another run, whose outcome its caller then learns by an announcement."""

    async def end() -> None:
        raise closed

    transaction_client.before["create"] = end
    body = preauth()
    response = await client.post("/api/Preauth", json=body)
    assert response.json()["status"] == "Pending"
    row = await store.transactions.get(MERCHANT, body["transactionId"])
    assert row is not None
    assert (row.status, row.announce_version) == ("Pending", 0)
    state = initial_state(transaction_client.starts[-1])
    evidence = Evidence(kind=EvidenceKind.ANSWER, source="psp", at=datetime.now(UTC))
    state.apply(approve(transaction_client.starts[-1]), evidence)
    await transaction_client.record(MERCHANT, state)
    row = await store.transactions.get(MERCHANT, body["transactionId"])
    assert row is not None
    assert (row.status, row.announce_version) == ("Succeeded", 0)


@pytest.mark.parametrize(
    "error",
    [
        rpc_error(RPCStatusCode.UNAVAILABLE),
        rpc_error(RPCStatusCode.DEADLINE_EXCEEDED),
        rpc_error(RPCStatusCode.RESOURCE_EXHAUSTED),
        RuntimeError("Failed client connect"),
    ],
)
async def test_unavailable_temporal_is_answered_with_503_and_the_repeat_succeeds(
    client: httpx.AsyncClient,
    transaction_client: FakeTransactionClient,
    rows: Rows,
    error: Exception,
) -> None:
    async def fail() -> None:
        raise error

    transaction_client.before["create"] = fail
    body = preauth()
    response = await client.post("/api/Preauth", json=body)
    assert_error(response, 503, "InternalError")
    assert response.headers["retry-after"] == "2"
    transaction_client.before.clear()
    assert (await client.post("/api/Preauth", json=body)).json()["status"] == "Succeeded"
    assert rows.count()["transactions"] == 1


async def test_a_cancelled_request_is_still_completed(
    client: httpx.AsyncClient, transaction_client: FakeTransactionClient, context: Context
) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        entered.set()
        await release.wait()

    transaction_client.before["create"] = wait
    body = preauth()
    request = asyncio.create_task(client.post("/api/Preauth", json=body))
    await entered.wait()
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    release.set()
    await context.background_tasks.drain()
    assert (MERCHANT, TransactionKind.PREAUTH, body["transactionId"]) in transaction_client.states


async def test_the_outcome_for_a_disconnected_caller_is_notified(
    context: Context, store: Store, adapter: FakeAdapter, transaction_client: FakeTransactionClient
) -> None:
    """The caller disconnected before the response: the workflow must send a webhook."""
    merchant = await store.merchants.get(MERCHANT)
    assert merchant is not None

    async def is_disconnected() -> bool:
        return True

    body = json_codec.validate(PreauthRequest, preauth(requestedAmount="119.00"))
    request = await CreateRequest.load(context, merchant, adapter, body, is_disconnected)
    response = await create_transaction(request)
    assert response.status_code == 200
    assert transaction_client.calls == ["create", "caller_detached"]


class TestReads:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"query_timeout_seconds": 0.05})

    async def test_the_workflow_of_an_open_transaction_is_queried(
        self,
        client: httpx.AsyncClient,
        factory: TransactionFactory,
        transaction_client: FakeTransactionClient,
    ) -> None:
        body = await factory.create_preauth()
        transaction_client.calls.clear()
        await client.get(f"/api/Preauth/{body['transactionId']}")
        assert transaction_client.calls == ["state"]

    async def test_the_newer_version_wins(
        self,
        client: httpx.AsyncClient,
        factory: TransactionFactory,
        transaction_client: FakeTransactionClient,
    ) -> None:
        body = await factory.create_capture()
        state = transaction_client.states[
            (MERCHANT, TransactionKind.PAYMENT, body["transactionId"])
        ]
        path = f"/api/Payment/{body['transactionId']}"
        state.psp_transaction_id = "of the workflow"
        assert (await client.get(path)).json()["pspTransactionId"] == "of the workflow"
        state.version = 0
        assert (await client.get(path)).json()["pspTransactionId"] != "of the workflow"

    async def test_one_unanswered_query_opens_the_circuit_breaker(
        self,
        client: httpx.AsyncClient,
        factory: TransactionFactory,
        transaction_client: FakeTransactionClient,
        context: Context,
    ) -> None:
        body = await factory.create_capture()
        transaction_client.before["state"] = never
        path = f"/api/Payment/{body['transactionId']}"
        transaction_client.calls.clear()
        for _ in range(3):
            response = await client.get(path)
            assert response.json()["status"] == "Succeeded"
        assert transaction_client.calls == ["state"]
        assert context.state_reader.breaker.is_open

    @pytest.mark.parametrize(
        ("error", "trips"),
        [
            (rpc_error(RPCStatusCode.NOT_FOUND), False),
            (rpc_error(RPCStatusCode.FAILED_PRECONDITION), True),
            (rpc_error(RPCStatusCode.UNAVAILABLE), True),
            (RuntimeError("Failed client connect"), True),
        ],
    )
    async def test_a_failed_query_is_answered_from_the_store(
        self,
        client: httpx.AsyncClient,
        factory: TransactionFactory,
        transaction_client: FakeTransactionClient,
        context: Context,
        error: Exception,
        trips: bool,
    ) -> None:
        body = await factory.create_capture()

        async def fail() -> None:
            raise error

        transaction_client.before["state"] = fail
        response = await client.get(f"/api/Payment/{body['transactionId']}")
        assert response.json()["status"] == "Succeeded"
        assert context.state_reader.breaker.is_open is trips

    async def test_a_final_state_is_not_queried(
        self, client: httpx.AsyncClient, transaction_client: FakeTransactionClient
    ) -> None:
        body = preauth(requestedAmount=0)
        await client.post("/api/Preauth", json=body)
        transaction_client.calls.clear()
        response = await client.get(f"/api/Preauth/{body['transactionId']}")
        assert response.json()["status"] == "Succeeded"
        assert transaction_client.calls == []
