"""Application that decrypts payloads for holders of the operators' token.

The Temporal Web UI and the `temporal` program post protobuf JSON to `/decode`. The program sends
the token in a header (`--codec-auth "Bearer ..."`). The UI runs in a browser: its user signs in at
`/` once, and the browser sends the cookie along when "include cross-origin credentials" is on.
"""

import hashlib
import hmac
import json
import logging
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, Form, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from starlette.exceptions import HTTPException
from temporalio.api.common.v1 import Payloads
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from integrator.codec_server.page import page
from integrator.crypto.keys import DecryptionError, KeyRing
from integrator.settings import Settings
from integrator.temporal.payload_codec import EncryptingCodec

COOKIE = "codec_session"
MAX_REQUEST_BYTES = 8 * 2**20
"""Bytes; the server allows no history event of more than 4 MiB."""

log = logging.getLogger("codec_server")


class ConfigurationError(Exception):
    """The settings do not allow a codec server."""


def create_app(settings: Settings) -> FastAPI:
    """Create the application; raises `ConfigurationError` and `KeyConfigurationError`."""
    token = settings.resolved_codec_token
    if token is None:
        raise ConfigurationError("set INTEGRATOR_CODEC_TOKEN, the operators' token, or its file")
    auth = TokenAuth(token)
    codec = EncryptingCodec(KeyRing.from_settings(settings))
    app = FastAPI(title="Codec server", openapi_url=None)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=[_ui_origin(settings)],
        allow_methods=["POST"],
        allow_headers=["authorization", "content-type", "x-namespace"],
        allow_credentials=True,
    )
    if settings.trusted_proxies:
        trusted = list(settings.trusted_proxies)
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=trusted)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/")
    async def sign_in(request: Request) -> HTMLResponse:
        return page("You are signed in." if auth.is_authorized(request) else None)

    @app.post("/", response_model=None)
    async def submit_token(request: Request, token: Annotated[str, Form()] = "") -> Response:
        if not auth.matches(token):
            log.warning("sign-in refused from %s", _client(request))
            return page("Wrong token.", status=403)
        log.info("sign-in from %s", _client(request))
        response = RedirectResponse("/", status_code=303)
        https = request.url.scheme == "https"
        response.set_cookie(
            COOKIE,
            auth.session,
            httponly=True,
            secure=https,
            # Another site's page can only be given the cookie over HTTPS; on one machine all
            # ports are the same site.
            samesite="none" if https else "strict",
        )
        return response

    @app.post("/decode", dependencies=[Depends(auth.require)], response_model=None)
    async def decode(request: Request) -> Response:
        encrypted = await _read_payloads(request)
        try:
            decrypted = await codec.decode(encrypted.payloads)
        except DecryptionError as error:
            log.warning("a payload could not be decrypted: %s", error)
            return JSONResponse({"message": str(error)}, 422)
        namespace = request.headers.get("x-namespace", "")[:200]
        log.info("%d payloads of %r shown to %s", len(decrypted), namespace, _client(request))
        return JSONResponse(MessageToDict(Payloads(payloads=decrypted)))

    return app


class TokenAuth:
    """Verifies the operators' token and the session cookie derived from it."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self.session = hashlib.sha256(b"codec session " + self._token).hexdigest()

    def matches(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self._token)

    def is_authorized(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.matches(token.strip()):
            return True
        cookie = request.cookies.get(COOKIE, "")
        return hmac.compare_digest(cookie.encode(), self.session.encode())

    async def require(self, request: Request) -> None:
        if not self.is_authorized(request):
            raise HTTPException(401, "The operators' token is required.")


async def _read_payloads(request: Request) -> Payloads:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_REQUEST_BYTES:
            raise HTTPException(413, "Too many payloads at once.")
    try:
        content = json.loads(bytes(body))
        if not isinstance(content, dict):
            raise TypeError("not an object")
        return ParseDict(content, Payloads())
    except (ValueError, RecursionError, ParseError, TypeError, AttributeError):
        raise HTTPException(400, "Not a list of payloads in protobuf JSON.") from None


def _ui_origin(settings: Settings) -> str:
    parts = urlsplit(settings.temporal_ui or f"http://127.0.0.1:{settings.temporal_ui_port}")
    return f"{parts.scheme}://{parts.netloc}"


def _client(request: Request) -> str:
    return request.client.host if request.client else "unknown"
