"""The store hears of a change a moment after the caller: nothing is refused on its word alone."""

import httpx
from temporalio.service import RPCError, RPCStatusCode

from api.context import Context
from integrator.psp.types import Pending
from integrator.store import Store
from tests.api.builders import MERCHANT, payment, preauth, refund
from tests.api.conftest import World, assert_error
from tests.api.fakes import FakeTransactionClient, approved, first_state
from workflows.messages import AnyInput
from workflows.state import Evidence, EvidenceKind, TransactionKind


async def _pending(client: httpx.AsyncClient, gateway: FakeTransactionClient, world: World) -> str:
    """A payment that the store knows as Pending."""
    await world.preauth()
    gateway.psp = lambda _: Pending(psp_id="ch_1")
    body = payment()
    await client.post("/api/Payment", json=body)
    return str(body["transactionId"])


def nobody_answers(gateway: FakeTransactionClient) -> None:
    async def away() -> None:
        raise RPCError("timeout", RPCStatusCode.DEADLINE_EXCEEDED, b"")

    gateway.before["state"] = away


async def test_a_refund_of_what_the_store_alone_calls_pending_is_to_be_repeated(
    client: httpx.AsyncClient, gateway: FakeTransactionClient, world: World
) -> None:
    paid = await _pending(client, gateway, world)
    nobody_answers(gateway)
    response = await client.post("/api/Refund", json=refund(paid))
    assert_error(response, 503, "InternalError")
    assert response.headers["Retry-After"]


async def test_a_refusal_asks_the_workflow_even_if_a_read_would_not(
    client: httpx.AsyncClient, gateway: FakeTransactionClient, world: World, context: Context
) -> None:
    paid = await _pending(client, gateway, world)
    context.query_breaker.trip()
    response = await client.post("/api/Refund", json=refund(paid))
    assert_error(response, 500, "InvalidPreconditions")


async def test_a_refund_of_what_the_workflow_calls_pending_is_refused(
    client: httpx.AsyncClient, gateway: FakeTransactionClient, world: World
) -> None:
    paid = await _pending(client, gateway, world)
    response = await client.post("/api/Refund", json=refund(paid))
    assert_error(response, 500, "InvalidPreconditions")


async def test_a_capture_of_what_the_store_alone_calls_pending_is_to_be_repeated(
    client: httpx.AsyncClient, gateway: FakeTransactionClient
) -> None:
    gateway.psp = lambda _: Pending(psp_id="auth_1")
    held = preauth()
    await client.post("/api/Preauth", json=held)
    nobody_answers(gateway)
    body = payment(preauthTransactionId=held["transactionId"])
    assert_error(await client.post("/api/Payment", json=body), 503, "InternalError")


async def test_a_charge_right_after_a_sign_up_that_is_not_recorded_yet_is_to_be_repeated(
    client: httpx.AsyncClient, gateway: FakeTransactionClient, store: Store
) -> None:
    signed = preauth()

    def answered_and_not_recorded(start: AnyInput) -> None:
        state = first_state(start)
        proof = Evidence(kind=EvidenceKind.ANSWER, source="psp", at=state.last_updated)
        state.apply(approved(start), proof)
        gateway.states[(MERCHANT, TransactionKind.PREAUTH, start.transaction_id)] = state

    gateway.psp = lambda _: None
    await client.post("/api/Preauth", json=signed)
    answered_and_not_recorded(gateway.starts[-1])
    assert_error(await client.post("/api/Payment", json=payment()), 503, "InternalError")
    await gateway.record(
        MERCHANT, gateway.states[(MERCHANT, TransactionKind.PREAUTH, signed["transactionId"])]
    )
    gateway.psp = approved
    assert (await client.post("/api/Payment", json=payment())).status_code == 200
