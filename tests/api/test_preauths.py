"""Cancel and Finalize."""

import asyncio
from datetime import UTC, datetime

import httpx
import pytest

from integrator.contract import PaymentCancellationStatus, PaymentErrorCode
from integrator.psp.types import Approved, Declined, Pending, RedirectRequired
from tests.api.builders import MERCHANT, UNKNOWN, auth, debit, preauth
from tests.api.conftest import World, assert_error
from tests.api.fakes import FakeTransactionClient, away
from workflows.messages import AnyInput, CancelReply
from workflows.state import PreauthState, Refusal, TransactionKind

SESSION = RedirectRequired(psp_id="ses_1", expires_at=datetime(2099, 1, 1, tzinfo=UTC))


async def never() -> None:
    await asyncio.Event().wait()


class TestCancel:
    @pytest.mark.parametrize("body", [None, b"", b"{}", b"not json", b'{"pspSettingsId": 7}'])
    async def test_ignores_its_body(
        self,
        client: httpx.AsyncClient,
        world: World,
        gateway: FakeTransactionClient,
        body: bytes | None,
    ) -> None:
        made = await world.preauth()
        response = await client.post(f"/api/Preauth/{made['transactionId']}/Cancel", content=body)
        assert response.status_code == 200
        assert response.json() == {
            "cancellationStatus": "Succeeded",
            "transactionId": made["transactionId"],
        }
        start = gateway.starts[-1]
        assert start.resume is not None
        assert start.resume.status.name == "Succeeded"

    @pytest.mark.parametrize("status", ["Initiated", "Pending", "NotCancelled", "Failed"])
    async def test_passes_the_status_on(
        self, client: httpx.AsyncClient, world: World, gateway: FakeTransactionClient, status: str
    ) -> None:
        made = await world.preauth()
        gateway.cancel_reply = CancelReply(status=PaymentCancellationStatus[status])
        response = await client.post(f"/api/Preauth/{made['transactionId']}/Cancel")
        assert response.json()["cancellationStatus"] == status

    async def test_without_an_answer_is_pending(
        self, client: httpx.AsyncClient, world: World, gateway: FakeTransactionClient
    ) -> None:
        made = await world.preauth()
        state = gateway.states[(MERCHANT, TransactionKind.PREAUTH, made["transactionId"])]
        assert isinstance(state, PreauthState)
        state.cancelling = True
        gateway.before["cancel"] = never
        response = await client.post(f"/api/Preauth/{made['transactionId']}/Cancel")
        assert response.json()["cancellationStatus"] == "Pending"

    async def test_that_its_workflow_never_saw_is_to_be_repeated(
        self, client: httpx.AsyncClient, world: World, gateway: FakeTransactionClient
    ) -> None:
        made = await world.preauth()
        gateway.before["cancel"] = never
        response = await client.post(f"/api/Preauth/{made['transactionId']}/Cancel")
        assert_error(response, 503, "InternalError")

    async def test_is_refused_by_the_workflow(
        self, client: httpx.AsyncClient, world: World, gateway: FakeTransactionClient
    ) -> None:
        made = await world.preauth()
        refusal = Refusal(code=PaymentErrorCode.InvalidPreconditions, message="Captured.")
        gateway.cancel_reply = CancelReply(
            status=PaymentCancellationStatus.NotCancelled, refusal=refusal
        )
        response = await client.post(f"/api/Preauth/{made['transactionId']}/Cancel")
        assert_error(response, 500, "InvalidPreconditions")

    async def test_with_temporal_away(
        self, client: httpx.AsyncClient, world: World, gateway: FakeTransactionClient
    ) -> None:
        made = await world.preauth()

        async def fail() -> None:
            raise away()

        gateway.before["cancel"] = fail
        response = await client.post(f"/api/Preauth/{made['transactionId']}/Cancel")
        assert_error(response, 503, "InternalError")

    @pytest.mark.parametrize("id", [UNKNOWN, "x"])
    async def test_of_nothing(self, client: httpx.AsyncClient, id: str) -> None:
        assert_error(await client.post(f"/api/Preauth/{id}/Cancel"), 404, "InvalidData")

    async def test_of_what_is_not_a_preauth_of_ours(
        self, client: httpx.AsyncClient, world: World
    ) -> None:
        paid = await world.capture()
        response = await client.post(f"/api/Preauth/{paid['transactionId']}/Cancel")
        assert_error(response, 404, "InvalidData")
        response = await client.post(
            f"/api/Preauth/{paid['preauthTransactionId']}/Cancel", headers=auth("token-of-other")
        )
        assert_error(response, 404, "InvalidData")

    async def test_of_a_role_that_cannot_be_cancelled(
        self, client: httpx.AsyncClient, world: World, gateway: FakeTransactionClient
    ) -> None:
        made = await world.preauth(paymentMeansReference=debit(), requestedAmount=0)
        response = await client.post(f"/api/Preauth/{made['transactionId']}/Cancel")
        assert_error(response, 500, "InvalidPreconditions")
        assert "cancel" not in gateway.calls

    @pytest.mark.parametrize("status", ["Failed", "Expired", "Cancelled"])
    async def test_of_an_ended_preauth_asks_nobody(
        self, client: httpx.AsyncClient, gateway: FakeTransactionClient, status: str
    ) -> None:
        def ended(_: AnyInput) -> Declined:
            return Declined.model_validate({"outcome": "declined", "status": status})

        gateway.psp = ended
        body = preauth()
        await client.post("/api/Preauth", json=body)
        response = await client.post(f"/api/Preauth/{body['transactionId']}/Cancel")
        if status == "Cancelled":
            assert response.json()["cancellationStatus"] == "Succeeded"
        else:
            assert_error(response, 500, "InvalidPreconditions")
        assert "cancel" not in gateway.calls

    async def test_does_not_begin_what_has_not_begun(
        self, client: httpx.AsyncClient, gateway: FakeTransactionClient
    ) -> None:
        """Reopening it would make the PSP call that is to be cancelled."""

        async def crash() -> None:
            raise ZeroDivisionError

        gateway.before["create"] = crash
        body = preauth()
        await client.post("/api/Preauth", json=body)
        response = await client.post(f"/api/Preauth/{body['transactionId']}/Cancel")
        assert_error(response, 500, "InvalidPreconditions")
        assert "cancel" not in gateway.calls


