"""Test the codec server: no plaintext without the token."""

import json
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn
from google.protobuf.json_format import MessageToDict
from pydantic import SecretStr
from temporalio.api.common.v1 import Payload, Payloads

from devtools.sandbox_psp import __main__ as sandbox_psp
from integrator.codec_server import __main__ as codec_server
from integrator.codec_server.app import MAX_REQUEST_BYTES, ConfigurationError, create_app
from integrator.crypto.keys import KeyRing, generate_key
from integrator.settings import Settings
from integrator.temporal.payload_codec import EncryptingCodec

TOKEN = "operators-token"
UI = "http://127.0.0.1:8233"
KEY = generate_key()
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'{"amount": "49.90"}')


@pytest.fixture
def settings() -> Settings:
    return Settings(
        keys=SecretStr(f"k1:{KEY}"), codec_token=SecretStr(TOKEN), temporal_ui=f"{UI}/namespaces"
    )


def browser(settings: Settings, url: str = "http://127.0.0.1:8081") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(settings))
    return httpx.AsyncClient(transport=transport, base_url=url)


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with browser(settings) as client:
        yield client


@pytest.fixture
async def encrypted() -> dict[str, Any]:
    payloads = await EncryptingCodec(KeyRing.parse(f"k1:{KEY}")).encode([PLAIN])
    return MessageToDict(Payloads(payloads=payloads))


def bearer(token: str = TOKEN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_the_token_decrypts_payloads(
    client: httpx.AsyncClient, encrypted: dict[str, Any]
) -> None:
    response = await client.post("/decode", json=encrypted, headers=bearer())
    assert response.status_code == 200
    assert response.json() == MessageToDict(Payloads(payloads=[PLAIN]))


@pytest.mark.parametrize("headers", [{}, bearer("wrong"), bearer(""), {"Authorization": "Basic x"}])
async def test_without_the_token_nothing_is_decrypted(
    client: httpx.AsyncClient, encrypted: dict[str, Any], headers: dict[str, str]
) -> None:
    response = await client.post("/decode", json=encrypted, headers=headers)
    assert response.status_code == 401
    assert "49.90" not in response.text


async def test_a_browser_signs_in_once(
    client: httpx.AsyncClient, encrypted: dict[str, Any]
) -> None:
    assert (await client.post("/", data={"token": "wrong"})).status_code == 403
    assert (await client.post("/decode", json=encrypted)).status_code == 401
    signed_in = await client.post("/", data={"token": TOKEN})
    cookie = signed_in.headers["set-cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert (await client.post("/decode", json=encrypted)).status_code == 200
    assert "signed in" in (await client.get("/")).text


async def test_a_cookie_over_https_is_secure_and_reaches_the_ui(settings: Settings) -> None:
    async with browser(settings, "https://codec.example") as client:
        signed_in = await client.post("/", data={"token": TOKEN})
    assert "SameSite=none; Secure" in signed_in.headers["set-cookie"]


async def test_a_trusted_proxys_headers_are_used(settings: Settings) -> None:
    trusting = settings.model_copy(update={"trusted_proxies": ("127.0.0.1",)})
    for server_settings, secure in ((settings, False), (trusting, True)):
        async with browser(server_settings) as client:
            proxy_headers = {"X-Forwarded-Proto": "https"}
            signed_in = await client.post("/", data={"token": TOKEN}, headers=proxy_headers)
            assert ("Secure" in signed_in.headers["set-cookie"]) is secure


def test_the_server_trusts_no_proxy_by_default(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default uvicorn trusts proxy headers from this machine."""
    configs: list[uvicorn.Config] = []

    def run(server: uvicorn.Server) -> None:
        configs.append(server.config)
        server.started = True

    monkeypatch.setattr(uvicorn.Server, "run", run)
    without_metrics = settings.model_copy(update={"metrics_port": 0})
    monkeypatch.setattr("integrator.codec_server.__main__.Settings", lambda: without_metrics)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    codec_server.main()
    sandbox_psp.main()
    assert [config.proxy_headers for config in configs] == [False, False]


@pytest.mark.parametrize(("origin", "allowed"), [(UI, True), ("http://evil.example", False)])
async def test_only_the_ui_may_ask_from_a_browser(
    client: httpx.AsyncClient, origin: str, allowed: bool
) -> None:
    preflight = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-namespace",
    }
    response = await client.options("/decode", headers=preflight)
    assert (response.headers.get("access-control-allow-origin") == origin) is allowed
    assert response.status_code == (200 if allowed else 400)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"payloads": 1}', b'{"payloads": [{"x": 1}]}', b'"x"']
)
async def test_invalid_payloads_are_refused(client: httpx.AsyncClient, body: bytes) -> None:
    assert (await client.post("/decode", content=body, headers=bearer())).status_code == 400


async def test_an_oversized_request_is_refused(client: httpx.AsyncClient) -> None:
    body = json.dumps({"payloads": [{"data": "A" * MAX_REQUEST_BYTES}]})
    assert (await client.post("/decode", content=body, headers=bearer())).status_code == 413


async def test_payloads_of_unknown_keys_are_not_decrypted(client: httpx.AsyncClient) -> None:
    other = EncryptingCodec(KeyRing({"k2": os.urandom(32)}))
    payloads = MessageToDict(Payloads(payloads=await other.encode([PLAIN])))
    response = await client.post("/decode", json=payloads, headers=bearer())
    assert (response.status_code, response.json()) == (422, {"message": "unknown key id 'k2'"})


def test_without_a_token_it_does_not_start() -> None:
    with pytest.raises(ConfigurationError, match="INTEGRATOR_CODEC_TOKEN"):
        create_app(Settings(keys=SecretStr(f"k1:{KEY}"), codec_token=None))
