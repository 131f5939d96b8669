"""Limits of size, time and rate."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request

from api import request_body
from api.auth.rate_limits import MAX_TRUSTED, FailedAuthLimit, RateLimit, client_address
from api.context import Context, build_context
from api.errors import RateLimited
from api.request_body import MAX_BODY_BYTES
from api.server import request_timeouts
from api.server.uvicorn_config import MAX_HEADER_BYTES
from api.transactions.notifications import max_body_bytes
from integrator.settings import Settings
from integrator.store import Store
from tests.integration.api.builders import MERCHANT, OTHER_TOKEN, TOKEN, UNKNOWN, auth
from tests.integration.api.conftest import KEYS, Rows, assert_error
from tests.integration.api.fakes import FakeTransactionClient
from tests.integration.api.serving import RawConnection, run_server

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
NOTIFICATIONS = "/api/notifications/fake/000000000000000000000000"
ENDPOINTS_WITH_BODY = [
    ("PUT", "/api/Settings", JSON),
    ("POST", "/api/Preauth", JSON),
    ("POST", f"/api/Preauth/{UNKNOWN}/Cancel", JSON),
    ("POST", "/api/Preauth/Finalize", JSON),
    ("POST", "/api/Payment", JSON),
    ("POST", "/api/Refund", JSON),
    ("POST", NOTIFICATIONS, JSON),
    ("POST", "/oauth/token", FORM),
]


def test_every_endpoint_with_a_body_is_covered(app: FastAPI) -> None:
    with_bodies = {
        (method.upper(), path)
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
        if "requestBody" in operation
    }
    named = {
        (method, path.replace(UNKNOWN, "{transactionId}"))
        for method, path, _ in ENDPOINTS_WITH_BODY
    } - {("POST", NOTIFICATIONS)} | {("POST", "/api/notifications/{psp}/{pspSettingsId}")}
    assert with_bodies == named


class TestSize:
    @pytest.mark.parametrize(("method", "path", "headers"), ENDPOINTS_WITH_BODY)
    @pytest.mark.parametrize("declared", [True, False])
    async def test_of_a_body(
        self,
        client: httpx.AsyncClient,
        rows: Rows,
        method: str,
        path: str,
        headers: dict[str, str],
        declared: bool,
    ) -> None:
        sent = 0

        async def pieces() -> AsyncIterator[bytes]:
            nonlocal sent
            for _ in range(1000):
                sent += 10_000
                yield b"x" * 10_000

        stored = rows.count()
        is_notification = path.startswith("/api/notifications/")
        limit = max_body_bytes("fake") if is_notification else MAX_BODY_BYTES
        content = b"x" * (limit + 1) if declared else pieces()
        response = await client.request(method, path, headers=headers, content=content)
        assert response.status_code == 413
        assert sent <= limit + 20_000
        assert rows.count() == stored

    async def test_of_a_head(self, app: FastAPI, settings: Settings) -> None:
        async with run_server(app, settings) as port:
            async with RawConnection.open(port) as small:
                text = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"x" * (MAX_HEADER_BYTES - 1000)
                await small.send(text + b"\r\n\r\n")
                assert (await small.read_head()).startswith(b"HTTP/1.1 200")
            async with RawConnection.open(port) as large:
                text = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"x" * (MAX_HEADER_BYTES + 1000)
                await large.send(text)
                answer = await large.read_all()
                assert answer.startswith(b"HTTP/1.1 400")
                assert b'"errorCode":"InvalidData"' in answer


class TestTimeouts:
    @pytest.mark.parametrize(("method", "path", "headers"), ENDPOINTS_WITH_BODY)
    async def test_of_a_body(
        self,
        client: httpx.AsyncClient,
        rows: Rows,
        transaction_client: FakeTransactionClient,
        monkeypatch: pytest.MonkeyPatch,
        method: str,
        path: str,
        headers: dict[str, str],
    ) -> None:
        async def slow_chunks() -> AsyncIterator[bytes]:
            while True:
                yield b" "
                await asyncio.sleep(0.02)

        monkeypatch.setattr(request_body, "BODY_TIMEOUT_SECONDS", 0.1)
        stored = rows.count()
        response = await client.request(method, path, headers=headers, content=slow_chunks())
        assert response.status_code == 408
        assert response.headers["connection"] == "close"
        if path != "/oauth/token":
            assert_error(response, 408, "InvalidData")
        assert rows.count() == stored
        assert transaction_client.calls == []

    async def test_a_slow_body_closes_the_connection(
        self, app: FastAPI, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(request_body, "BODY_TIMEOUT_SECONDS", 0.2)
        async with run_server(app, settings) as port, RawConnection.open(port) as slow:
            await slow.send(request("POST", "/api/Payment", "Content-Length: 100") + b"{")
            answer = await slow.read_all()
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"did not arrive in time" in answer

    @pytest.mark.parametrize(
        ("sent", "answer"), [(b"", b""), (b"GET /healthz HTTP/1.1\r\nHost:", b"HTTP/1.1 408")]
    )
    async def test_of_a_head(
        self,
        app: FastAPI,
        settings: Settings,
        monkeypatch: pytest.MonkeyPatch,
        sent: bytes,
        answer: bytes,
    ) -> None:
        monkeypatch.setattr(request_timeouts, "HEADER_TIMEOUT_SECONDS", 0.2)
        async with run_server(app, settings) as port, RawConnection.open(port) as slow:
            await slow.send(sent)
            assert (await slow.read_all()).partition(b" \r\n")[0] == answer

    async def test_slow_headers_of_a_later_request_time_out(
        self, app: FastAPI, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(request_timeouts, "HEADER_TIMEOUT_SECONDS", 0.3)
        async with run_server(app, settings) as port, RawConnection.open(port) as slow:
            await slow.send(request("GET", "/healthz"))
            assert (await slow.read_head()).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.5)  # an idle pause between two requests is allowed
            await slow.send(request("GET", "/healthz"))
            assert b"HTTP/1.1 200" in await slow.read_head()
            sending = asyncio.create_task(
                send_slowly(slow, b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 99)
            )
            assert b"HTTP/1.1 408" in await slow.read_all()
            sending.cancel()

    async def test_an_unread_body_closes_the_connection(
        self, app: FastAPI, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A refused body may still be sent for a while, so that the client sees the refusal."""
        monkeypatch.setattr(request_timeouts, "UNREAD_BODY_TIMEOUT_SECONDS", 0.3)
        async with run_server(app, settings) as port, RawConnection.open(port) as slow:
            head = request("POST", "/api/Payment", "Content-Length: 100000", token="wrong")
            await slow.send(head)
            assert (await slow.read_head()).startswith(b"HTTP/1.1 401")
            sending = asyncio.create_task(send_slowly(slow, b"x" * 99))
            await slow.read_all(within=2)
            sending.cancel()

    async def test_a_refused_body_keeps_the_connection_open(
        self, app: FastAPI, settings: Settings
    ) -> None:
        async with run_server(app, settings) as port, RawConnection.open(port) as client:
            head = request("POST", "/api/Payment", "Content-Length: 100000", token="wrong")
            await client.send(head)
            assert (await client.read_head()).startswith(b"HTTP/1.1 401")
            await client.send(b"x" * 100_000 + request("GET", "/healthz"))
            answer = await client.read_head()
            assert b"HTTP/1.1 200" in answer