class TestFinalize:
    async def _redirected(self, client: httpx.AsyncClient, gateway: FakeTransactionClient) -> str:
        gateway.psp = lambda _: SESSION
        body = preauth()
        await client.post("/api/Preauth", json=body)
        gateway.psp = lambda _: Approved(psp_id="auth_1")
        gateway.states[(MERCHANT, TransactionKind.PREAUTH, body["transactionId"])].answered = False
        id: str = body["transactionId"]
        return id

    async def test_asks_the_psp(
        self, client: httpx.AsyncClient, gateway: FakeTransactionClient
    ) -> None:
        id = await self._redirected(client, gateway)
        body = {"transactionId": id, "finalizationData": {"payment": "forged"}}
        response = await client.post("/api/Preauth/Finalize", json=body)
        assert response.status_code == 200
        assert response.json()["transactionId"] == id
        assert response.json()["status"] == "Succeeded"
        assert "forged" not in "".join(start.model_dump_json() for start in gateway.starts)

    async def test_of_a_decided_preauth_asks_nobody(
        self, client: httpx.AsyncClient, world: World, gateway: FakeTransactionClient
    ) -> None:
        made = await world.preauth(paymentMeansReference=debit(), requestedAmount=0)
        body = {"transactionId": made["transactionId"]}
        response = await client.post("/api/Preauth/Finalize", json=body)
        assert response.json()["status"] == "Succeeded"
        assert "finalize" not in gateway.calls

    async def test_of_a_failed_preauth_is_its_error(
        self, client: httpx.AsyncClient, gateway: FakeTransactionClient
    ) -> None:
        gateway.psp = lambda _: Declined(code=PaymentErrorCode.Rejected)
        made = preauth()
        await client.post("/api/Preauth", json=made)
        body = {"transactionId": made["transactionId"]}
        assert_error(await client.post("/api/Preauth/Finalize", json=body), 422, "Rejected")

    async def test_without_an_answer_is_as_get(
        self, client: httpx.AsyncClient, gateway: FakeTransactionClient
    ) -> None:
        id = await self._redirected(client, gateway)
        gateway.before["finalize"] = never
        response = await client.post("/api/Preauth/Finalize", json={"transactionId": id})
        assert response.json()["status"] == "Initiated"

    async def test_of_a_role_without_redirect(
        self, client: httpx.AsyncClient, world: World, gateway: FakeTransactionClient
    ) -> None:
        gateway.psp = lambda _: Pending(psp_id="mdt_1")
        made = await world.preauth(paymentMeansReference=debit(), requestedAmount=0)
        body = {"transactionId": made["transactionId"]}
        response = await client.post("/api/Preauth/Finalize", json=body)
        assert_error(response, 500, "InvalidPreconditions")

    @pytest.mark.parametrize("id", [UNKNOWN, "x", "", None])
    async def test_of_nothing(self, client: httpx.AsyncClient, id: str | None) -> None:
        response = await client.post("/api/Preauth/Finalize", json={"transactionId": id})
        assert_error(response, 422, "InvalidData")

    async def test_of_a_payment(self, client: httpx.AsyncClient, world: World) -> None:
        paid = await world.capture()
        body = {"transactionId": paid["transactionId"]}
        assert_error(await client.post("/api/Preauth/Finalize", json=body), 422, "InvalidData")
