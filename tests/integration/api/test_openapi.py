"""The OpenAPI document, its page, and the health checks."""

import asyncio
import base64
from dataclasses import replace
from typing import Any

import httpx
import pytest
import schemathesis
from fastapi import FastAPI
from pydantic import SecretStr
from temporalio.service import RPCError

from api.app import create_app
from api.context import Context
from integrator.contract import PaymentRequest, PreauthRequest, RefundRequest, json_codec
from integrator.settings import Settings
from integrator.store import Store, StoreUnavailable
from tests.integration.api.fakes import rpc_error

OPERATIONS = {
    ("get", "/api/IntegrationInfo"),
    ("get", "/api/Settings"),
    ("put", "/api/Settings"),
    ("post", "/api/Preauth"),
    ("get", "/api/Preauth/{transactionId}"),
    ("post", "/api/Preauth/{transactionId}/Cancel"),
    ("post", "/api/Preauth/Finalize"),
    ("post", "/api/Payment"),
    ("get", "/api/Payment/{transactionId}"),
    ("post", "/api/Refund"),
    ("get", "/api/Refund/{transactionId}"),
    ("post", "/api/notifications/{psp}/{pspSettingsId}"),
    ("post", "/oauth/token"),
    ("get", "/healthz"),
    ("get", "/readyz"),
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings()).openapi()


class TestDocument:
    def test_the_document_is_valid(self, document: dict[str, Any]) -> None:
        schemathesis.openapi.from_dict(document).validate()

    def test_the_document_has_exactly_the_contracts_endpoints(
        self, document: dict[str, Any]
    ) -> None:
        operations = {(m, path) for path, methods in document["paths"].items() for m in methods}
        assert operations == OPERATIONS

    def test_every_reference_resolves(self, document: dict[str, Any]) -> None:
        schemas = document["components"]["schemas"]
        names = {ref.removeprefix("#/components/schemas/") for ref in references(document)}
        assert names <= set(schemas)
        assert "HTTPValidationError" not in schemas

    def test_errors_are_payment_errors(self, document: dict[str, Any]) -> None:
        for method, path in OPERATIONS:
            if not path.startswith("/api/"):
                continue
            operation = document["paths"][path][method]
            responses = operation["responses"]
            errors = {status for status in responses if status != "200"}
            assert {"401", "403", "429", "500", "503"} <= errors
            assert ("408" in errors) is ("413" in errors) is ("requestBody" in operation)
            for status in errors:
                schema = responses[status]["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/PaymentError"}

    def test_billwerk_endpoints_need_a_token_and_notifications_do_not(
        self, document: dict[str, Any]
    ) -> None:
        for method, path in OPERATIONS:
            operation = document["paths"][path][method]
            needs_token = path.startswith("/api/") and "notifications" not in path
            assert bool(operation.get("security")) is needs_token
            assert operation["description"]
        schemes = document["components"]["securitySchemes"]
        assert schemes["HTTPBearer"]["scheme"] == "bearer"
        flow = schemes["OAuth2"]["flows"]["clientCredentials"]
        assert flow == {"tokenUrl": "http://127.0.0.1:8080/oauth/token", "scopes": {}}
        assert set(schemes) == {"HTTPBearer", "OAuth2"}

    def test_both_kinds_of_token_are_accepted(self, document: dict[str, Any]) -> None:
        security = document["paths"]["/api/Payment"]["post"]["security"]
        assert security == [{"HTTPBearer": []}, {"OAuth2": []}]

    def test_the_token_endpoint_takes_a_form(self, document: dict[str, Any]) -> None:
        operation = document["paths"]["/oauth/token"]["post"]
        assert list(operation["requestBody"]["content"]) == ["application/x-www-form-urlencoded"]
        assert {"200", "400", "401", "403", "408", "413", "429", "503"} == set(
            operation["responses"]
        )
        refusal = operation["responses"]["401"]["content"]["application/json"]["schema"]
        assert refusal["required"] == ["error"]

    @pytest.mark.parametrize(
        ("path", "model"),
        [("Preauth", PreauthRequest), ("Payment", PaymentRequest), ("Refund", RefundRequest)],
    )
    def test_examples_are_valid_requests(
        self,
        document: dict[str, Any],
        path: str,
        model: type[PreauthRequest | PaymentRequest | RefundRequest],
    ) -> None:
        body = document["paths"][f"/api/{path}"]["post"]["requestBody"]
        media = body["content"]["application/json"]
        assert media["examples"]
        for example in media["examples"].values():
            text = json_codec.dump(_quote_floats(example["value"]))
            assert json_codec.parse(model, text).webhook_target

    async def test_the_document_and_its_page_are_served(self, client: httpx.AsyncClient) -> None:
        assert (await client.get("/openapi.json")).json()["info"]["title"]
        assert "swagger" in (await client.get("/docs")).text


def references(node: Any) -> set[str]:
    if isinstance(node, list):
        return {ref for item in node for ref in references(item)}
    if not isinstance(node, dict):
        return set()
    own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
    return own | {ref for value in node.values() for ref in references(value)}


def _quote_floats(value: Any) -> Any:
    """Return the example with floats as quoted numbers, which the contract allows."""
    if isinstance(value, float):
        return str(value)
    if isinstance(value, list):
        return [_quote_floats(item) for item in value]
    if isinstance(value, dict):
        return {key: _quote_floats(item) for key, item in value.items()}
    return value


class TestHealth:
    async def _ready(self, app: FastAPI, context: Context, temporal: Any) -> httpx.Response:
        app.state.context = replace(context, temporal_ready=temporal)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://api"
        ) as client:
            return await client.get("/readyz")

    async def test_health_checks_need_no_token(self, client: httpx.AsyncClient) -> None:
        client.headers.pop("authorization")
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).json() == {"store": "ok", "temporal": "ok"}

    @pytest.mark.parametrize("error", [rpc_error(), RuntimeError("no"), TimeoutError(), None])
    async def test_readiness_reports_temporal(
        self, app: FastAPI, context: Context, error: RPCError | None
    ) -> None:
        async def temporal() -> bool:
            if error is not None:
                raise error
            return False

        response = await self._ready(app, context, temporal)
        assert response.status_code == 503
        assert response.json() == {"store": "ok", "temporal": "unreachable"}

    async def test_readiness_waits_at_most_a_second(
        self, app: FastAPI, context: Context, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def temporal() -> bool:
            await asyncio.Event().wait()
            return True

        async with asyncio.timeout(1.5):
            assert (await self._ready(app, context, temporal)).status_code == 503

    async def test_readiness_reports_the_store(
        self, client: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def unavailable() -> None:
            raise StoreUnavailable("no schema")

        monkeypatch.setattr(store, "ping", unavailable)
        response = await client.get("/readyz")
        assert response.status_code == 503
        assert response.json() == {"store": "unreachable", "temporal": "ok"}


async def test_the_app_starts_and_stops(settings: Settings, store: Store) -> None:
    """With the real context, while Temporal is unavailable."""
    keys = SecretStr("k:" + base64.b64encode(bytes(32)).decode())
    alone = settings.model_copy(update={"temporal_address": "127.0.0.1:9", "keys": keys})
    app = create_app(alone)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client,
    ):
        response = await client.get("/readyz")
        assert response.json() == {"store": "ok", "temporal": "unreachable"}
