"""Tokens, bodies, paths and error responses."""

import json
import logging
from collections.abc import AsyncIterator
from decimal import Decimal

import httpx
import pytest

from integrator.store import Store, StoreUnavailable
from tests.integration.api.builders import OTHER_TOKEN, TOKEN, UNKNOWN, auth, preauth
from tests.integration.api.conftest import Rows, TransactionFactory, assert_error
from tests.integration.api.fakes import FakeTransactionClient

JSON = {"Content-Type": "application/json"}
ENDPOINTS = [
    ("GET", "/api/IntegrationInfo"),
    ("GET", "/api/Settings"),
    ("PUT", "/api/Settings"),
    ("POST", "/api/Preauth"),
    ("GET", f"/api/Preauth/{UNKNOWN}"),
    ("POST", f"/api/Preauth/{UNKNOWN}/Cancel"),
    ("POST", "/api/Preauth/Finalize"),
    ("POST", "/api/Payment"),
    ("GET", f"/api/Payment/{UNKNOWN}"),
    ("POST", "/api/Refund"),
    ("GET", f"/api/Refund/{UNKNOWN}"),
]


class TestTokens:
    @pytest.mark.parametrize(("method", "path"), ENDPOINTS)
    @pytest.mark.parametrize(
        "header", [None, "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer ", "Bearer"]
    )
    async def test_a_valid_token_is_required(
        self, client: httpx.AsyncClient, rows: Rows, method: str, path: str, header: str | None
    ) -> None:
        stored = rows.count()
        client.headers.pop("authorization")
        headers = {"Authorization": header} if header else {}
        response = await client.request(method, path, headers=headers, content=b"{")
        assert_error(response, 401, "UnmappedError")
        assert response.headers["www-authenticate"] == "Bearer"
        assert rows.count() == stored

    async def test_the_token_is_checked_before_the_body_is_read(
        self, client: httpx.AsyncClient
    ) -> None:
        async def body() -> AsyncIterator[bytes]:
            raise AssertionError("the body was read")
            yield b""

        response = await client.post("/api/Preauth", content=body(), headers=auth("wrong"))
        assert_error(response, 401, "UnmappedError")

    async def test_the_scheme_is_case_insensitive(self, client: httpx.AsyncClient) -> None:
        headers = {"Authorization": f"bearer {TOKEN}"}
        response = await client.get("/api/IntegrationInfo", headers=headers)
        assert response.status_code == 200


