"""Cancellation and finalization of preauths."""

import asyncio
from datetime import UTC, datetime

import httpx
import pytest

from integrator.contract import PaymentCancellationStatus, PaymentErrorCode
from integrator.psp.types import Approved, Declined, Pending, RedirectRequired
from integrator.store import RecordUpdate, Store
from tests.integration.api.builders import MERCHANT, UNKNOWN, auth, debit, preauth
from tests.integration.api.conftest import TransactionFactory, assert_error
from tests.integration.api.fakes import FakeTransactionClient, rpc_error
from workflows.messages import AnyInput, CancelReply
from workflows.state import PreauthState, Refusal, TransactionKind

SESSION = RedirectRequired(psp_id="ses_1", expires_at=datetime(2099, 1, 1, tzinfo=UTC))


async def never() -> None:
    await asyncio.Event().wait()


class TestCancel:
    @pytest.mark.parametrize("body", [None, b"", b"{}", b"not json", b'{"pspSettingsId": 7}'])
    async def test_cancel_ignores_its_body(
        self,
        client: httpx.AsyncClient,
        factory: TransactionFactory,
        transaction_client: FakeTransactionClient,
        body: bytes | None,
    ) -> None:
        preauth_body = await factory.create_preauth()
        response = await client.post(
            f"/api/Preauth/{preauth_body['transactionId']}/Cancel", content=body
        )
        assert response.status_code == 200
        assert response.json() == {
            "cancellationStatus": "Succeeded",
            "transactionId": preauth_body["transactionId"],
        }
        start = transaction_client.starts[-1]
        assert start.resume is not None
        assert start.resume.status.name == "Succeeded"

    @pytest.mark.parametrize("status", ["Initiated", "Pending", "NotCancelled", "Failed"])
    async def test_cancel_returns_the_workflows_status(
        self,
        client: httpx.AsyncClient,
        factory: TransactionFactory,
        transaction_client: FakeTransactionClient,
        status: str,
    ) -> None:
        preauth_body = await factory.create_preauth()
        transaction_client.cancel_reply = CancelReply(status=PaymentCancellationStatus[status])
        response = await client.post(f"/api/Preauth/{preauth_body['transactionId']}/Cancel")
        assert response.json()["cancellationStatus"] == status

    @pytest.mark.parametrize("recorded", [True, False])
    async def test_a_cancellation_without_an_answer_is_pending_once_it_is_recorded(
        self,
        client: httpx.AsyncClient,
        factory: TransactionFactory,
        transaction_client: FakeTransactionClient,
        store: Store,
        recorded: bool,
    ) -> None:
        """A restored backup of Temporal may lack what the store does not hold."""
        preauth_body = await factory.create_preauth()
        key = (MERCHANT, preauth_body["transactionId"])
        state = transaction_client.states[(MERCHANT, TransactionKind.PREAUTH, key[1])]
        assert isinstance(state, PreauthState)
        state.begin_void()
        if recorded:
            update = RecordUpdate(
                *key, state.status.name, state.version, state.model_dump_json(), evidence="{}"
            )
            assert await store.transactions.record(update)
        transaction_client.before["cancel"] = never
        response = await client.post(f"/api/Preauth/{key[1]}/Cancel")
        if recorded:
            assert response.json()["cancellationStatus"] == "Pending"
        else:
            assert_error(response, 503, "InternalError")

    async def test_a_cancellation_not_accepted_by_the_workflow_is_answered_with_503(
        self,
        client: httpx.AsyncClient,
        factory: TransactionFactory,
        transaction_client: FakeTransactionClient,
    ) -> None:
        preauth_body = await factory.create_preauth()
        transaction_client.before["cancel"] = never
        response = await client.post(f"/api/Preauth/{preauth_body['transactionId']}/Cancel")
        assert_error(response, 503, "InternalError")

    async def test_the_workflow_can_refuse_a_cancellation(
        self,
        client: httpx.AsyncClient,
        factory: TransactionFactory,
        transaction_client: FakeTransactionClient,
    ) -> None:
        preauth_body = await factory.create_preauth()
        refusal = Refusal(code=PaymentErrorCode.InvalidPreconditions, message="Captured.")
        transaction_client.cancel_reply = CancelReply(
            status=PaymentCancellationStatus.NotCancelled, refusal=refusal
        )
        response = await client.post(f"/api/Preauth/{preauth_body['transactionId']}/Cancel")
        assert_error(response, 500, "InvalidPreconditions")

    async def test_cancel_with_temporal_unavailable_is_answered_with_503(
        self,
        client: httpx.AsyncClient,
        factory: TransactionFactory,
        transaction_client: FakeTransactionClient,
    ) -> None:
        preauth_body = await factory.create_preauth()

        async def fail() -> None:
            raise rpc_error()

        transaction_client.before["cancel"] = fail
        response = await client.post(f"/api/Preauth/{preauth_body['transactionId']}/Cancel")
        assert_error(response, 503, "InternalError")

    @pytest.mark.parametrize("id", [UNKNOWN, "x"])
    async def test_an_unknown_or_malformed_id_is_refused(
        self, client: httpx.AsyncClient, id: str
    ) -> None:
        assert_error(await client.post(f"/api/Preauth/{id}/Cancel"), 404, "InvalidData")

    async def test_a_payment_or_another_merchants_preauth_is_not_found(
        self, client: httpx.AsyncClient, factory: TransactionFactory
    ) -> None:
        payment_body = await factory.create_capture()
        response = await client.post(f"/api/Preauth/{payment_body['transactionId']}/Cancel")
        assert_error(response, 404, "InvalidData")
        response = await client.post(
            f"/api/Preauth/{payment_body['preauthTransactionId']}/Cancel",
            headers=auth("token-of-other"),
        )
        assert_error(response, 404, "InvalidData")

    async def test_a_role_without_cancellation_is_refused(
        self,
        client: httpx.AsyncClient,
        factory: TransactionFactory,
        transaction_client: FakeTransactionClient,
    ) -> None:
        preauth_body = await factory.create_preauth(
            paymentMeansReference=debit(), requestedAmount=0
        )
        response = await client.post(f"/api/Preauth/{preauth_body['transactionId']}/Cancel")
        assert_error(response, 500, "InvalidPreconditions")
        assert "cancel" not in transaction_client.calls

    @pytest.mark.parametrize("status", ["Failed", "Expired", "Cancelled"])
    async def test_cancelling_an_ended_preauth_does_not_call_the_workflow(
        self, client: httpx.AsyncClient, transaction_client: FakeTransactionClient, status: str
    ) -> None:
        def decline(_: AnyInput) -> Declined:
            return Declined.model_validate({"outcome": "declined", "status": status})

        transaction_client.psp = decline
        body = preauth()
        await client.post("/api/Preauth", json=body)
        response = await client.post(f"/api/Preauth/{body['transactionId']}/Cancel")
        if status == "Cancelled":
            assert response.json()["cancellationStatus"] == "Succeeded"
        else:
            assert_error(response, 500, "InvalidPreconditions")
        assert "cancel" not in transaction_client.calls

    async def test_cancel_does_not_start_a_workflow_that_was_never_started(
        self, client: httpx.AsyncClient, transaction_client: FakeTransactionClient
    ) -> None:
        """Resuming it would make the PSP call that is to be cancelled."""

        async def crash() -> None:
            raise ZeroDivisionError

        transaction_client.before["create"] = crash
        body = preauth()
        await client.post("/api/Preauth", json=body)
        response = await client.post(f"/api/Preauth/{body['transactionId']}/Cancel")
        assert_error(response, 500, "InvalidPreconditions")
        assert "cancel" not in transaction_client.calls


