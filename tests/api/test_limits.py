"""How much, how slowly and how often anybody may ask."""

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
from api.server import request_timeouts
from api.server.uvicorn_config import MAX_HEADER_BYTES
from integrator.settings import Settings
from integrator.store import Store
from tests.api.builders import MERCHANT, STRANGERS_TOKEN, TOKEN, UNKNOWN, auth
from tests.api.conftest import KEYS, Rows, assert_error
from tests.api.fakes import FakeTransactionClient
from tests.api.serving import Raw, serving

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
NOTIFICATIONS = "/api/notifications/fake/000000000000000000000000"
READERS = [
    ("PUT", "/api/Settings", JSON),
    ("POST", "/api/Preauth", JSON),
    ("POST", f"/api/Preauth/{UNKNOWN}/Cancel", JSON),
    ("POST", "/api/Preauth/Finalize", JSON),
    ("POST", "/api/Payment", JSON),
    ("POST", "/api/Refund", JSON),
    ("POST", NOTIFICATIONS, JSON),
    ("POST", "/oauth/token", FORM),
]


def test_nothing_that_reads_a_body_is_missing_here(app: FastAPI) -> None:
    with_bodies = {
        (method.upper(), path)
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
        if "requestBody" in operation
    }
    named = {(method, path.replace(UNKNOWN, "{transactionId}")) for method, path, _ in READERS} - {
        ("POST", NOTIFICATIONS)
    } | {("POST", "/api/notifications/{psp}/{pspSettingsId}")}
    assert with_bodies == named


class TestSize:
    @pytest.mark.parametrize(("method", "path", "headers"), READERS)
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
        content = b"x" * 300_000 if declared else pieces()
        response = await client.request(method, path, headers=headers, content=content)
        assert response.status_code == 413
        assert sent <= 280_000
        assert rows.count() == stored

    async def test_of_a_head(self, app: FastAPI, settings: Settings) -> None:
        async with serving(app, settings) as port:
            async with Raw.to(port) as small:
                text = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"x" * (MAX_HEADER_BYTES - 1000)
                await small.send(text + b"\r\n\r\n")
                assert (await small.head()).startswith(b"HTTP/1.1 200")
            async with Raw.to(port) as large:
                text = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"x" * (MAX_HEADER_BYTES + 1000)
                await large.send(text)
                answer = await large.all()
                assert answer.startswith(b"HTTP/1.1 400")
                assert b'"errorCode":"InvalidData"' in answer


