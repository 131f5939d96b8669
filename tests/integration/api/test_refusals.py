"""Refusals of the contract: status, code, and that nothing is stored or sent."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.app import create_app
from api.context import Context
from integrator.psp.types import Approved, Declined, Pending
from integrator.settings import Settings
from integrator.store import Store
from tests.integration.api.builders import (
    MERCHANT,
    RETURN_URLS,
    UNKNOWN,
    Body,
    auth,
    card,
    debit,
    new_id,
    payment,
    preauth,
    refund,
)
from tests.integration.api.conftest import Rows, TransactionFactory, assert_error
from tests.integration.api.fakes import FakeAdapter, FakeTransactionClient
from workflows.messages import AnyInput
from workflows.state import PreauthState, TransactionKind


@dataclass(frozen=True)
class Case:
    path: str
    body: Body
    code: str = "InvalidData"
    status: int = 422
    without: tuple[str, ...] = field(default=())

    def request_body(self) -> Body:
        return {key: value for key, value in self.body.items() if key not in self.without}


def case(id: str, path: str, body: Body, *rest: Any) -> Any:
    return pytest.param(Case(path, body, *rest), id=id)


def card_without(name: str) -> Body:
    return card(**{name: None})


INVALID_REQUESTS = [
    case("preauth id malformed", "Preauth", preauth(transactionId="xyz")),
    case("preauth id absent", "Preauth", preauth(), "InvalidData", 422, ("transactionId",)),
    case("payment id malformed", "Payment", payment(transactionId="20260115-12")),
    case("refund id malformed", "Refund", refund(UNKNOWN, transactionId="12")),
    case("captured id malformed", "Payment", payment(preauthTransactionId="12")),
    case("refunded id malformed", "Refund", refund("12")),
    case("preauth amount < 0", "Preauth", preauth(requestedAmount=-1), "InvalidAmount"),
    case("payment amount 0", "Payment", payment(requestedAmount=0), "InvalidAmount"),
    case("refund amount 0", "Refund", refund(UNKNOWN, requestedAmount=0), "InvalidAmount"),
    case("refund amount < 0", "Refund", refund(UNKNOWN, requestedAmount=-5), "InvalidAmount"),
    case("three decimals", "Preauth", preauth(requestedAmount=1.005), "InvalidAmount"),
    case("part of a yen", "Preauth", preauth(currency="JPY", requestedAmount="5.01"),
         "InvalidAmount"),
    case("currency in lower case", "Preauth", preauth(currency="eur"), "InvalidCurrency"),
    case("currency unknown", "Payment", payment(currency="ABC"), "InvalidCurrency"),
    case("currency absent", "Refund", refund(UNKNOWN), "InvalidData", 422, ("currency",)),
    case("webhook relative", "Preauth", preauth(webhookTarget="/hooks")),
    case("webhook of another scheme", "Payment", payment(webhookTarget="ftp://x.example/")),
    case("webhook absent", "Preauth", preauth(), "InvalidData", 422, ("webhookTarget",)),
    case("agreement blank", "Preauth", preauth(agreementId=" ")),
    case("agreement absent", "Payment", payment(), "InvalidData", 422, ("agreementId",)),
    case("text blank", "Payment", payment(transactionReferenceText=" ")),
    case("return URL relative", "Preauth",
         preauth(paymentMeansReference=card(successReturnUrl="ok"))),
    case("no success URL", "Preauth",
         preauth(paymentMeansReference=card_without("successReturnUrl"))),
    case("no error URL", "Preauth", preauth(paymentMeansReference=card_without("errorReturnUrl"))),
    case("no abort URL", "Preauth", preauth(paymentMeansReference=card_without("abortReturnUrl"))),
    case("means absent", "Preauth", preauth(), "InvalidData", 422, ("paymentMeansReference",)),
    case("role absent", "Preauth", preauth(paymentMeansReference=RETURN_URLS)),
    case("role unknown", "Preauth", preauth(paymentMeansReference=card(role="Gold"))),
    case("role unsupported", "Preauth", preauth(paymentMeansReference=card(role="Autogiro"))),
    case("role of no adapter", "Payment", payment(paymentMeansReference=card(role="iDEAL"))),
    case("payer absent", "Preauth", preauth(), "InvalidData", 422, ("payerData",)),
    case("debit without a day", "Payment", payment(paymentMeansReference={"role": "Debit"})),
    case("debit without a bearer", "Preauth", preauth(paymentMeansReference={"role": "Debit"}),
         "BearerInvalid"),
    case("debit with an empty bearer", "Preauth",
         preauth(paymentMeansReference=debit(initialBearer={})), "BearerInvalid"),
    case("migration unsupported", "Preauth", preauth(migrationToken="cus_9")),
    case("unknown preauth", "Payment", payment(preauthTransactionId=UNKNOWN)),
    case("unknown payment", "Refund", refund(UNKNOWN)),
    case("unknown agreement", "Payment", payment(agreementId="agr-none")),
    case("unknown agreement of an upgrade", "Preauth", preauth(isInitial=False)),
    case("wrong JSON type", "Preauth", preauth(payerData="Mia"), "InvalidData", 400),
    case("exponent beyond any amount", "Preauth", preauth(requestedAmount="1e99"), "InvalidAmount"),
    case("inexact exponent", "Preauth", preauth(requestedAmount="1e-3"), "InvalidAmount"),
]  # fmt: skip


@pytest.mark.parametrize("case", INVALID_REQUESTS)
async def test_invalid_requests_are_refused(
    client: httpx.AsyncClient,
    transaction_client: FakeTransactionClient,
    adapter: FakeAdapter,
    rows: Rows,
    case: Case,
) -> None:
    before = rows.count()
    response = await client.post(f"/api/{case.path}", json=case.request_body())
    assert_error(response, case.status, case.code)
    assert rows.count() == before
    assert transaction_client.calls == []
    assert adapter.calls == []


@pytest.mark.parametrize("path", ["Preauth", "Payment", "Refund"])
async def test_requests_without_saved_settings_are_refused(
    client: httpx.AsyncClient,
    transaction_client: FakeTransactionClient,
    store: Store,
    rows: Rows,
    path: str,
) -> None:
    await store.merchants.add("fresh", "fake")
    await store.api_tokens.issue("fresh", "test", token="token-of-fresh")
    before = rows.count()
    bodies = {"Preauth": preauth(), "Payment": payment(), "Refund": refund(UNKNOWN)}
    headers = auth("token-of-fresh")
    response = await client.post(f"/api/{path}", json=bodies[path], headers=headers)
    assert_error(response, 500, "InvalidConfiguration")
    wrong = bodies[path] | {"webhookTarget": "no"}
    response = await client.post(f"/api/{path}", json=wrong, headers=headers)
    assert_error(response, 422, "InvalidData")
    assert rows.count() == before
    assert transaction_client.calls == []


class TestCaptures:
    @pytest.mark.parametrize(
        ("change", "status", "code"),
        [
            ({"requestedAmount": 119.01}, 422, "InvalidAmount"),
            ({"currency": "USD"}, 422, "InvalidCurrency"),
            ({"agreementId": "agr-2"}, 500, "InvalidPreconditions"),
            ({"paymentMeansReference": {"role": "Debit"}}, 422, "InvalidData"),
        ],
    )
    async def test_mismatched_requests_are_refused(
        self,
        client: httpx.AsyncClient,
        factory: TransactionFactory,
        rows: Rows,
        transaction_client: FakeTransactionClient,
        change: Body,
        status: int,
        code: str,
    ) -> None:
        before = await factory.create_preauth()
        stored, created = rows.count(), transaction_client.calls.count("create")
        body = payment(preauthTransactionId=before["transactionId"]) | change
        assert_error(await client.post("/api/Payment", json=body), status, code)
        assert rows.count() == stored
        assert transaction_client.calls.count("create") == created

    @pytest.mark.parametrize("status", ["Initiated", "Pending", "Failed", "Cancelled", "Expired"])
    async def test_capture_of_a_preauth_that_has_not_succeeded(
        self,
        client: httpx.AsyncClient,
        factory: TransactionFactory,
        transaction_client: FakeTransactionClient,
        rows: Rows,
        status: str,
    ) -> None:
        def psp_outcome(_: AnyInput) -> Declined | Pending:
            if status in ("Initiated", "Pending"):
                return Pending(psp_id="auth_1")
            return Declined.model_validate({"outcome": "declined", "status": status})

        transaction_client.psp = psp_outcome
        before = preauth()
        await client.post("/api/Preauth", json=before)
        stored = rows.count()
        body = payment(preauthTransactionId=before["transactionId"])
        assert_error(await client.post("/api/Payment", json=body), 500, "InvalidPreconditions")
        assert rows.count() == stored

    async def test_capture_of_a_captured_preauth(
        self,
        client: httpx.AsyncClient,
        factory: TransactionFactory,
        transaction_client: FakeTransactionClient,
        rows: Rows,
    ) -> None:
        first = await factory.create_preauth()
        state = transaction_client.states[
            (MERCHANT, TransactionKind.PREAUTH, first["transactionId"])
        ]
        assert isinstance(state, PreauthState)
        state.reserve(new_id(), state.requested_amount, "EUR")
        stored = rows.count()
        body = payment(preauthTransactionId=first["transactionId"])
        assert_error(await client.post("/api/Payment", json=body), 500, "InvalidPreconditions")
        assert rows.count() == stored

    async def test_capture_of_a_mandate(
        self,
        client: httpx.AsyncClient,
        factory: TransactionFactory,
        transaction_client: FakeTransactionClient,
    ) -> None:
        transaction_client.psp = lambda _: Approved(psp_id="mdt_1")
        first = await factory.create_preauth(paymentMeansReference=debit(), requestedAmount=0)
        body = payment(
            preauthTransactionId=first["transactionId"], paymentMeansReference={"role": "Debit"}
        )
        assert_error(await client.post("/api/Payment", json=body), 500, "InvalidPreconditions")

    async def test_capture_of_a_payment(
        self, client: httpx.AsyncClient, factory: TransactionFactory
    ) -> None:
        payment_body = await factory.create_capture()
        body = payment(preauthTransactionId=payment_body["transactionId"])
        assert_error(await client.post("/api/Payment", json=body), 422, "InvalidData")


class TestAgreements:
    @pytest.mark.parametrize("path", ["Preauth", "Payment"])
    async def test_agreement_for_another_role(
        self, client: httpx.AsyncClient, factory: TransactionFactory, path: str
    ) -> None:
        await factory.create_preauth()
        means = {"paymentMeansReference": {"role": "Debit"}, "plannedExecutionDate": "2026-02-19"}
        build: Callable[..., Body] = preauth if path == "Preauth" else payment
        body = build(isInitial=False, **means)
        assert_error(await client.post(f"/api/{path}", json=body), 422, "InvalidData")

    @pytest.mark.parametrize("path", ["Preauth", "Payment"])
    async def test_agreement_not_usable_yet(
        self,
        client: httpx.AsyncClient,
        factory: TransactionFactory,
        transaction_client: FakeTransactionClient,
        rows: Rows,
        path: str,
    ) -> None:
        transaction_client.psp = lambda _: Pending(psp_id="auth_1")
        await factory.create_preauth()
        stored = rows.count()
        build: Callable[..., Body] = preauth if path == "Preauth" else payment
        body = build(isInitial=False)
        response = await client.post(f"/api/{path}", json=body)
        assert_error(response, 500, "InvalidPreconditions")
        assert rows.count() == stored

    async def test_agreement_of_another_merchant(
        self, client: httpx.AsyncClient, factory: TransactionFactory
    ) -> None:
        await factory.create_preauth()
        response = await client.post("/api/Payment", json=payment(), headers=auth("token-of-other"))
        assert_error(response, 422, "InvalidData")


class TestRefunds:
    @pytest.mark.parametrize(
        ("change", "status", "code"),
        [
            ({"currency": "USD"}, 422, "InvalidCurrency"),
            ({"requestedAmount": 119.01}, 422, "InvalidAmount"),
        ],
    )
    async def test_mismatched_requests_are_refused(
        self,
        client: httpx.AsyncClient,
        factory: TransactionFactory,
        rows: Rows,
        change: Body,
        status: int,
        code: str,
    ) -> None:
        payment_body = await factory.create_capture()
        stored = rows.count()
        body = refund(payment_body["transactionId"]) | change
        assert_error(await client.post("/api/Refund", json=body), status, code)
        assert rows.count() == stored

    async def test_refund_of_a_pending_payment_in_another_currency(
        self,
        client: httpx.AsyncClient,
        factory: TransactionFactory,
        transaction_client: FakeTransactionClient,
    ) -> None:
        """The payment's state is checked before the currency."""
        await factory.create_preauth()
        transaction_client.psp = lambda _: Pending(psp_id="ch_1")
        payment_body = await factory.create_payment()
        body = refund(payment_body["transactionId"], currency="USD")
        assert_error(await client.post("/api/Refund", json=body), 500, "InvalidPreconditions")

    async def test_refund_of_a_preauth(
        self, client: httpx.AsyncClient, factory: TransactionFactory
    ) -> None:
        before = await factory.create_preauth()
        body = refund(before["transactionId"])
        assert_error(await client.post("/api/Refund", json=body), 422, "InvalidData")

    async def test_refund_of_another_merchants_payment(
        self, client: httpx.AsyncClient, factory: TransactionFactory
    ) -> None:
        payment_body = await factory.create_capture()
        response = await client.post(
            "/api/Refund",
            json=refund(payment_body["transactionId"]),
            headers=auth("token-of-other"),
        )
        assert_error(response, 422, "InvalidData")