class TestFinalize:
    async def _create_redirected(
        self, client: httpx.AsyncClient, transaction_client: FakeTransactionClient
    ) -> str:
        transaction_client.psp = lambda _: SESSION
        body = preauth()
        await client.post("/api/Preauth", json=body)
        transaction_client.psp = lambda _: Approved(psp_id="auth_1")
        transaction_client.states[
            (MERCHANT, TransactionKind.PREAUTH, body["transactionId"])
        ].answered = False
        id: str = body["transactionId"]
        return id

    async def test_finalize_queries_the_psp(
        self, client: httpx.AsyncClient, transaction_client: FakeTransactionClient
    ) -> None:
        id = await self._create_redirected(client, transaction_client)
        body = {"transactionId": id, "finalizationData": {"payment": "forged"}}
        response = await client.post("/api/Preauth/Finalize", json=body)
        assert response.status_code == 200
        assert response.json()["transactionId"] == id
        assert response.json()["status"] == "Succeeded"
        assert "forged" not in "".join(
            start.model_dump_json() for start in transaction_client.starts
        )

    async def test_finalizing_a_decided_preauth_does_not_call_the_workflow(
        self,
        client: httpx.AsyncClient,
        factory: TransactionFactory,
        transaction_client: FakeTransactionClient,
    ) -> None:
        preauth_body = await factory.create_preauth(
            paymentMeansReference=debit(), requestedAmount=0
        )
        body = {"transactionId": preauth_body["transactionId"]}
        response = await client.post("/api/Preauth/Finalize", json=body)
        assert response.json()["status"] == "Succeeded"
        assert "finalize" not in transaction_client.calls

    async def test_finalizing_a_failed_preauth_returns_its_error(
        self, client: httpx.AsyncClient, transaction_client: FakeTransactionClient
    ) -> None:
        transaction_client.psp = lambda _: Declined(code=PaymentErrorCode.Rejected)
        preauth_body = preauth()
        await client.post("/api/Preauth", json=preauth_body)
        body = {"transactionId": preauth_body["transactionId"]}
        assert_error(await client.post("/api/Preauth/Finalize", json=body), 422, "Rejected")

    async def test_finalize_without_an_answer_returns_the_current_state(
        self, client: httpx.AsyncClient, transaction_client: FakeTransactionClient
    ) -> None:
        id = await self._create_redirected(client, transaction_client)
        transaction_client.before["finalize"] = never
        response = await client.post("/api/Preauth/Finalize", json={"transactionId": id})
        assert response.json()["status"] == "Initiated"

    async def test_a_role_without_redirect_is_refused(
        self,
        client: httpx.AsyncClient,
        factory: TransactionFactory,
        transaction_client: FakeTransactionClient,
    ) -> None:
        transaction_client.psp = lambda _: Pending(psp_id="mdt_1")
        preauth_body = await factory.create_preauth(
            paymentMeansReference=debit(), requestedAmount=0
        )
        body = {"transactionId": preauth_body["transactionId"]}
        response = await client.post("/api/Preauth/Finalize", json=body)
        assert_error(response, 500, "InvalidPreconditions")

    @pytest.mark.parametrize("id", [UNKNOWN, "x", "", None])
    async def test_an_unknown_or_malformed_id_is_refused(
        self, client: httpx.AsyncClient, id: str | None
    ) -> None:
        response = await client.post("/api/Preauth/Finalize", json={"transactionId": id})
        assert_error(response, 422, "InvalidData")

    async def test_a_payment_cannot_be_finalized(
        self, client: httpx.AsyncClient, factory: TransactionFactory
    ) -> None:
        payment_body = await factory.create_capture()
        body = {"transactionId": payment_body["transactionId"]}
        assert_error(await client.post("/api/Preauth/Finalize", json=body), 422, "InvalidData")
