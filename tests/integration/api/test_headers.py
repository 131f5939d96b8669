"""Headers of every response, and the request id in every log line."""

import asyncio
import base64
import hashlib
import io
import logging
import re
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI

from integrator.observability.log_setup import FORMAT, SubjectFilter, bound
from integrator.settings import Settings
from integrator.store import Store
from tests.integration.api.builders import UNKNOWN, preauth
from tests.integration.api.fakes import FakeTransactionClient
from tests.integration.api.serving import RawConnection, run_server

SECURITY_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
REQUESTS = [
    ("GET", "/api/IntegrationInfo", {}, 200),
    ("GET", "/api/Settings", {"Authorization": "Bearer wrong"}, 401),
    ("GET", f"/api/Payment/{UNKNOWN}", {}, 404),
    ("GET", "/nowhere", {}, 404),
    ("DELETE", "/api/Settings", {}, 405),
    ("POST", "/api/Payment", {"Content-Length": "300000", "Content-Type": "text/json"}, 413),
    ("POST", "/api/Payment", {}, 415),
    ("POST", f"/api/notifications/fake/{'0' * 24}", {}, 404),
    ("POST", "/oauth/token", {}, 400),
    ("GET", "/healthz", {}, 200),
    ("GET", "/readyz", {}, 200),
    ("GET", "/openapi.json", {}, 200),
    ("GET", "/static-offline-docs/swagger-ui.css", {}, 200),
    ("GET", "/static-offline-docs/../../api/app.py", {}, 404),
]


@pytest.mark.parametrize(("method", "path", "headers", "status"), REQUESTS)
async def test_security_headers_are_on_every_response(
    client: httpx.AsyncClient, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    response = await client.request(method, path, headers=headers)
    assert response.status_code == status
    assert {name: response.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert "server" not in response.headers
    assert response.headers["x-request-id"]


async def test_security_headers_are_on_unexpected_errors(
    client: httpx.AsyncClient,
    transaction_client: FakeTransactionClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    transaction_client.before["create"] = broken
    response = await client.post("/api/Preauth", json=preauth())
    assert response.status_code == 500
    assert {name: response.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert "Traceback" not in response.text
    assert "ZeroDivision" not in response.text


async def test_security_headers_are_on_responses_of_the_server_itself(
    app: FastAPI, settings: Settings
) -> None:
    async with run_server(app, settings) as port, RawConnection.open(port) as connection:
        await connection.send(b"NO HTTP AT ALL\r\n\r\n")
        head, _, body = (await connection.read_all()).decode().lower().partition("\r\n\r\n")
    assert head.startswith("http/1.1 400")
    assert all(f"{name}: {text}".lower() in head for name, text in SECURITY_HEADERS.items())
    assert "server:" not in head
    assert '"errorcode":"invaliddata"' in body.replace(" ", "")
    assert "uvicorn" not in body
    assert "h11" not in body


async def test_the_docs_page_allows_only_its_own_script(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = dict(
        part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    for url in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert url.startswith("/")
        assert (await client.get(url)).status_code == 200


class TestLog:
    @pytest.fixture
    def lines(self) -> Iterator[io.StringIO]:
        """Collect all log lines in the format of a running process."""
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logging.Formatter(FORMAT))
        handler.addFilter(SubjectFilter(bound))
        root = logging.getLogger()
        before = root.level
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        yield stream
        root.setLevel(before)
        root.removeHandler(handler)

    async def test_log_lines_of_all_packages_contain_the_request_id(
        self,
        client: httpx.AsyncClient,
        transaction_client: FakeTransactionClient,
        store: Store,
        lines: io.StringIO,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        both = asyncio.Barrier(2)

        async def log_create() -> None:
            await both.wait()
            logging.getLogger("integrator.transactions.transaction_client").info("working")

        caller_by_token = store.callers.find_by_token

        async def log_and_look_up(token: str, asked_id: str | None) -> object:
            logging.getLogger("integrator.store.api_tokens").info("looking")
            return await caller_by_token(token, asked_id)

        transaction_client.before["create"] = log_create
        monkeypatch.setattr(store.callers, "find_by_token", log_and_look_up)
        await asyncio.gather(
            *(
                client.post("/api/Preauth", json=preauth(), headers={"X-Request-Id": id})
                for id in ("req-a", "req-b")
            )
        )
        logging.getLogger("api").info("without a request")
        text = lines.getvalue()
        for id in ("req-a", "req-b"):
            assert len(re.findall(rf"integrator\.store\.api_tokens \[{id}\] looking", text)) == 1
            assert (
                len(
                    re.findall(
                        rf"integrator\.transactions\.transaction_client \[{id}\] working", text
                    )
                )
                == 1
            )
            assert len(re.findall(rf"api\.access \[{id}\] POST /api/Preauth 200", text)) == 1
        assert "api [-] without a request" in text

    async def test_a_request_cannot_forge_a_log_line(
        self, client: httpx.AsyncClient, lines: io.StringIO
    ) -> None:
        await client.get("/a%0d%0a2026-01-01 00:00:00 INFO api [-] all is well")
        assert len(lines.getvalue().splitlines()) == len(
            [line for line in lines.getvalue().splitlines() if re.match(r"20\d\d-", line)]
        )
        assert "%0D%0A" in lines.getvalue()
