"""OAuth 2.0 client credentials and access tokens."""

import asyncio
import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

import httpx
import jwt
import pytest

from api.auth.access_tokens import TOKEN_LIFETIME, AccessTokens
from api.auth.rate_limits import FailedAuthLimit, RateLimit
from api.context import Context
from integrator.crypto.keys import KeyRing
from integrator.store import NotFound, Store, StoreUnavailable
from tests.integration.api.builders import MERCHANT, OTHER_MERCHANT, auth
from tests.integration.api.conftest import KEYS, Rows, assert_error

URL = "http://127.0.0.1:8080"
GRANT = {"grant_type": "client_credentials"}


class Client:
    """An OAuth client of the merchant `demo`."""

    def __init__(self, http: httpx.AsyncClient, id: str, secret: str) -> None:
        self.http = http
        self.id = id
        self.secret = secret

    @property
    def post_form(self) -> dict[str, str]:
        return GRANT | {"client_id": self.id, "client_secret": self.secret}

    async def request_token(
        self, form: dict[str, str] | None = None, **credentials: Any
    ) -> httpx.Response:
        return await self.http.post(
            "/oauth/token", data=self.post_form if form is None else form, **credentials
        )

    async def token(self) -> str:
        response = await self.request_token()
        assert response.status_code == 200, response.text
        token: str = response.json()["access_token"]
        return token

    async def call(self, token: str) -> httpx.Response:
        return await self.http.get("/api/Settings", headers=auth(token))


@pytest.fixture
async def oauth(client: httpx.AsyncClient, store: Store) -> Client:
    del client.headers["authorization"]
    return Client(client, *await store.oauth_clients.add(MERCHANT, "platform"))


def basic(client_id: str, secret: str) -> dict[str, str]:
    credentials = f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()
    return {"Authorization": f"Basic {base64.b64encode(credentials).decode()}"}


def assert_oauth_error(response: httpx.Response, status: int, error: str) -> str:
    """Assert an error response of RFC 6749, section 5.2; return its description."""
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error", "error_description"}
    assert body["error"] == error
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-type"] == "application/json"
    return str(body["error_description"])