class TestBodies:
    @pytest.mark.parametrize("path", ["Preauth", "Payment", "Refund", "Preauth/Finalize"])
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            "[]",
            "null",
            '{"requestedAmount": NaN}',
            '{"a": 1} {}',
            "// no\n{}",
            "[" * 40 + "]" * 40,
            '{"a": ' * 40 + "1" + "}" * 40,
            '{"paymentMeansReference": 5}',
        ],
    )
    async def test_malformed_json_is_refused(
        self, client: httpx.AsyncClient, rows: Rows, path: str, text: str
    ) -> None:
        stored = rows.count()
        if path in ("Refund", "Preauth/Finalize"):
            text = text.replace('"paymentMeansReference"', '"transactionId"')
        response = await client.post(f"/api/{path}", content=text, headers=JSON)
        assert_error(response, 400, "InvalidData")
        assert rows.count() == stored

    @pytest.mark.parametrize("text", [b"\xff\xfe{}", b'{"transactionId": "\xc3\x28"}'])
    async def test_invalid_utf8_is_refused(self, client: httpx.AsyncClient, text: bytes) -> None:
        response = await client.post("/api/Preauth", content=text, headers=JSON)
        assert_error(response, 400, "InvalidData")

    @pytest.mark.parametrize(
        ("currency", "literal", "amount"),
        [
            ("EUR", "49.900", "49.9"),
            ("EUR", "4.99e1", "49.9"),
            ("EUR", '"0.499E+2"', "49.9"),
            ("EUR", f"49.9{'0' * 50}", "49.9"),
            ("EUR", "1000000000000000000000000e-22", "100"),
            ("JPY", "2500.0", "2500"),
            ("KWD", "10.1230", "10.123"),
        ],
    )
    async def test_an_amount_counts_by_its_value(
        self, client: httpx.AsyncClient, currency: str, literal: str, amount: str
    ) -> None:
        text = json.dumps(preauth(requestedAmount="AMOUNT", currency=currency))
        text = text.replace('"AMOUNT"', literal)
        response = await client.post("/api/Preauth", content=text, headers=JSON)
        assert response.status_code == 200
        assert Decimal(str(response.json()["requestedAmount"])) == Decimal(amount)

    @pytest.mark.parametrize(
        ("currency", "literal"),
        [
            ("EUR", "49.901"),
            ("EUR", "1e-3"),
            ("JPY", "0.5"),
            ("EUR", "1e12"),
            ("EUR", "1e9999999"),
            ("EUR", f"1e{'9' * 5000}"),
            ("EUR", f"1.{'1' * 5000}"),
        ],
    )
    async def test_an_inexact_or_excessive_amount_is_refused(
        self, client: httpx.AsyncClient, currency: str, literal: str
    ) -> None:
        text = json.dumps(preauth(requestedAmount="AMOUNT", currency=currency))
        text = text.replace('"AMOUNT"', literal)
        response = await client.post("/api/Preauth", content=text, headers=JSON)
        assert_error(response, 422, "InvalidAmount")

    @pytest.mark.parametrize(
        "content_type",
        [
            "application/json",
            "text/json",
            "APPLICATION/JSON; charset=utf-8",
            "application/vnd.billwerk+json",
            "application/json;charset=UTF-8",
        ],
    )
    async def test_json_content_types_are_accepted(
        self, client: httpx.AsyncClient, content_type: str
    ) -> None:
        text = json.dumps(preauth())
        response = await client.post(
            "/api/Preauth", content=text, headers={"Content-Type": content_type}
        )
        assert response.status_code == 200

    @pytest.mark.parametrize(
        "content_type", ["text/plain", "application/xml", "text/xml+json", "application/jsonp", ""]
    )
    @pytest.mark.parametrize(
        ("method", "path"),
        [e for e in ENDPOINTS if e[0] != "GET" and not e[1].endswith("Cancel")],
    )
    async def test_other_content_types_are_refused(
        self, client: httpx.AsyncClient, rows: Rows, method: str, path: str, content_type: str
    ) -> None:
        stored = rows.count()
        headers = {"Content-Type": content_type} if content_type else {}
        response = await client.request(
            method, path, content=json.dumps(preauth()), headers=headers
        )
        assert_error(response, 415, "InvalidData")
        assert rows.count() == stored

    @pytest.mark.parametrize("streamed", [False, True])
    @pytest.mark.parametrize(("size", "status"), [(256 * 1024, 200), (256 * 1024 + 1, 413)])
    async def test_the_body_size_is_limited(
        self, client: httpx.AsyncClient, rows: Rows, size: int, status: int, streamed: bool
    ) -> None:
        text = json.dumps(preauth()).encode()
        text += b" " * (size - len(text))

        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(text), 50_000):
                yield text[start : start + 50_000]

        content = chunks() if streamed else text
        response = await client.post("/api/Preauth", content=content, headers=JSON)
        assert response.status_code == status
        if status == 413:
            assert_error(response, 413, "InvalidData")
            assert rows.count()["transactions"] == 0

    async def test_member_names_are_case_insensitive(self, client: httpx.AsyncClient) -> None:
        body = {key.upper(): value for key, value in preauth().items()}
        assert (await client.post("/api/Preauth", json=body)).status_code == 200

    async def test_errors_never_contain_the_value(self, client: httpx.AsyncClient) -> None:
        body = preauth(webhookTarget="secret-value", currency="secret-value")
        response = await client.post("/api/Preauth", json=body)
        assert "secret-value" not in response.text


