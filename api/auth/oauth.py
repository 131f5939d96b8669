"""The client credentials grant of OAuth 2.0 (RFC 6749, section 4.4)."""

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote_plus

from fastapi import Request

from api.auth.rate_limits import client_address
from api.context import Context
from api.errors import RETRY_AFTER_SECONDS, ApiError, RateLimited
from api.request_body import read_raw
from integrator.store import StoreUnavailable

FORM_CONTENT_TYPE = "application/x-www-form-urlencoded"

_MAX_FIELDS = 20
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="integrator", charset="UTF-8"'}


class OAuthError(Exception):
    """An error with a code of RFC 6749, section 5.2; `description` is shown to the caller."""

    def __init__(
        self, error: str, description: str, status: int = 400, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status
        self.headers = headers or {}


@dataclass(frozen=True)
class Credentials:
    """The id and secret that a client sent."""

    client_id: str
    secret: str = field(repr=False)

    @property
    def digest(self) -> str:
        """Hash of both, for use as a key where the secret must not be kept."""
        return hashlib.sha256(f"{self.client_id}:{self.secret}".encode()).hexdigest()


async def grant_token(context: Context, request: Request) -> str:
    """Return an access token for the requesting client. Raises `OAuthError`."""
    try:
        return await _grant_token(context, request)
    except RateLimited as error:
        # Section 5.2 has no code for this; section 4.1.2.1 has.
        raise _temporarily_unavailable(error.message, 429, dict(error.headers)) from error
    except ApiError as error:
        raise OAuthError(
            "invalid_request", error.message, error.status, dict(error.headers)
        ) from error
    except StoreUnavailable as error:
        message = "The service is not available at the moment; try again."
        raise _temporarily_unavailable(
            message, 503, {"Retry-After": str(RETRY_AFTER_SECONDS)}
        ) from error


async def _grant_token(context: Context, request: Request) -> str:
    form = _parse_form(request, await read_raw(request))
    client = _read_credentials(form, request.headers.get("authorization"))
    await _authenticate(context, request, client)
    if not form.get("grant_type"):
        raise OAuthError("invalid_request", "The parameter grant_type is missing.")
    if form["grant_type"] != "client_credentials":
        raise OAuthError("unsupported_grant_type", "Only client_credentials is supported.")
    if form.get("scope"):
        raise OAuthError("invalid_scope", "There are no scopes; leave the parameter out.")
    return context.access_tokens.issue(client.client_id)


async def _authenticate(context: Context, request: Request, client: Credentials) -> None:
    address = client_address(request)
    await context.failed_auth_limit.check(address, client.digest)
    if await context.store.oauth_clients.authenticate(client.client_id, client.secret) is None:
        await context.failed_auth_limit.record_failure(address)
        raise _invalid_client("The client is unknown or revoked, or its secret is wrong.")
    context.failed_auth_limit.trust(client.digest)
    await context.caller_limit.acquire(client.client_id)


def _parse_form(request: Request, raw: bytes) -> dict[str, str]:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != FORM_CONTENT_TYPE:
        raise OAuthError("invalid_request", f"The content type must be {FORM_CONTENT_TYPE}.")
    try:
        pairs = parse_qsl(
            raw.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict"
        )
    except ValueError:
        raise OAuthError("invalid_request", "The form cannot be read.") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise OAuthError("invalid_request", "A parameter is given twice.")
    return form


def _read_credentials(form: dict[str, str], header: str | None) -> Credentials:
    """Read `client_secret_basic` or `client_secret_post`; refuse both at once (section 2.3)."""
    if header is None:
        if not form.get("client_id"):
            raise _invalid_client("Client authentication is missing.")
        return Credentials(form["client_id"], form.get("client_secret", ""))
    if "client_secret" in form:
        raise OAuthError("invalid_request", "The client authenticates in two ways at once.")
    credentials = _parse_basic_header(header)
    if form.get("client_id", credentials.client_id) != credentials.client_id:
        raise OAuthError("invalid_request", "Two different clients are named.")
    return credentials


def _parse_basic_header(header: str) -> Credentials:
    """Read HTTP Basic; id and secret are form-encoded before they are joined (section 2.3.1)."""
    scheme, _, encoded = header.partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError(scheme)
        name, _, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        return Credentials(
            unquote_plus(name, errors="strict"), unquote_plus(secret, errors="strict")
        )
    except (ValueError, binascii.Error):
        raise _invalid_client("The Authorization header is not HTTP Basic.") from None


def _invalid_client(description: str) -> OAuthError:
    return OAuthError("invalid_client", description, 401, _CHALLENGE)


def _temporarily_unavailable(description: str, status: int, headers: dict[str, str]) -> OAuthError:
    return OAuthError("temporarily_unavailable", description, status, headers)
