"""Every refusal of the contract: its status and code, and that nothing came of it."""

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
from tests.api.builders import (
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
from tests.api.conftest import Rows, World, assert_error
from tests.api.fakes import FakeAdapter, FakeTransactionClient
from workflows.messages import AnyInput
from workflows.state import PreauthState, TransactionKind


@dataclass(frozen=True)
class Case:
    path: str
    body: Body
    code: str = "InvalidData"
    status: int = 422
    without: tuple[str, ...] = field(default=())

    def sent(self) -> Body:
        return {key: value for key, value in self.body.items() if key not in self.without}


def case(id: str, path: str, body: Body, *rest: Any) -> Any:
    return pytest.param(Case(path, body, *rest), id=id)


def lacking(name: str) -> Body:
    return card(**{name: None})


FORM = [
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
    case("yen with decimals", "Preauth", preauth(currency="JPY", requestedAmount="5.00"),
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
    case("no success URL", "Preauth", preauth(paymentMeansReference=lacking("successReturnUrl"))),
    case("no error URL", "Preauth", preauth(paymentMeansReference=lacking("errorReturnUrl"))),
    case("no abort URL", "Preauth", preauth(paymentMeansReference=lacking("abortReturnUrl"))),
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
    case("exponent", "Preauth", preauth(requestedAmount="1e2"), "InvalidAmount"),
]  # fmt: skip


@pytest.mark.parametrize("given", FORM)
async def test_a_request_that_cannot_be_right(
    client: httpx.AsyncClient,
    gateway: FakeTransactionClient,
    adapter: FakeAdapter,
    rows: Rows,
    given: Case,
) -> None:
    before = rows.count()
    response = await client.post(f"/api/{given.path}", json=given.sent())
    assert_error(response, given.status, given.code)
    assert rows.count() == before
    assert gateway.calls == []
    assert adapter.calls == []


@pytest.mark.parametrize("path", ["Preauth", "Payment", "Refund"])
async def test_nothing_works_without_settings(
    client: httpx.AsyncClient, gateway: FakeTransactionClient, store: Store, rows: Rows, path: str
) -> None:
    await store.add_merchant("fresh", "fake")
    await store.issue_token("fresh", "test", token="token-of-fresh")
    before = rows.count()
    bodies = {"Preauth": preauth(), "Payment": payment(), "Refund": refund(UNKNOWN)}
    headers = auth("token-of-fresh")
    response = await client.post(f"/api/{path}", json=bodies[path], headers=headers)
    assert_error(response, 500, "InvalidConfiguration")
    wrong = bodies[path] | {"webhookTarget": "no"}
    response = await client.post(f"/api/{path}", json=wrong, headers=headers)
    assert_error(response, 422, "InvalidData")
    assert rows.count() == before
    assert gateway.calls == []


class TestCaptures:
    @pytest.mark.parametrize(
        ("given", "status", "code"),
        [
            ({"requestedAmount": 119.01}, 422, "InvalidAmount"),
            ({"currency": "USD"}, 422, "InvalidCurrency"),
            ({"agreementId": "agr-2"}, 500, "InvalidPreconditions"),
            ({"paymentMeansReference": {"role": "Debit"}}, 422, "InvalidData"),
        ],
    )
    async def test_that_do_not_fit(
        self,
        client: httpx.AsyncClient,
        world: World,
        rows: Rows,
        gateway: FakeTransactionClient,
        given: Body,
        status: int,
        code: str,
    ) -> None:
        before = await world.preauth()
        stored, created = rows.count(), gateway.calls.count("create")
        body = payment(preauthTransactionId=before["transactionId"]) | given
        assert_error(await client.post("/api/Payment", json=body), status, code)
        assert rows.count() == stored
        assert gateway.calls.count("create") == created

    @pytest.mark.parametrize("status", ["Initiated", "Pending", "Failed", "Cancelled", "Expired"])
    async def test_of_a_preauth_that_has_not_succeeded(
        self,
        client: httpx.AsyncClient,
        world: World,
        gateway: FakeTransactionClient,
        rows: Rows,
        status: str,
    ) -> None:
        def answered(_: AnyInput) -> Declined | Pending:
            if status in ("Initiated", "Pending"):
                return Pending(psp_id="auth_1")
            return Declined.model_validate({"outcome": "declined", "status": status})

        gateway.psp = answered
        before = preauth()
        await client.post("/api/Preauth", json=before)
        stored = rows.count()
        body = payment(preauthTransactionId=before["transactionId"])
        assert_error(await client.post("/api/Payment", json=body), 500, "InvalidPreconditions")
        assert rows.count() == stored

    async def test_of_a_captured_preauth(
        self, client: httpx.AsyncClient, world: World, gateway: FakeTransactionClient, rows: Rows
    ) -> None:
        first = await world.preauth()
        state = gateway.states[(MERCHANT, TransactionKind.PREAUTH, first["transactionId"])]
        assert isinstance(state, PreauthState)
        state.reserve(new_id(), state.requested_amount, "EUR")
        stored = rows.count()
        body = payment(preauthTransactionId=first["transactionId"])
        assert_error(await client.post("/api/Payment", json=body), 500, "InvalidPreconditions")
        assert rows.count() == stored

    async def test_of_a_mandate(
        self, client: httpx.AsyncClient, world: World, gateway: FakeTransactionClient
    ) -> None:
        gateway.psp = lambda _: Approved(psp_id="mdt_1")
        first = await world.preauth(paymentMeansReference=debit(), requestedAmount=0)
        body = payment(
            preauthTransactionId=first["transactionId"], paymentMeansReference={"role": "Debit"}
        )
        assert_error(await client.post("/api/Payment", json=body), 500, "InvalidPreconditions")

    async def test_of_a_payment(self, client: httpx.AsyncClient, world: World) -> None:
        paid = await world.capture()
        body = payment(preauthTransactionId=paid["transactionId"])
        assert_error(await client.post("/api/Payment", json=body), 422, "InvalidData")


class TestAgreements:
    @pytest.mark.parametrize("path", ["Preauth", "Payment"])
    async def test_for_another_role(
        self, client: httpx.AsyncClient, world: World, path: str
    ) -> None:
        await world.preauth()
        means = {"paymentMeansReference": {"role": "Debit"}, "plannedExecutionDate": "2026-02-19"}
        build: Callable[..., Body] = preauth if path == "Preauth" else payment
        body = build(isInitial=False, **means)
        assert_error(await client.post(f"/api/{path}", json=body), 422, "InvalidData")

    @pytest.mark.parametrize("path", ["Preauth", "Payment"])
    async def test_not_usable_yet(
        self,
        client: httpx.AsyncClient,
        world: World,
        gateway: FakeTransactionClient,
        rows: Rows,
        path: str,
    ) -> None:
        gateway.psp = lambda _: Pending(psp_id="auth_1")
        await world.preauth()
        stored = rows.count()
        build: Callable[..., Body] = preauth if path == "Preauth" else payment
        body = build(isInitial=False)
        response = await client.post(f"/api/{path}", json=body)
        assert_error(response, 500, "InvalidPreconditions")
        assert rows.count() == stored

    async def test_of_another_merchant(self, client: httpx.AsyncClient, world: World) -> None:
        await world.preauth()
        response = await client.post("/api/Payment", json=payment(), headers=auth("token-of-other"))
        assert_error(response, 422, "InvalidData")


class TestRefunds:
    @pytest.mark.parametrize(
        ("given", "status", "code"),
        [
            ({"currency": "USD"}, 422, "InvalidCurrency"),
            ({"requestedAmount": 119.01}, 422, "InvalidAmount"),
        ],
    )
    async def test_that_do_not_fit(
        self,
        client: httpx.AsyncClient,
        world: World,
        rows: Rows,
        given: Body,
        status: int,
        code: str,
    ) -> None:
        paid = await world.capture()
        stored = rows.count()
        body = refund(paid["transactionId"]) | given
        assert_error(await client.post("/api/Refund", json=body), status, code)
        assert rows.count() == stored

    async def test_of_a_pending_payment_in_another_currency(
        self, client: httpx.AsyncClient, world: World, gateway: FakeTransactionClient
    ) -> None:
        """The payment's state is judged before the currency."""
        await world.preauth()
        gateway.psp = lambda _: Pending(psp_id="ch_1")
        paid = await world.payment()
        body = refund(paid["transactionId"], currency="USD")
        assert_error(await client.post("/api/Refund", json=body), 500, "InvalidPreconditions")

    async def test_of_a_preauth(self, client: httpx.AsyncClient, world: World) -> None:
        before = await world.preauth()
        body = refund(before["transactionId"])
        assert_error(await client.post("/api/Refund", json=body), 422, "InvalidData")

    async def test_of_another_merchants_payment(
        self, client: httpx.AsyncClient, world: World
    ) -> None:
        paid = await world.capture()
        response = await client.post(
            "/api/Refund", json=refund(paid["transactionId"]), headers=auth("token-of-other")
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
    async def test_refused_in_production(
        self, context: Context, production: Settings, rows: Rows, target: str
    ) -> None:
        stored = rows.count()
        assert_error(await self._post(context, production, target), 422, "InvalidData")
        assert rows.count() == stored

    async def test_accepted_in_production(self, context: Context, production: Settings) -> None:
        response = await self._post(context, production, "https://transform.example/hooks")
        assert response.status_code == 200

    @pytest.mark.parametrize("target", ["http://127.0.0.1:9000/hooks", "http://x.example/"])
    async def test_accepted_in_development(
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
    async def test_the_list_of_hosts(
        self, context: Context, settings: Settings, target: str, status: int
    ) -> None:
        listed = settings.model_copy(update={"webhook_allowed_hosts": ("hooks.example",)})
        assert (await self._post(context, listed, target)).status_code == status

    async def test_a_merchants_own_list_decides_for_it(
        self, context: Context, settings: Settings
    ) -> None:
        listed = settings.model_copy(update={"webhook_allowed_hosts": ("hooks.example",)})
        await context.store.allow_webhook_hosts(MERCHANT, ["own.example"])
        for host, status in (("own.example", 200), ("hooks.example", 422)):
            response = await self._post(context, listed, f"https://{host}/x")
            assert response.status_code == status