class TestPaths:
    @pytest.mark.parametrize("prefix", ["/api", "", "/API", "/Api"])
    @pytest.mark.parametrize("spell", [str, str.lower, str.upper])
    async def test_prefix_and_letter_case_are_optional(
        self, client: httpx.AsyncClient, factory: TransactionFactory, prefix: str, spell: type[str]
    ) -> None:
        body = await factory.create_preauth()
        for path in ("IntegrationInfo", "Settings"):
            assert (await client.get(f"{prefix}/{spell(path)}")).status_code == 200
        id = body["transactionId"]
        assert (await client.get(f"{prefix}/{spell('Preauth')}/{id}")).status_code == 200
        cancelled = await client.post(f"{prefix}/{spell('Preauth')}/{id}/{spell('Cancel')}")
        assert cancelled.status_code == 200
        finalized = await client.post(
            f"{prefix}/{spell('Preauth')}/{spell('Finalize')}", json={"transactionId": id}
        )
        assert finalized.status_code == 200
        for path in ("Payment", "Refund"):
            assert (await client.post(f"{prefix}/{spell(path)}", json={})).status_code == 422

    async def test_ids_are_case_sensitive(self, client: httpx.AsyncClient) -> None:
        body = preauth(transactionId="20260115-ABCDEFabcdef0123456789ab")
        await client.post("/api/Preauth", json=body)
        response = await client.get("/preauth/20260115-ABCDEFabcdef0123456789ab")
        assert response.json()["transactionId"] == body["transactionId"]
        other = await client.get(f"/preauth/{body['transactionId'].lower()}")
        assert_error(other, 404, "InvalidData")

    @pytest.mark.parametrize(
        "path",
        [
            "/",
            "/api",
            "/api/InMemoryStorage",
            "/api/webhooks/reepay",
            "/api/api/Settings",
            "/api/Payment/x/Cancel",
            "/api//Settings",
            "/redoc",
        ],
    )
    async def test_an_unknown_path_is_not_found(self, client: httpx.AsyncClient, path: str) -> None:
        assert_error(await client.get(path), 404, "InvalidData")
        assert_error(await client.post(path), 404, "InvalidData")

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("DELETE", "/api/Settings", "GET, PUT"),
            ("GET", "/api/Payment", "POST"),
            ("PATCH", f"/api/Payment/{UNKNOWN}", "GET"),
            ("PUT", "/refund", "POST"),
            ("GET", f"/api/Preauth/{UNKNOWN}/Cancel", "POST"),
            ("GET", "/api/notifications/fake/x", "POST"),
        ],
    )
    async def test_a_wrong_method_lists_the_allowed_ones(
        self, client: httpx.AsyncClient, method: str, path: str, allowed: str
    ) -> None:
        response = await client.request(method, path)
        assert_error(response, 405, "InvalidData")
        assert response.headers["allow"] == allowed

    @pytest.mark.parametrize("kind", ["Preauth", "Payment", "Refund"])
    @pytest.mark.parametrize("id", ["x", UNKNOWN, "..%2f..", "%00", "20260115-6", "٢" * 24])
    async def test_an_unknown_or_malformed_id_is_not_found(
        self, client: httpx.AsyncClient, kind: str, id: str
    ) -> None:
        assert_error(await client.get(f"/api/{kind}/{id}"), 404, "InvalidData")

    async def test_another_kind_or_merchant_is_not_found(
        self, client: httpx.AsyncClient, factory: TransactionFactory
    ) -> None:
        body = await factory.create_preauth()
        unknown = await client.get(f"/api/Payment/{UNKNOWN}")
        for path, token in (
            (f"/api/Payment/{body['transactionId']}", TOKEN),
            (f"/api/Preauth/{body['transactionId']}", OTHER_TOKEN),
        ):
            response = await client.get(path, headers=auth(token))
            assert_error(response, 404, "InvalidData")
        assert "No payment with this id." in unknown.text


class TestFailures:
    async def test_unexpected_errors_contain_no_details(
        self,
        client: httpx.AsyncClient,
        transaction_client: FakeTransactionClient,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        async def broken() -> None:
            raise ZeroDivisionError("a detail that must not leave")

        transaction_client.before["create"] = broken
        response = await client.post("/api/Preauth", json=preauth())
        assert_error(response, 500, "InternalError")
        assert "detail" not in response.text
        assert "ZeroDivisionError: a detail" in caplog.text

    async def test_an_unavailable_store_is_answered_with_503(
        self, client: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def unavailable(*_: object) -> None:
            raise StoreUnavailable("locked")

        monkeypatch.setattr(store.transactions, "get", unavailable)
        answers = [await client.post("/api/Preauth", json=preauth())]
        monkeypatch.setattr(store.callers, "find_by_token", unavailable)
        answers += [await client.get(f"/api/{path}") for path in (f"Preauth/{UNKNOWN}", "Settings")]
        for response in answers:
            assert_error(response, 503, "InternalError")
            assert response.headers["retry-after"] == "2"

    async def test_request_ids_and_the_access_log(
        self, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "api.access")
        headers = {"X-Request-Id": "req-7"}
        response = await client.get("/api/Settings?token=abc", headers=headers)
        assert response.headers["x-request-id"] == "req-7"
        assert "GET /api/Settings 200" in caplog.text
        for secret in ("token=abc", TOKEN, "k_1"):
            assert secret not in caplog.text
        strange = await client.get("/healthz", headers={"X-Request-Id": "a b\tc"})
        assert len(strange.headers["x-request-id"]) == 32
