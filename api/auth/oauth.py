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

FORM = "application/x-www-form-urlencoded"

_MOST_FIELDS = 20
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="integrator", charset="UTF-8"'}


class OAuthError(Exception):
    """A refusal in the words of RFC 6749, section 5.2; `description` is shown to the caller."""

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
    """A client's name and secret as it gave them."""

    client_id: str
    secret: str = field(repr=False)

    @property
    def digest(self) -> str:
        """Stands for both where the secret itself should not be remembered."""
        return hashlib.sha256(f"{self.client_id}:{self.secret}".encode()).hexdigest()


async def grant(context: Context, request: Request) -> str:
    """An access token for the client that asks. Raises `OAuthError`."""
    try:
        return await _grant(context, request)
    except RateLimited as error:
        # Not among the words of section 5.2, which has none for this; it is section 4.1.2.1's.
        raise _later(error.message, 429, dict(error.headers)) from error
    except ApiError as error:
        raise OAuthError(
            "invalid_request", error.message, error.status, dict(error.headers)
        ) from error
    except StoreUnavailable as error:
        message = "The service is not available at the moment; try again."
        raise _later(message, 503, {"Retry-After": str(RETRY_AFTER_SECONDS)}) from error


async def _grant(context: Context, request: Request) -> str:
    form = _form(request, await read_raw(request))
    client = _credentials(form, request.headers.get("authorization"))
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
    await context.guests.check(address, client.digest)
    if await context.store.authenticate_client(client.client_id, client.secret) is None:
        await context.guests.record_failure(address)
        raise _unknown("The client is unknown or revoked, or its secret is wrong.")
    context.guests.trust(client.digest)
    await context.callers.take(client.client_id)


def _form(request: Request, raw: bytes) -> dict[str, str]:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != FORM:
        raise OAuthError("invalid_request", f"The content type must be {FORM}.")
    try:
        pairs = parse_qsl(
            raw.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
        )
    except ValueError:
        raise OAuthError("invalid_request", "The form cannot be read.") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise OAuthError("invalid_request", "A parameter is given twice.")
    return form


def _credentials(form: dict[str, str], header: str | None) -> Credentials:
    """By `client_secret_basic` or `client_secret_post`, never both (section 2.3)."""
    if header is None:
        if not form.get("client_id"):
            raise _unknown("Client authentication is missing.")
        return Credentials(form["client_id"], form.get("client_secret", ""))
    if "client_secret" in form:
        raise OAuthError("invalid_request", "The client authenticates in two ways at once.")
    given = _basic(header)
    if form.get("client_id", given.client_id) != given.client_id:
        raise OAuthError("invalid_request", "Two different clients are named.")
    return given


def _basic(header: str) -> Credentials:
    """Name and secret are form-encoded before they are joined (section 2.3.1)."""
    scheme, _, encoded = header.partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError(scheme)
        name, _, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        return Credentials(
            unquote_plus(name, errors="strict"), unquote_plus(secret, errors="strict")
        )
    except (ValueError, binascii.Error):
        raise _unknown("The Authorization header is not HTTP Basic.") from None


def _unknown(description: str) -> OAuthError:
    return OAuthError("invalid_client", description, 401, _CHALLENGE)


def _later(description: str, status: int, headers: dict[str, str]) -> OAuthError:
    return OAuthError("temporarily_unavailable", description, status, headers)
