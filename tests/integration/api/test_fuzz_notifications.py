"""Forged notifications: random bytes and signatures, through the real route and adapter.

None causes a server error, and no transaction is changed or signalled.
"""

import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, example, given
from hypothesis import settings as runs
from hypothesis import strategies as st

from api.auth.rate_limits import FailedAuthLimit, RateLimit
from api.context import Context
from integrator.psp import registry
from integrator.psp.sandbox import ADAPTER
from integrator.psp.sandbox.notifications import HEADER
from integrator.psp.types import Pending
from integrator.store import Merchant, Store
from tests.integration.api.builders import auth, preauth
from tests.integration.api.conftest import Rows
from tests.integration.api.fakes import FakeTransactionClient

SECRET = "whsec_fuzz"
UNLIMITED = "1000000000/second"


def fuzz(examples: int) -> runs:
    """Run a number of examples, the same ones each time."""
    return runs(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@dataclass
class Target:
    """Notification route of a merchant with one open transaction."""

    client: httpx.AsyncClient
    path: str
    transaction_id: str
    transaction_client: FakeTransactionClient
    rows: Rows
    state: tuple[Any, ...]
    may_be_stored: bool = False
    """Whether a notification may be stored."""

    async def send(self, body: bytes, headers: dict[str, str]) -> int:
        raw = [(name.encode(), text.encode("latin-1")) for name, text in headers.items()]
        response = await self.client.post(self.path, content=body, headers=raw)
        return response.status_code

    def snapshot(self) -> tuple[Any, ...]:
        """Return everything that a notification must not change."""
        tables = self.rows.count()
        tables.pop("notifications")
        return (
            tables,
            self.rows.content("transactions"),
            self.rows.content("agreements"),
            list(self.transaction_client.calls),
            list(self.transaction_client.signals),
            {key: state.model_dump_json() for key, state in self.transaction_client.states.items()},
        )


@pytest.fixture
async def target(
    app: FastAPI,
    context: Context,
    store: Store,
    transaction_client: FakeTransactionClient,
    rows: Rows,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Target]:
    monkeypatch.setattr(registry, "get_adapter", lambda _: ADAPTER)
    merchant = await store.merchants.add("fuzzed", "sandbox")
    await store.api_tokens.issue("fuzzed", "test", token="token-of-fuzzed")
    await store.merchants.save_settings("fuzzed", {"ApiKey": "sk_fuzz", "WebhookSecret": SECRET})
    settings = await store.merchants.get_settings("fuzzed")

    async def same_merchant(*_: str) -> Merchant:
        return merchant

    async def same_settings(_: str) -> dict[str, str] | None:
        return settings

    # The two queries of every notification are answered from memory, for speed.
    monkeypatch.setattr(store.merchants, "find_by_settings_id", same_merchant)
    monkeypatch.setattr(store.merchants, "get_settings", same_settings)
    unlimited = FailedAuthLimit(UNLIMITED)
    app.state.context = replace(
        context, failed_auth_limit=unlimited, notification_limit=RateLimit(UNLIMITED)
    )
    transaction_client.psp = lambda _: Pending(psp_id="auth_1", session_id="cs_1")
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        body = preauth()
        opened = await client.post("/api/Preauth", json=body, headers=auth("token-of-fuzzed"))
        assert opened.status_code == 200, opened.text
        path = f"/api/notifications/sandbox/{merchant.psp_settings_id}"
        target = Target(client, path, body["transactionId"], transaction_client, rows, ())
        target.state = target.snapshot()
        yield target
    assert target.snapshot() == target.state
    assert target.may_be_stored or rows.count()["notifications"] == 0


def signature(body: bytes, at: object, secret: str = SECRET) -> str:
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


header_text = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"))
digests = st.one_of(
    st.text("0123456789abcdef", min_size=64, max_size=64), st.text("0123456789abcdefXZ")
)
times = st.one_of(st.integers(-(10**15), 10**15).map(str), st.text("0123456789-+. e_", max_size=20))
signatures = st.one_of(
    header_text,
    st.builds("t={},v1={}".format, times, digests),
    st.builds("v1={1},t={0},v1={1}".format, times, digests),
    st.lists(st.sampled_from(["t=1", "v1=", "v1=" + "0" * 64, "=", "t=", "v0=x"])).map(",".join),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
TYPES = (
    "checkout_session.completed",
    "authorization.authorized",
    "authorization.voided",
    "charge.succeeded",
    "charge.charged_back",
    "refund.succeeded",
    "mandate.active",
    "unknown.event",
)
MEMBERS = ("id", "object", "amount", "currency", "status", "authorization", "refunds", "created")
events = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text(max_size=30) | values,
        "type": st.sampled_from(TYPES) | values,
        "created": st.integers() | values,
        "data": st.dictionaries(st.sampled_from(MEMBERS), values) | values,
    },
)
plausible = events.map(lambda event: json.dumps(event).encode())
bodies = st.one_of(plausible, st.binary(max_size=200), values.map(lambda v: json.dumps(v).encode()))


def plausible_event(target: Target) -> bytes:
    """Return a valid event about the open transaction."""
    data = {"id": "auth_1", "reference": target.transaction_id, "status": "authorized"}
    event = {"id": "evt_1", "type": "authorization.authorized", "created": 1, "data": data}
    return json.dumps(event).encode()


@fuzz(3_000)
@given(body=st.binary(max_size=100) | st.none(), text=signatures | st.none())
@example(body=None, text="t=" + "9" * 5000 + ",v1=" + "0" * 64)
@example(body=None, text="t=\u00b2,v1=" + "0" * 64)
@example(body=b"[" * 100_000, text="t=1,v1=" + "0" * 64)
async def test_forged_signatures_are_refused(
    target: Target, body: bytes | None, text: str | None
) -> None:
    content = plausible_event(target) if body is None else body
    headers = {} if text is None else {HEADER: text}
    assert await target.send(content, headers) == 401


@fuzz(1_000)
@given(
    wrong=st.integers(0, 3),
    seconds=st.integers(-(10**9), 10**9).filter(lambda seconds: abs(seconds) > 310),
    secret=st.text(max_size=20).filter(lambda secret: secret != SECRET),
    flipped=st.integers(0, 63),
)
async def test_nearly_valid_signatures_are_refused(
    target: Target, wrong: int, seconds: int, secret: str, flipped: int
) -> None:
    """A valid event whose signature is too old, of another key, or wrong in one digit."""
    body, now = plausible_event(target), int(time.time())
    right = signature(body, now)
    start = len(right) - 64
    wrong_digit = "0" if right[start + flipped] != "0" else "1"
    attempts = [
        signature(body, now + seconds),
        signature(body, now, secret),
        right[: start + flipped] + wrong_digit + right[start + flipped + 1 :],
        signature(body + b" ", now),
    ]
    assert await target.send(body, {HEADER: attempts[wrong]}) == 401


@fuzz(1_000)
@given(body=bodies)
@example(body=b"[" * 100_000)
@example(body=b'{"id":"e","type":"charge.succeeded","data":' + b'{"id":' * 5_000)
@example(body=json.dumps({"id": "\x00", "type": TYPES[0], "data": {"id": "\x00"}}).encode())
async def test_signed_random_bodies_change_nothing(target: Target, body: bytes) -> None:
    """Random bodies with a valid signature: at most they are stored as events."""
    target.may_be_stored = True
    status = await target.send(body, {HEADER: signature(body, int(time.time()))})
    assert status in {200, 401}
