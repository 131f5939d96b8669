"""The store lags behind the workflow: no request is refused on the store's state alone."""

import httpx
from temporalio.service import RPCError, RPCStatusCode

from api.context import Context
from integrator.psp.types import Pending
from integrator.store import Store
from tests.integration.api.builders import MERCHANT, payment, preauth, refund
from tests.integration.api.conftest import TransactionFactory, assert_error
from tests.integration.api.fakes import FakeTransactionClient, approve, initial_state
from workflows.messages import AnyInput
from workflows.state import Evidence, EvidenceKind, TransactionKind


async def _create_pending_payment(
    client: httpx.AsyncClient,
    transaction_client: FakeTransactionClient,
    factory: TransactionFactory,
) -> str:
    """Create a payment that is Pending in the store."""
    await factory.create_preauth()
    transaction_client.psp = lambda _: Pending(psp_id="ch_1")
    body = payment()
    await client.post("/api/Payment", json=body)
    return str(body["transactionId"])


def fail_queries(transaction_client: FakeTransactionClient) -> None:
    async def time_out() -> None:
        raise RPCError("timeout", RPCStatusCode.DEADLINE_EXCEEDED, b"")

    transaction_client.before["state"] = time_out


async def test_a_refund_of_a_payment_pending_only_in_the_store_is_answered_with_503(
    client: httpx.AsyncClient,
    transaction_client: FakeTransactionClient,
    factory: TransactionFactory,
) -> None:
    payment_id = await _create_pending_payment(client, transaction_client, factory)
    fail_queries(transaction_client)
    response = await client.post("/api/Refund", json=refund(payment_id))
    assert_error(response, 503, "InternalError")
    assert response.headers["Retry-After"]


async def test_a_refusal_queries_the_workflow_even_if_the_breaker_is_open(
    client: httpx.AsyncClient,
    transaction_client: FakeTransactionClient,
    factory: TransactionFactory,
    context: Context,
) -> None:
    payment_id = await _create_pending_payment(client, transaction_client, factory)
    context.state_reader.breaker.trip()
    response = await client.post("/api/Refund", json=refund(payment_id))
    assert_error(response, 500, "InvalidPreconditions")


async def test_a_refund_of_a_payment_pending_in_the_workflow_is_refused(
    client: httpx.AsyncClient,
    transaction_client: FakeTransactionClient,
    factory: TransactionFactory,
) -> None:
    payment_id = await _create_pending_payment(client, transaction_client, factory)
    response = await client.post("/api/Refund", json=refund(payment_id))
    assert_error(response, 500, "InvalidPreconditions")


async def test_a_capture_of_a_preauth_pending_only_in_the_store_is_answered_with_503(
    client: httpx.AsyncClient, transaction_client: FakeTransactionClient
) -> None:
    transaction_client.psp = lambda _: Pending(psp_id="auth_1")
    preauth_body = preauth()
    await client.post("/api/Preauth", json=preauth_body)
    fail_queries(transaction_client)
    body = payment(preauthTransactionId=preauth_body["transactionId"])
    assert_error(await client.post("/api/Payment", json=body), 503, "InternalError")


async def test_a_charge_before_the_initial_preauth_is_recorded_is_answered_with_503(
    client: httpx.AsyncClient, transaction_client: FakeTransactionClient, store: Store
) -> None:
    initial_body = preauth()

    def apply_without_record(start: AnyInput) -> None:
        state = initial_state(start)
        evidence = Evidence(kind=EvidenceKind.ANSWER, source="psp", at=state.last_updated)
        state.apply(approve(start), evidence)
        transaction_client.states[(MERCHANT, TransactionKind.PREAUTH, start.transaction_id)] = state

    transaction_client.psp = lambda _: None
    await client.post("/api/Preauth", json=initial_body)
    apply_without_record(transaction_client.starts[-1])
    assert_error(await client.post("/api/Payment", json=payment()), 503, "InternalError")
    await transaction_client.record(
        MERCHANT,
        transaction_client.states[
            (MERCHANT, TransactionKind.PREAUTH, initial_body["transactionId"])
        ],
    )
    transaction_client.psp = approve
    assert (await client.post("/api/Payment", json=payment())).status_code == 200