class TestGrant:
    async def test_a_client_authenticates_by_form_or_header(self, oauth: Client) -> None:
        by_form = await oauth.request_token()
        by_header = await oauth.request_token(GRANT, headers=basic(oauth.id, oauth.secret))
        named_twice = await oauth.request_token(
            GRANT | {"client_id": oauth.id}, headers=basic(oauth.id, oauth.secret)
        )
        for response in (by_form, by_header, named_twice):
            assert response.status_code == 200, response.text
            body = response.json()
            assert set(body) == {"access_token", "token_type", "expires_in"}
            assert (body["token_type"], body["expires_in"]) == ("Bearer", 900)
            assert response.headers["cache-control"] == "no-store"
            assert response.headers["pragma"] == "no-cache"
            assert (await oauth.call(body["access_token"])).status_code == 200

    async def test_unknown_clients_and_wrong_secrets_are_refused(self, oauth: Client) -> None:
        known = oauth.id
        for id, secret in (
            (known, "wrong"),
            (known, ""),
            ("0" * 24, oauth.secret),
            ("nobody\x00", oauth.secret),
            ("ü", "ü"),
        ):
            by_form = await oauth.request_token(GRANT | {"client_id": id, "client_secret": secret})
            by_header = await oauth.request_token(GRANT, headers=basic(id, secret))
            for response in (by_form, by_header):
                description = assert_oauth_error(response, 401, "invalid_client")
                assert description == "The client is unknown or revoked, or its secret is wrong."
                assert response.headers["www-authenticate"].startswith("Basic ")

    @pytest.mark.parametrize(
        "header",
        ["Basic", "Basic ###", "Basic /w==", "Bearer x", "Basic " + "A" * 8000, "Digest x=y"],
    )
    async def test_a_malformed_header_is_refused(self, oauth: Client, header: str) -> None:
        response = await oauth.request_token(GRANT, headers={"Authorization": header})
        assert_oauth_error(response, 401, "invalid_client")

    async def test_missing_credentials_are_refused(self, oauth: Client) -> None:
        assert_oauth_error(await oauth.request_token(GRANT), 401, "invalid_client")

    async def test_two_ways_of_authentication_are_refused(self, oauth: Client) -> None:
        header = basic(oauth.id, oauth.secret)
        assert_oauth_error(
            await oauth.request_token(oauth.post_form, headers=header), 400, "invalid_request"
        )
        other = await oauth.request_token(GRANT | {"client_id": "0" * 24}, headers=header)
        assert_oauth_error(other, 400, "invalid_request")

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ({"grant_type": ""}, "invalid_request"),
            ({"grant_type": "password"}, "unsupported_grant_type"),
            ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
            ({"scope": "payments"}, "invalid_scope"),
        ],
    )
    async def test_other_grant_types_are_refused(
        self, oauth: Client, change: dict[str, str], error: str
    ) -> None:
        assert_oauth_error(await oauth.request_token(oauth.post_form | change), 400, error)

    @pytest.mark.parametrize(
        ("content", "content_type"),
        [
            (b"{}", "application/json"),
            (b"", ""),
            (b"grant_type=a&grant_type=b", "application/x-www-form-urlencoded"),
            (b"grant_type=%ff", "application/x-www-form-urlencoded"),
            (b"\xff=1", "application/x-www-form-urlencoded"),
            (b"a=1&" * 30, "application/x-www-form-urlencoded"),
            (b"--x", "multipart/form-data; boundary=x"),
        ],
    )
    async def test_malformed_forms_are_refused(
        self, oauth: Client, content: bytes, content_type: str
    ) -> None:
        headers = {"Content-Type": content_type}
        response = await oauth.http.post("/oauth/token", content=content, headers=headers)
        assert_oauth_error(response, 400, "invalid_request")

    async def test_a_large_body_is_refused(self, oauth: Client) -> None:
        response = await oauth.request_token(oauth.post_form | {"x": "x" * 300_000})
        assert_oauth_error(response, 413, "invalid_request")

    async def test_token_requests_are_limited(
        self, oauth: Client, context: Context, app: Any
    ) -> None:
        app.state.context = replace(context, caller_limit=RateLimit("2/day"))
        assert [(await oauth.request_token()).status_code for _ in range(3)] == [200, 200, 429]
        response = await oauth.request_token()
        assert_oauth_error(response, 429, "temporarily_unavailable")
        assert 1 <= int(response.headers["retry-after"]) <= 86_400

    async def test_failed_authentications_are_limited(
        self, oauth: Client, context: Context, app: Any
    ) -> None:
        app.state.context = replace(context, failed_auth_limit=FailedAuthLimit("3/day"))
        await oauth.token()
        wrong = oauth.post_form | {"client_secret": "wrong"}
        statuses = [(await oauth.request_token(wrong)).status_code for _ in range(5)]
        assert statuses == [401, 401, 401, 429, 429]
        await oauth.token()  # a recently valid secret still works

    async def test_an_unavailable_store_is_answered_with_503(
        self, oauth: Client, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def unavailable(*_: object) -> None:
            raise StoreUnavailable("locked")

        monkeypatch.setattr(store.oauth_clients, "authenticate", unavailable)
        response = await oauth.request_token()
        assert "locked" not in assert_oauth_error(response, 503, "temporarily_unavailable")
        assert response.headers["retry-after"] == "2"

    async def test_only_post_is_allowed(self, oauth: Client) -> None:
        assert_error(await oauth.http.get("/oauth/token"), 405, "InvalidData")


class TestAccessTokens:
    async def test_tokens_have_the_expected_claims(self, oauth: Client) -> None:
        token = await oauth.token()
        assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "at+jwt", "kid": "k"}
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims["iss"] == URL
        assert claims["aud"] == f"{URL}/api"
        assert claims["sub"] == claims["client_id"] == oauth.id
        assert claims["exp"] - claims["iat"] == TOKEN_LIFETIME.total_seconds() == 900
        again = jwt.decode(await oauth.token(), options={"verify_signature": False})
        assert again["jti"] != claims["jti"]

    async def test_tokens_expire(self, oauth: Client, context: Context) -> None:
        now = datetime.now(UTC)
        issue = context.access_tokens.issue
        assert (await oauth.call(issue(oauth.id, now - timedelta(minutes=14)))).status_code == 200
        late = await oauth.call(issue(oauth.id, now - timedelta(minutes=15, seconds=11)))
        assert_error(late, 401, "UnmappedError")
        early = await oauth.call(issue(oauth.id, now + timedelta(minutes=1)))
        assert_error(early, 401, "UnmappedError")

    async def test_revoking_a_client_ends_its_tokens(self, oauth: Client, store: Store) -> None:
        token = await oauth.token()
        other = Client(oauth.http, *await store.oauth_clients.add(MERCHANT, "second"))
        other_token = await other.token()
        assert (await oauth.call(token)).status_code == 200
        assert await store.oauth_clients.revoke(MERCHANT, oauth.id)
        assert_error(await oauth.call(token), 401, "UnmappedError")
        assert_oauth_error(await oauth.request_token(), 401, "invalid_client")
        assert (await other.call(other_token)).status_code == 200

    async def test_a_token_belongs_to_its_clients_merchant(
        self, oauth: Client, store: Store, context: Context
    ) -> None:
        id, _ = await store.oauth_clients.add(OTHER_MERCHANT, "theirs")
        caller = await store.callers.find_by_client(
            context.access_tokens.verify(context.access_tokens.issue(id)) or ""
        )
        assert caller is not None
        assert caller.merchant.id == OTHER_MERCHANT

    def forge_tokens(self, oauth: Client, context: Context) -> dict[str, str]:
        signing_key = KEYS.derive("integrator: signing of OAuth access tokens")["k"]
        now = datetime.now(UTC)
        claims = {
            "iss": URL,
            "aud": f"{URL}/api",
            "sub": oauth.id,
            "client_id": oauth.id,
            "iat": now,
            "exp": now + timedelta(minutes=5),
            "jti": "x",
        }
        head = {"kid": "k", "typ": "at+jwt"}

        def encode(changes: dict[str, Any], key: bytes = signing_key, **headers: str) -> str:
            return jwt.encode(claims | changes, key, "HS256", head | headers)

        without = {name: value for name, value in claims.items() if name != "exp"}
        valid = encode({})
        start, body, signature = valid.split(".")
        altered = base64.urlsafe_b64encode(json.dumps({"sub": "x"}).encode()).decode().strip("=")
        nested = base64.urlsafe_b64encode(b"[" * 10_000).decode().strip("=")
        return {
            "another key": encode({}, bytes(range(32))),
            "the encryption key itself": encode({}, bytes(32)),
            "another issuer": encode({"iss": "https://other.example"}),
            "another audience": encode({"aud": "https://other.example"}),
            "another type": encode({}, typ="JWT"),
            "an unknown key": encode({}, kid="k2"),
            "no end": jwt.encode(without, signing_key, "HS256", head),
            "no signature": jwt.encode(claims, "", "none", head),
            "another algorithm": jwt.encode(claims, signing_key * 2, "HS512", head),
            "an altered body": f"{start}.{altered}.{signature}",
            "a cut signature": valid[:-4],
            "a header nested too deeply": f"{nested}.{body}.{signature}",
            "nothing but dots": "..",
        }

    async def test_forged_tokens_are_refused(self, oauth: Client, context: Context) -> None:
        for name, token in self.forge_tokens(oauth, context).items():
            response = await oauth.call(token)
            assert response.status_code == 401, name
            assert response.headers["www-authenticate"] == "Bearer", name

    async def test_a_replaced_key_still_verifies(self, oauth: Client, context: Context) -> None:
        old = AccessTokens(KEYS, URL)
        both = AccessTokens(KeyRing({"new": bytes(range(32)), "k": bytes(32)}), URL)
        assert both.verify(old.issue(oauth.id)) == oauth.id
        new_token = both.issue(oauth.id)
        assert jwt.get_unverified_header(new_token)["kid"] == "new"
        assert old.verify(new_token) is None
        assert AccessTokens(KeyRing({"k": bytes(range(32))}), URL).verify(new_token) is None

    async def test_a_token_costs_one_query(
        self, oauth: Client, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = await oauth.token()

        async def never(*_: object) -> None:
            raise AssertionError("queried twice")

        monkeypatch.setattr(store.callers, "find_by_token", never)
        assert (await oauth.http.get("/api/IntegrationInfo", headers=auth(token))).is_success


class TestClients:
    async def test_secrets_are_stored_hashed(self, oauth: Client, rows: Rows, store: Store) -> None:
        content = await asyncio.to_thread(rows.file.read_bytes)
        wal = rows.file.with_name(rows.file.name + "-wal")
        content += await asyncio.to_thread(wal.read_bytes) if wal.exists() else b""
        assert oauth.id.encode() in content
        assert oauth.secret.encode() not in content
        [client] = await store.oauth_clients.list_by_merchant(MERCHANT)
        assert (client.id, client.label) == (oauth.id, "platform")
        assert oauth.secret not in repr(client)

    async def test_the_last_use_of_a_client_is_recorded(
        self, oauth: Client, store: Store, context: Context
    ) -> None:
        token = await oauth.token()
        await context.token_usage.write()
        assert (await store.oauth_clients.list_by_merchant(MERCHANT))[0].last_used_at is None
        await oauth.call(token)
        await context.token_usage.write()
        assert (await store.oauth_clients.list_by_merchant(MERCHANT))[0].last_used_at is not None

    async def test_clients_belong_to_their_merchant(self, oauth: Client, store: Store) -> None:
        assert await store.oauth_clients.list_by_merchant(OTHER_MERCHANT) == []
        assert not await store.oauth_clients.revoke(OTHER_MERCHANT, oauth.id)
        assert await store.oauth_clients.revoke(MERCHANT, oauth.id)
        assert not await store.oauth_clients.revoke(MERCHANT, oauth.id)
        with pytest.raises(NotFound):
            await store.oauth_clients.add("unknown", "x")
