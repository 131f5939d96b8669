"""OAuth 2.0 client credentials, and the access tokens they bring."""

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
from tests.api.builders import MERCHANT, STRANGER, auth
from tests.api.conftest import KEYS, Rows, assert_error

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

    async def ask(self, form: dict[str, str] | None = None, **given: Any) -> httpx.Response:
        return await self.http.post(
            "/oauth/token", data=self.post_form if form is None else form, **given
        )

    async def token(self) -> str:
        response = await self.ask()
        assert response.status_code == 200, response.text
        token: str = response.json()["access_token"]
        return token

    async def call(self, token: str) -> httpx.Response:
        return await self.http.get("/api/Settings", headers=auth(token))


@pytest.fixture
async def oauth(client: httpx.AsyncClient, store: Store) -> Client:
    del client.headers["authorization"]
    return Client(client, *await store.add_client(MERCHANT, "platform"))


def basic(client_id: str, secret: str) -> dict[str, str]:
    given = f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()
    return {"Authorization": f"Basic {base64.b64encode(given).decode()}"}


def refused(response: httpx.Response, status: int, error: str) -> str:
    """The one shape of errors here (RFC 6749, section 5.2)."""
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error", "error_description"}
    assert body["error"] == error
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-type"] == "application/json"
    return str(body["error_description"])