def request(method: str, path: str, *headers: str, token: str = TOKEN) -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: api",
        f"Authorization: Bearer {token}",
        "Content-Type: application/json",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


async def send_slowly(raw: RawConnection, data: bytes) -> None:
    for byte in data:
        await raw.send(bytes([byte]))
        await asyncio.sleep(0.05)


SetLimits = Callable[..., None]


@pytest.fixture
def set_limits(app: FastAPI, context: Context) -> SetLimits:
    """Return a function that replaces limits of the running application."""

    def change(**changes: object) -> None:
        app.state.context = replace(context, **changes)  # type: ignore[arg-type]

    return change


class TestRateLimits:
    async def test_requests_are_limited_per_token(
        self,
        client: httpx.AsyncClient,
        set_limits: SetLimits,
        transaction_client: FakeTransactionClient,
    ) -> None:
        set_limits(caller_limit=RateLimit("3/day"))
        for _ in range(3):
            assert (await client.get("/api/Settings")).status_code == 200
        for method, path in (("GET", "/api/Settings"), ("POST", "/api/Payment")):
            response = await client.request(method, path)
            assert_error(response, 429, "RateLimit")
            assert 1 <= int(response.headers["retry-after"]) <= 86_400
        assert transaction_client.calls == []
        other = await client.get("/api/Settings", headers=auth(OTHER_TOKEN))
        assert other.status_code == 200

    async def test_the_limit_ends_after_the_retry_time(
        self, client: httpx.AsyncClient, set_limits: SetLimits
    ) -> None:
        set_limits(caller_limit=RateLimit("1/second"))
        assert (await client.get("/api/Settings")).status_code == 200
        response = await client.get("/api/Settings")
        while response.status_code == 429:
            await asyncio.sleep(int(response.headers["retry-after"]) / 4)
            response = await client.get("/api/Settings")
        assert response.status_code == 200

    async def test_notifications_are_limited_per_route(
        self, client: httpx.AsyncClient, set_limits: SetLimits, store: Store, rows: Rows
    ) -> None:
        merchant = await store.merchants.get(MERCHANT)
        assert merchant is not None
        set_limits(notification_limit=RateLimit("2/day"))
        stored = rows.count()
        path = f"/api/notifications/fake/{merchant.psp_settings_id}"
        signed = {"X-Signature": "s_1"}
        responses = [
            (await client.post(path, json={"events": []}, headers=signed)).status_code
            for _ in range(3)
        ]
        assert responses == [200, 200, 429]
        response = await client.post(path, json={"events": []}, headers=signed)
        assert_error(response, 429, "RateLimit")
        assert "retry-after" in response.headers
        assert rows.count() == stored
        assert (await client.get("/api/Settings")).status_code == 200

    @pytest.mark.parametrize(
        ("method", "path", "before"),
        [
            ("GET", "/api/Settings", 401),
            ("POST", "/api/Payment", 401),
            ("POST", NOTIFICATIONS, 404),
            ("POST", "/api/notifications/fa%00ke/x", 404),
        ],
    )
    async def test_failed_authentications_are_limited(
        self, client: httpx.AsyncClient, set_limits: SetLimits, method: str, path: str, before: int
    ) -> None:
        set_limits(failed_auth_limit=FailedAuthLimit("3/day"))
        headers = auth("wrong")
        responses = [(await client.request(method, path, headers=headers)) for _ in range(5)]
        assert [response.status_code for response in responses] == [before] * 3 + [429] * 2
        assert_error(responses[-1], 429, "RateLimit")
        assert "retry-after" in responses[-1].headers
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200

    async def test_invalid_signatures_are_limited(
        self, client: httpx.AsyncClient, set_limits: SetLimits, store: Store
    ) -> None:
        merchant = await store.merchants.get(MERCHANT)
        assert merchant is not None
        set_limits(failed_auth_limit=FailedAuthLimit("2/day"))
        path = f"/api/notifications/fake/{merchant.psp_settings_id}"
        responses = [(await client.post(path, content=b"x")).status_code for _ in range(4)]
        assert responses == [401, 401, 429, 429]

    async def test_a_recently_valid_credential_is_not_locked_out(
        self, client: httpx.AsyncClient, set_limits: SetLimits, store: Store
    ) -> None:
        """Billwerk+ calls for all merchants from the same address, and so does each PSP."""
        merchant = await store.merchants.get(MERCHANT)
        assert merchant is not None
        set_limits(failed_auth_limit=FailedAuthLimit("2/day"))
        path = f"/api/notifications/fake/{merchant.psp_settings_id}"
        signed = {"X-Signature": "s_1"}
        assert (await client.get("/api/Settings")).status_code == 200
        assert (await client.post(path, json={"events": []}, headers=signed)).status_code == 200
        for _ in range(4):
            await client.get("/api/Settings", headers=auth("wrong"))
        assert (await client.get("/api/Settings", headers=auth("wrong"))).status_code == 429
        assert (await client.get("/api/Settings")).status_code == 200
        assert (await client.post(path, json={"events": []}, headers=signed)).status_code == 200
        never_seen = await client.get("/api/Settings", headers=auth(OTHER_TOKEN))
        assert never_seen.status_code == 429

    async def test_a_limited_address_is_refused_before_the_store_is_queried(
        self,
        client: httpx.AsyncClient,
        set_limits: SetLimits,
        store: Store,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        set_limits(failed_auth_limit=FailedAuthLimit("1/day"))
        await client.get("/api/Settings", headers=auth("wrong"))

        async def never(*_: object) -> None:
            raise AssertionError("the store was queried")

        monkeypatch.setattr(store.callers, "find_by_token", never)
        response = await client.get("/api/Settings", headers=auth("wrong"))
        assert response.status_code == 429

    async def test_readiness_requests_from_outside_are_limited(
        self, app: FastAPI, set_limits: SetLimits
    ) -> None:
        set_limits(failed_auth_limit=FailedAuthLimit("2/day"))
        for address, last in (("203.0.114.5", 429), ("10.0.0.5", 200)):
            transport = httpx.ASGITransport(app, client=(address, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
                for _ in range(3):
                    response = await client.get("/readyz")
            assert response.status_code == last

    async def test_the_limits_come_from_the_settings(
        self, client: httpx.AsyncClient, app: FastAPI, context: Context, settings: Settings
    ) -> None:
        changes = settings.model_copy(
            update={
                "rate_limit_per_token": "1/day",
                "rate_limit_per_notification_route": "2/day",
                "rate_limit_unauthenticated": "3/day",
            }
        )
        limited_context = build_context(
            changes,
            KEYS,
            context.store,
            context.transaction_client,
            context.http,
            context.temporal_ready,
        )
        app.state.context = limited_context
        responses = [(await client.get("/api/Settings")).status_code for _ in range(2)]
        assert responses == [200, 429]
        headers = auth("wrong")
        responses = [
            (await client.get("/api/Settings", headers=headers)).status_code for _ in range(4)
        ]
        assert responses == [401, 401, 401, 429]
        for expected in (None, None, RateLimited):
            with pytest.raises(expected) if expected else nullcontext():
                await limited_context.notification_limit.acquire("route")

    async def test_the_default_limits_are_high(self, client: httpx.AsyncClient) -> None:
        responses = [(await client.get("/api/IntegrationInfo")).status_code for _ in range(400)]
        assert set(responses) == {200}


class TestLimiters:
    async def test_each_key_is_counted_separately(self) -> None:
        rate = RateLimit("1/day")
        await rate.acquire("a")
        await rate.acquire("b")
        with pytest.raises(RateLimited) as caught:
            await rate.acquire("a")
        assert 1 <= int(caught.value.headers["Retry-After"]) <= 86_400

    async def test_trust_expires(self) -> None:
        now = [0.0]
        limit = FailedAuthLimit("1/day", clock=lambda: now[0])
        limit.trust("good")
        await limit.record_failure("address")
        await limit.check("address", "good")
        with pytest.raises(RateLimited):
            await limit.check("address")
        now[0] = 601
        with pytest.raises(RateLimited):
            await limit.check("address", "good")

    async def test_the_number_of_trusted_credentials_is_limited(self) -> None:
        now = [0.0]
        limit = FailedAuthLimit("1/day", clock=lambda: now[0])
        for number in range(MAX_TRUSTED):
            limit.trust(f"old {number}")
        now[0] = 601
        limit.trust("new")
        await limit.record_failure("address")
        await limit.check("address", "new")
        with pytest.raises(RateLimited):
            await limit.check("address", "old 1")

    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            ("203.0.113.5", "203.0.113.5"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2::1%eth0", "2001:db8:1:2::"),
            ("unknown", "unknown"),
        ],
    )
    def test_client_addresses(self, host: str, expected: str) -> None:
        scope = {"type": "http", "client": (host, 1)}
        assert client_address(Request(scope)) == expected