class TestWebhookTargets:
    @pytest.fixture
    def production(self, settings: Settings) -> Settings:
        proxies = ("192.0.2.1",)
        return settings.model_copy(update={"profile": "production", "trusted_proxies": proxies})

    async def _post(self, context: Context, settings: Settings, target: str) -> httpx.Response:
        app: FastAPI = create_app(settings)
        app.state.context = replace(context, settings=settings)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="https://api", headers=auth()
        ) as client:
            return await client.post("/api/Preauth", json=preauth(webhookTarget=target))

    @pytest.mark.parametrize(
        "target",
        [
            "http://transform.example/hooks",
            "https://localhost/hooks",
            "https://127.0.0.1/hooks",
            "https://10.0.0.8/hooks",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]/hooks",
        ],
    )
    async def test_internal_and_http_targets_are_refused_in_production(
        self, context: Context, production: Settings, rows: Rows, target: str
    ) -> None:
        stored = rows.count()
        assert_error(await self._post(context, production, target), 422, "InvalidData")
        assert rows.count() == stored

    async def test_https_targets_are_accepted_in_production(
        self, context: Context, production: Settings
    ) -> None:
        response = await self._post(context, production, "https://transform.example/hooks")
        assert response.status_code == 200

    @pytest.mark.parametrize("target", ["http://127.0.0.1:9000/hooks", "http://x.example/"])
    async def test_http_targets_are_accepted_in_development(
        self, context: Context, settings: Settings, target: str
    ) -> None:
        assert (await self._post(context, settings, target)).status_code == 200

    @pytest.mark.parametrize(
        ("target", "status"),
        [
            ("https://hooks.example/x", 200),
            ("https://HOOKS.example:8443/x", 200),
            ("https://evil.example/hooks.example", 422),
            ("https://hooks.example.evil.example/", 422),
            ("https://hooks.example@evil.example/", 422),
        ],
    )
    async def test_the_global_allow_list(
        self, context: Context, settings: Settings, target: str, status: int
    ) -> None:
        listed = settings.model_copy(update={"webhook_allowed_hosts": ("hooks.example",)})
        assert (await self._post(context, listed, target)).status_code == status

    async def test_a_merchants_allow_list_replaces_the_global_one(
        self, context: Context, settings: Settings
    ) -> None:
        listed = settings.model_copy(update={"webhook_allowed_hosts": ("hooks.example",)})
        await context.store.merchants.set_webhook_hosts(MERCHANT, ["own.example"])
        for host, status in (("own.example", 200), ("hooks.example", 422)):
            response = await self._post(context, listed, f"https://{host}/x")
            assert response.status_code == status