class TestGrant:
    async def test_by_form_or_header(self, oauth: Client) -> None:
        by_form = await oauth.ask()
        by_header = await oauth.ask(GRANT, headers=basic(oauth.id, oauth.secret))
        named_twice = await oauth.ask(
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

    async def test_to_nobody_else(self, oauth: Client) -> None:
        known = oauth.id
        for id, secret in (
            (known, "wrong"),
            (known, ""),
            ("0" * 24, oauth.secret),
            ("nobody\x00", oauth.secret),
            ("ü", "ü"),
        ):
            by_form = await oauth.ask(GRANT | {"client_id": id, "client_secret": secret})
            by_header = await oauth.ask(GRANT, headers=basic(id, secret))
            for response in (by_form, by_header):
                said = refused(response, 401, "invalid_client")
                assert said == "The client is unknown or revoked, or its secret is wrong."
                assert response.headers["www-authenticate"].startswith("Basic ")

    @pytest.mark.parametrize(
        "header",
        ["Basic", "Basic ###", "Basic /w==", "Bearer x", "Basic " + "A" * 8000, "Digest x=y"],
    )
    async def test_not_with_a_broken_header(self, oauth: Client, header: str) -> None:
        response = await oauth.ask(GRANT, headers={"Authorization": header})
        refused(response, 401, "invalid_client")

    async def test_not_without_credentials(self, oauth: Client) -> None:
        refused(await oauth.ask(GRANT), 401, "invalid_client")

    async def test_not_in_two_ways(self, oauth: Client) -> None:
        header = basic(oauth.id, oauth.secret)
        refused(await oauth.ask(oauth.post_form, headers=header), 400, "invalid_request")
        other = await oauth.ask(GRANT | {"client_id": "0" * 24}, headers=header)
        refused(other, 400, "invalid_request")

    @pytest.mark.parametrize(
        ("change", "error"),
        [
            ({"grant_type": ""}, "invalid_request"),
            ({"grant_type": "password"}, "unsupported_grant_type"),
            ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
            ({"scope": "payments"}, "invalid_scope"),
        ],
    )
    async def test_of_no_other_kind(
        self, oauth: Client, change: dict[str, str], error: str
    ) -> None:
        refused(await oauth.ask(oauth.post_form | change), 400, error)

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
    async def test_of_no_other_form(self, oauth: Client, content: bytes, content_type: str) -> None:
        headers = {"Content-Type": content_type}
        response = await oauth.http.post("/oauth/token", content=content, headers=headers)
        refused(response, 400, "invalid_request")

    async def test_too_large(self, oauth: Client) -> None:
        response = await oauth.ask(oauth.post_form | {"x": "x" * 300_000})
        refused(response, 413, "invalid_request")

    async def test_too_often(self, oauth: Client, context: Context, app: Any) -> None:
        app.state.context = replace(context, callers=RateLimit("2/day"))
        assert [(await oauth.ask()).status_code for _ in range(3)] == [200, 200, 429]
        response = await oauth.ask()
        refused(response, 429, "temporarily_unavailable")
        assert 1 <= int(response.headers["retry-after"]) <= 86_400

    async def test_guessing(self, oauth: Client, context: Context, app: Any) -> None:
        app.state.context = replace(context, guests=FailedAuthLimit("3/day"))
        await oauth.token()
        wrong = oauth.post_form | {"client_secret": "wrong"}
        found = [(await oauth.ask(wrong)).status_code for _ in range(5)]
        assert found == [401, 401, 401, 429, 429]
        await oauth.token()  # what was good a moment ago stays so

    async def test_without_a_store(
        self, oauth: Client, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def unavailable(*_: object) -> None:
            raise StoreUnavailable("locked")

        monkeypatch.setattr(store, "authenticate_client", unavailable)
        response = await oauth.ask()
        assert "locked" not in refused(response, 503, "temporarily_unavailable")
        assert response.headers["retry-after"] == "2"

    async def test_by_post_only(self, oauth: Client) -> None:
        assert_error(await oauth.http.get("/oauth/token"), 405, "InvalidData")


class TestAccessTokens:
    async def test_say_what_they_are(self, oauth: Client) -> None:
        token = await oauth.token()
        assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "at+jwt", "kid": "k"}
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims["iss"] == URL
        assert claims["aud"] == f"{URL}/api"
        assert claims["sub"] == claims["client_id"] == oauth.id
        assert claims["exp"] - claims["iat"] == TOKEN_LIFETIME.total_seconds() == 900
        again = jwt.decode(await oauth.token(), options={"verify_signature": False})
        assert again["jti"] != claims["jti"]

    async def test_end(self, oauth: Client, context: Context) -> None:
        now = datetime.now(UTC)
        issue = context.access_tokens.issue
        assert (await oauth.call(issue(oauth.id, now - timedelta(minutes=14)))).status_code == 200
        late = await oauth.call(issue(oauth.id, now - timedelta(minutes=15, seconds=11)))
        assert_error(late, 401, "UnmappedError")
        early = await oauth.call(issue(oauth.id, now + timedelta(minutes=1)))
        assert_error(early, 401, "UnmappedError")

    async def test_end_with_their_client_at_once(self, oauth: Client, store: Store) -> None:
        token = await oauth.token()
        other = Client(oauth.http, *await store.add_client(MERCHANT, "second"))
        others = await other.token()
        assert (await oauth.call(token)).status_code == 200
        assert await store.revoke_client(MERCHANT, oauth.id)
        assert_error(await oauth.call(token), 401, "UnmappedError")
        refused(await oauth.ask(), 401, "invalid_client")
        assert (await other.call(others)).status_code == 200

    async def test_of_another_client_are_of_another_merchant(
        self, oauth: Client, store: Store, context: Context
    ) -> None:
        id, _ = await store.add_client(STRANGER, "theirs")
        found = await store.caller_by_client(
            context.access_tokens.verify(context.access_tokens.issue(id)) or ""
        )
        assert found is not None
        assert found.merchant.id == STRANGER

    def forged(self, oauth: Client, context: Context) -> dict[str, str]:
        ours = KEYS.derive("integrator: signing of OAuth access tokens")["k"]
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

        def made(changes: dict[str, Any], key: bytes = ours, **headers: str) -> str:
            return jwt.encode(claims | changes, key, "HS256", head | headers)

        without = {name: value for name, value in claims.items() if name != "exp"}
        good = made({})
        start, body, signature = good.split(".")
        altered = base64.urlsafe_b64encode(json.dumps({"sub": "x"}).encode()).decode().strip("=")
        nested = base64.urlsafe_b64encode(b"[" * 10_000).decode().strip("=")
        return {
            "another key": made({}, bytes(range(32))),
            "the encryption key itself": made({}, bytes(32)),
            "another issuer": made({"iss": "https://other.example"}),
            "another audience": made({"aud": "https://other.example"}),
            "another type": made({}, typ="JWT"),
            "an unknown key": made({}, kid="k2"),
            "no end": jwt.encode(without, ours, "HS256", head),
            "no signature": jwt.encode(claims, "", "none", head),
            "another algorithm": jwt.encode(claims, ours * 2, "HS512", head),
            "an altered body": f"{start}.{altered}.{signature}",
            "a cut signature": good[:-4],
            "a header nested too deeply": f"{nested}.{body}.{signature}",
            "nothing but dots": "..",
        }

    async def test_forged_ones_are_refused(self, oauth: Client, context: Context) -> None:
        for how, token in self.forged(oauth, context).items():
            response = await oauth.call(token)
            assert response.status_code == 401, how
            assert response.headers["www-authenticate"] == "Bearer", how

    async def test_a_replaced_key_still_verifies(self, oauth: Client, context: Context) -> None:
        old = AccessTokens(KEYS, URL)
        both = AccessTokens(KeyRing({"new": bytes(range(32)), "k": bytes(32)}), URL)
        assert both.verify(old.issue(oauth.id)) == oauth.id
        fresh = both.issue(oauth.id)
        assert jwt.get_unverified_header(fresh)["kid"] == "new"
        assert old.verify(fresh) is None
        assert AccessTokens(KeyRing({"k": bytes(range(32))}), URL).verify(fresh) is None

    async def test_cost_one_question_to_the_store(
        self, oauth: Client, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = await oauth.token()

        async def never(*_: object) -> None:
            raise AssertionError("asked twice")

        monkeypatch.setattr(store, "caller_by_token", never)
        assert (await oauth.http.get("/api/IntegrationInfo", headers=auth(token))).is_success


class TestClients:
    async def test_secrets_are_not_kept(self, oauth: Client, rows: Rows, store: Store) -> None:
        content = await asyncio.to_thread(rows.file.read_bytes)
        wal = rows.file.with_name(rows.file.name + "-wal")
        content += await asyncio.to_thread(wal.read_bytes) if wal.exists() else b""
        assert oauth.id.encode() in content
        assert oauth.secret.encode() not in content
        [client] = await store.clients(MERCHANT)
        assert (client.id, client.label) == (oauth.id, "platform")
        assert oauth.secret not in repr(client)

    async def test_their_last_use_is_noted(
        self, oauth: Client, store: Store, context: Context
    ) -> None:
        token = await oauth.token()
        await context.token_usage.write()
        assert (await store.clients(MERCHANT))[0].last_used_at is None
        await oauth.call(token)
        await context.token_usage.write()
        assert (await store.clients(MERCHANT))[0].last_used_at is not None

    async def test_belong_to_their_merchant(self, oauth: Client, store: Store) -> None:
        assert await store.clients(STRANGER) == []
        assert not await store.revoke_client(STRANGER, oauth.id)
        assert await store.revoke_client(MERCHANT, oauth.id)
        assert not await store.revoke_client(MERCHANT, oauth.id)
        with pytest.raises(NotFound):
            await store.add_client("nobody", "x")