class TestSlowness:
    @pytest.mark.parametrize(("method", "path", "headers"), READERS)
    async def test_of_a_body(
        self,
        client: httpx.AsyncClient,
        rows: Rows,
        gateway: FakeTransactionClient,
        monkeypatch: pytest.MonkeyPatch,
        method: str,
        path: str,
        headers: dict[str, str],
    ) -> None:
        async def drop_by_drop() -> AsyncIterator[bytes]:
            while True:
                yield b" "
                await asyncio.sleep(0.02)

        monkeypatch.setattr(request_body, "BODY_SECONDS", 0.1)
        stored = rows.count()
        response = await client.request(method, path, headers=headers, content=drop_by_drop())
        assert response.status_code == 408
        assert response.headers["connection"] == "close"
        if path != "/oauth/token":
            assert_error(response, 408, "InvalidData")
        assert rows.count() == stored
        assert gateway.calls == []

    async def test_of_a_body_ends_the_connection(
        self, app: FastAPI, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(request_body, "BODY_SECONDS", 0.2)
        async with serving(app, settings) as port, Raw.to(port) as slow:
            await slow.send(request("POST", "/api/Payment", "Content-Length: 100") + b"{")
            answer = await slow.all()
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
        monkeypatch.setattr(request_timeouts, "HEAD_SECONDS", 0.2)
        async with serving(app, settings) as port, Raw.to(port) as slow:
            await slow.send(sent)
            assert (await slow.all()).partition(b" \r\n")[0] == answer

    async def test_of_a_later_head_even_if_it_moves(
        self, app: FastAPI, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(request_timeouts, "HEAD_SECONDS", 0.3)
        async with serving(app, settings) as port, Raw.to(port) as slow:
            await slow.send(request("GET", "/healthz"))
            assert (await slow.head()).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.5)  # a pause between two requests is no slowness
            await slow.send(request("GET", "/healthz"))
            assert b"HTTP/1.1 200" in await slow.head()
            dripping = asyncio.create_task(drip(slow, b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 99))
            assert b"HTTP/1.1 408" in await slow.all()
            dripping.cancel()

    async def test_of_what_nobody_reads(
        self, app: FastAPI, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A refused body may still come, so that the refusal is seen; but not for ever."""
        monkeypatch.setattr(request_timeouts, "LEFTOVER_SECONDS", 0.3)
        async with serving(app, settings) as port, Raw.to(port) as slow:
            head = request("POST", "/api/Payment", "Content-Length: 100000", token="wrong")
            await slow.send(head)
            assert (await slow.head()).startswith(b"HTTP/1.1 401")
            dripping = asyncio.create_task(drip(slow, b"x" * 99))
            await slow.all(within=2)
            dripping.cancel()

    async def test_a_refused_body_does_not_cost_the_connection(
        self, app: FastAPI, settings: Settings
    ) -> None:
        async with serving(app, settings) as port, Raw.to(port) as client:
            head = request("POST", "/api/Payment", "Content-Length: 100000", token="wrong")
            await client.send(head)
            assert (await client.head()).startswith(b"HTTP/1.1 401")
            await client.send(b"x" * 100_000 + request("GET", "/healthz"))
            answer = await client.head()
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


async def drip(raw: Raw, data: bytes) -> None:
    for byte in data:
        await raw.send(bytes([byte]))
        await asyncio.sleep(0.05)


Limited = Callable[..., None]


@pytest.fixture
def limited(app: FastAPI, context: Context) -> Limited:
    """Replaces rates of the running application."""

    def change(**given: object) -> None:
        app.state.context = replace(context, **given)  # type: ignore[arg-type]

    return change


class TestHaste:
    async def test_of_a_token(
        self, client: httpx.AsyncClient, limited: Limited, gateway: FakeTransactionClient
    ) -> None:
        limited(callers=RateLimit("3/day"))
        for _ in range(3):
            assert (await client.get("/api/Settings")).status_code == 200
        for method, path in (("GET", "/api/Settings"), ("POST", "/api/Payment")):
            response = await client.request(method, path)
            assert_error(response, 429, "RateLimit")
            assert 1 <= int(response.headers["retry-after"]) <= 86_400
        assert gateway.calls == []
        other = await client.get("/api/Settings", headers=auth(STRANGERS_TOKEN))
        assert other.status_code == 200

    async def test_passes(self, client: httpx.AsyncClient, limited: Limited) -> None:
        limited(callers=RateLimit("1/second"))
        assert (await client.get("/api/Settings")).status_code == 200
        response = await client.get("/api/Settings")
        while response.status_code == 429:
            await asyncio.sleep(int(response.headers["retry-after"]) / 4)
            response = await client.get("/api/Settings")
        assert response.status_code == 200

    async def test_of_a_notification_route(
        self, client: httpx.AsyncClient, limited: Limited, store: Store, rows: Rows
    ) -> None:
        merchant = await store.merchant(MERCHANT)
        assert merchant is not None
        limited(notifications=RateLimit("2/day"))
        stored = rows.count()
        path = f"/api/notifications/fake/{merchant.psp_settings_id}"
        signed = {"X-Signature": "s_1"}
        found = [
            (await client.post(path, json={"events": []}, headers=signed)).status_code
            for _ in range(3)
        ]
        assert found == [200, 200, 429]
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
    async def test_without_proof(
        self, client: httpx.AsyncClient, limited: Limited, method: str, path: str, before: int
    ) -> None:
        limited(guests=FailedAuthLimit("3/day"))
        headers = auth("wrong")
        found = [(await client.request(method, path, headers=headers)) for _ in range(5)]
        assert [response.status_code for response in found] == [before] * 3 + [429] * 2
        assert_error(found[-1], 429, "RateLimit")
        assert "retry-after" in found[-1].headers
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200

    async def test_of_forgers(
        self, client: httpx.AsyncClient, limited: Limited, store: Store
    ) -> None:
        merchant = await store.merchant(MERCHANT)
        assert merchant is not None
        limited(guests=FailedAuthLimit("2/day"))
        path = f"/api/notifications/fake/{merchant.psp_settings_id}"
        found = [(await client.post(path, content=b"x")).status_code for _ in range(4)]
        assert found == [401, 401, 429, 429]

    async def test_of_others_does_not_shut_out_who_was_good(
        self, client: httpx.AsyncClient, limited: Limited, store: Store
    ) -> None:
        """A platform calls for all its merchants from one address, and so does a PSP."""
        merchant = await store.merchant(MERCHANT)
        assert merchant is not None
        limited(guests=FailedAuthLimit("2/day"))
        path = f"/api/notifications/fake/{merchant.psp_settings_id}"
        signed = {"X-Signature": "s_1"}
        assert (await client.get("/api/Settings")).status_code == 200
        assert (await client.post(path, json={"events": []}, headers=signed)).status_code == 200
        for _ in range(4):
            await client.get("/api/Settings", headers=auth("wrong"))
        assert (await client.get("/api/Settings", headers=auth("wrong"))).status_code == 429
        assert (await client.get("/api/Settings")).status_code == 200
        assert (await client.post(path, json={"events": []}, headers=signed)).status_code == 200
        never_seen = await client.get("/api/Settings", headers=auth(STRANGERS_TOKEN))
        assert never_seen.status_code == 429

    async def test_is_not_looked_at(
        self,
        client: httpx.AsyncClient,
        limited: Limited,
        store: Store,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        limited(guests=FailedAuthLimit("1/day"))
        await client.get("/api/Settings", headers=auth("wrong"))

        async def never(*_: object) -> None:
            raise AssertionError("the store was asked")

        monkeypatch.setattr(store, "caller_by_token", never)
        response = await client.get("/api/Settings", headers=auth("wrong"))
        assert response.status_code == 429

    async def test_of_strangers_who_ask_for_readiness(self, app: FastAPI, limited: Limited) -> None:
        limited(guests=FailedAuthLimit("2/day"))
        for address, last in (("203.0.114.5", 429), ("10.0.0.5", 200)):
            transport = httpx.ASGITransport(app, client=(address, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
                for _ in range(3):
                    response = await client.get("/readyz")
            assert response.status_code == last

    async def test_is_what_the_settings_say(
        self, client: httpx.AsyncClient, app: FastAPI, context: Context, settings: Settings
    ) -> None:
        given = settings.model_copy(
            update={
                "rate_limit_per_token": "1/day",
                "rate_limit_per_notification_route": "2/day",
                "rate_limit_unauthenticated": "3/day",
            }
        )
        ours = build_context(
            given, KEYS, context.store, context.transaction_client, context.http, context.temporal_ready
        )
        app.state.context = ours
        found = [(await client.get("/api/Settings")).status_code for _ in range(2)]
        assert found == [200, 429]
        headers = auth("wrong")
        found = [(await client.get("/api/Settings", headers=headers)).status_code for _ in range(4)]
        assert found == [401, 401, 401, 429]
        for expected in (None, None, RateLimited):
            with pytest.raises(expected) if expected else nullcontext():
                await ours.notification_limit.acquire("route")

    async def test_is_far_from_the_defaults(self, client: httpx.AsyncClient) -> None:
        found = [(await client.get("/api/IntegrationInfo")).status_code for _ in range(400)]
        assert set(found) == {200}


class TestRates:
    async def test_each_key_has_its_own(self) -> None:
        rate = RateLimit("1/day")
        await rate.acquire("a")
        await rate.acquire("b")
        with pytest.raises(RateLimited) as caught:
            await rate.acquire("a")
        assert 1 <= int(caught.value.headers["Retry-After"]) <= 86_400

    async def test_what_was_good_is_forgotten(self) -> None:
        now = [0.0]
        guests = FailedAuthLimit("1/day", clock=lambda: now[0])
        guests.trust("good")
        await guests.record_failure("address")
        await guests.check("address", "good")
        with pytest.raises(RateLimited):
            await guests.check("address")
        now[0] = 601
        with pytest.raises(RateLimited):
            await guests.check("address", "good")

    async def test_not_more_is_remembered_than_there_is_room_for(self) -> None:
        now = [0.0]
        guests = FailedAuthLimit("1/day", clock=lambda: now[0])
        for number in range(MAX_TRUSTED):
            guests.trust(f"old {number}")
        now[0] = 601
        guests.trust("new")
        await guests.record_failure("address")
        await guests.check("address", "new")
        with pytest.raises(RateLimited):
            await guests.check("address", "old 1")

    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            ("203.0.113.5", "203.0.113.5"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2::1%eth0", "2001:db8:1:2::"),
            ("unknown", "unknown"),
        ],
    )
    def test_addresses(self, host: str, expected: str) -> None:
        scope = {"type": "http", "client": (host, 1)}
        assert client_address(Request(scope)) == expected
