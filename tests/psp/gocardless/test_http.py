"""Answers that the stand-in never gives: what they leave open, and what they decide."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import HttpUrl

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.errors import (
    CredentialsRejected,
    OutcomeUnknown,
    ProtocolError,
    PspUnavailable,
    RateLimited,
)
from integrator.psp.gocardless import GoCardlessAdapter
from integrator.psp.gocardless.config import GoCardlessConfig
from integrator.psp.gocardless.settings import GoCardlessSettings
from integrator.psp.port import Connection
from integrator.psp.types import Approved, Declined, Instrument, Pending, SettingsCheck
from tests.psp import builders
from tests.psp.gocardless import objects
from tests.psp.gocardless.objects import error, listed

Reply = tuple[int, Any]
MANDATE = Instrument(token={"mandate": "MD123"}, bearer={})
CONFLICT = {"reason": "idempotent_creation_conflict", "links": {"conflicting_resource_id": "PM123"}}


class Psp:
    """Answers by method and path, in turn; the last answer stays."""

    def __init__(self, **values: str) -> None:
        self.replies: dict[tuple[str, str], list[Reply]] = {}
        self.seen: list[httpx.Request] = []
        self.form = {"AccessToken": "live_unit", "WebhookSecret": "secret", **values}

    def says(self, method: str, path: str, *replies: Reply) -> None:
        self.replies[method, path] = list(replies)

    def connect(self, url: str | None = "https://gocardless.example") -> Connection:
        config = GoCardlessConfig.model_construct(url=HttpUrl(url) if url else None)
        settings = GoCardlessSettings.model_validate(self.form)
        http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        return GoCardlessAdapter(config).connect(settings, http)

    def posts(self) -> list[str]:
        return [request.url.path for request in self.seen if request.method == "POST"]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        replies = self.replies[request.method, request.url.path]
        status, body = replies.pop(0) if len(replies) > 1 else replies[0]
        if status == 0:
            raise httpx.ConnectError("away", request=request)
        return httpx.Response(status, json=body)


def charge(**values: Any) -> Any:
    return builders.charge(
        "10.00", ref=objects.REFERENCE, role=Role.Debit, instrument=MANDATE, **values
    )


def refund() -> Any:
    return builders.refund("1.50", of="PM123", ref=objects.REFERENCE)


class TestRequests:
    async def test_headers_and_hosts(self) -> None:
        for environment, host in (
            ("live", "api.gocardless.com"),
            ("sandbox", "api-sandbox.gocardless.com"),
        ):
            psp = Psp(Environment=environment)
            psp.says("POST", "/payments", (201, {"payments": objects.payment("submitted")}))
            await psp.connect(None).charge(charge(key="our/key"))
            (request,) = psp.seen
            assert request.url.host == host
            assert request.headers["Authorization"] == "Bearer live_unit"
            assert request.headers["GoCardless-Version"] == "2015-07-06"
            assert request.headers["Idempotency-Key"] == "our/key"

    async def test_a_key_that_is_too_long_is_hashed(self) -> None:
        keys = []
        for _ in range(2):
            psp = Psp()
            psp.says("POST", "/payments", (201, {"payments": objects.payment("submitted")}))
            await psp.connect().charge(charge(key="k" * 129))
            keys.append(psp.seen[0].headers["Idempotency-Key"])
        assert keys[0] == keys[1]
        assert len(keys[0]) == 64

    async def test_the_environment_names_a_stand_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("INTEGRATOR_GOCARDLESS_URL", "http://127.0.0.1:1/gocardless/")
        config = GoCardlessConfig()
        assert config.base_url("live") == "http://127.0.0.1:1/gocardless"

    async def test_our_own_budget(self) -> None:
        psp = Psp(AccessToken="live_budget")
        psp.says("GET", "/creditors", (200, listed("creditors")))
        connection = psp.connect(None)
        for _ in range(8):
            await connection.verify_settings()
        with pytest.raises(RateLimited):
            await connection.verify_settings()
        assert len(psp.seen) == 8


class TestConflicts:
    async def test_names_what_the_key_has_made(self) -> None:
        psp = Psp()
        psp.says("POST", "/payments", (409, error(409, "invalid_state", **CONFLICT)))
        psp.says("GET", "/payments/PM123", (200, {"payments": objects.payment()}))
        outcome = await psp.connect().charge(charge())
        assert isinstance(outcome, Approved)
        assert outcome.psp_id == "PM123"

    async def test_names_nothing(self) -> None:
        problem = {**CONFLICT, "links": {"conflicting_resource_id": None}}
        psp = Psp()
        psp.says("POST", "/payments", (409, error(409, "invalid_state", **problem)))
        with pytest.raises(OutcomeUnknown):
            await psp.connect().charge(charge())

    async def test_names_what_is_not_there(self) -> None:
        psp = Psp()
        psp.says("POST", "/payments", (409, error(409, "invalid_state", **CONFLICT)))
        psp.says("GET", "/payments/PM123", (404, error(404, "invalid_api_usage")))
        with pytest.raises(ProtocolError):
            await psp.connect().charge(charge())

    async def test_names_another_transactions(self) -> None:
        psp = Psp()
        other = objects.payment(metadata={"transaction_id": "other"})
        psp.says("POST", "/payments", (409, error(409, "invalid_state", **CONFLICT)))
        psp.says("GET", "/payments/PM123", (200, {"payments": other}))
        with pytest.raises(ProtocolError):
            await psp.connect().charge(charge())


class TestReadsAfterTheCall:
    """Once something was made, even a read that was never sent leaves the outcome unknown."""

    async def test_of_what_the_key_has_made(self) -> None:
        psp = Psp()
        psp.says("POST", "/payments", (409, error(409, "invalid_state", **CONFLICT)))
        psp.says("GET", "/payments/PM123", (0, None))
        await self.unknown(psp)

    async def test_of_its_events(self) -> None:
        psp = Psp()
        psp.says("POST", "/payments", (201, {"payments": objects.payment("failed")}))
        psp.says("GET", "/events", (0, None))
        await self.unknown(psp)

    async def test_of_an_earlier_attempt(self) -> None:
        psp = Psp()
        told = error(422, "invalid_state", reason="mandate_is_inactive")
        psp.says("POST", "/payments", (422, told))
        psp.says("GET", "/payments", (0, None))
        await self.unknown(psp)

    async def unknown(self, psp: Psp) -> None:
        with pytest.raises(OutcomeUnknown):
            await psp.connect().charge(charge())


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "body", "raised"),
        [
            (401, error(401, "invalid_api_usage"), CredentialsRejected),
            (401, error(403, "invalid_api_usage"), ProtocolError),
            (401, {"error": "unauthorized"}, ProtocolError),
            (429, error(429, "invalid_api_usage", reason="rate_limit_exceeded"), RateLimited),
            (429, {}, ProtocolError),
            (500, error(500, "gocardless", reason="internal_error"), OutcomeUnknown),
            (504, error(504, "gocardless", reason="request_timed_out"), OutcomeUnknown),
            (408, error(408, "gocardless", reason="query_timed_out"), OutcomeUnknown),
            (418, error(418, "invalid_api_usage"), ProtocolError),
            (422, error(422, "teapot"), ProtocolError),
            (201, {"payment": {}}, ProtocolError),
            (201, {"payments": {"id": "PM123"}}, ProtocolError),
        ],
    )
    async def test_leave_it_open(
        self, status: int, body: dict[str, Any], raised: type[Exception]
    ) -> None:
        psp = Psp()
        psp.says("POST", "/payments", (status, body))
        with pytest.raises(raised) as caught:
            await psp.connect().charge(charge())
        assert type(caught.value) is raised or raised is OutcomeUnknown

    async def test_a_fraction_is_no_amount(self) -> None:
        psp = Psp()
        psp.says("POST", "/payments", (201, {"payments": objects.payment(amount=10.5)}))
        with pytest.raises(ProtocolError):
            await psp.connect().charge(charge())

    async def test_a_refusal_shows_no_account(self) -> None:
        told = error(422, "validation_failed", field="iban", message="DE89370400440532013000")
        psp = Psp()
        psp.says("POST", "/billing_requests", (422, told))
        refused = await psp.connect().authorize(builders.debit(ref=objects.REFERENCE))
        assert isinstance(refused, Declined)
        assert refused.code is Code.InvalidIBAN
        assert refused.message == "iban …"

    async def test_a_look_up_without_permission_is_no_absence(self) -> None:
        psp = Psp()
        told = error(403, "invalid_api_usage", reason="insufficient_permissions")
        psp.says("GET", "/payments/PM123", (403, told))
        with pytest.raises(ProtocolError):
            await psp.connect().fetch_payment(builders.lookup(objects.REFERENCE, "PM123"))


class TestRefunds:
    def psp(self, *lists: dict[str, Any], reply: Reply) -> Psp:
        psp = Psp()
        psp.says("GET", "/payments/PM123", (200, {"payments": objects.payment()}))
        psp.says("GET", "/refunds", *((200, found) for found in lists))
        psp.says("POST", "/refunds", reply)
        return psp

    async def test_confirms_what_went_before(self) -> None:
        made = (201, {"refunds": objects.refund("submitted")})
        psp = self.psp(listed("refunds"), reply=made)
        outcome = await psp.connect().refund(refund())
        assert outcome == Pending(psp_id="RF123")
        sent = json.loads(psp.seen[-1].content)["refunds"]
        assert (sent["amount"], sent["total_amount_confirmation"]) == (150, 300)

    async def test_one_that_is_there_is_not_made_again(self) -> None:
        psp = self.psp(listed("refunds", objects.refund()), reply=(500, {}))
        assert isinstance(await psp.connect().refund(refund()), Approved)
        assert psp.posts() == []

    async def test_one_made_meanwhile_is_no_refusal(self) -> None:
        told = error(422, "validation_failed", field="amount")
        lists = (listed("refunds"), listed("refunds", objects.refund()))
        psp = self.psp(*lists, reply=(422, told))
        assert isinstance(await psp.connect().refund(refund()), Approved)

    async def test_another_currency_is_not_asked_for(self) -> None:
        psp = self.psp(listed("refunds"), reply=(500, {}))
        call = refund().model_copy(update={"currency": "SEK"})
        outcome = await psp.connect().refund(call)
        assert isinstance(outcome, Declined)
        assert (outcome.code, psp.posts()) == (Code.InvalidCurrency, [])

    async def test_a_race_is_run_again(self) -> None:
        told = error(422, "invalid_state", reason="total_amount_confirmation_invalid")
        psp = self.psp(listed("refunds"), reply=(422, told))
        with pytest.raises(PspUnavailable) as caught:
            await psp.connect().refund(refund())
        assert not isinstance(caught.value, OutcomeUnknown)


class TestSignUps:
    def request(self, status: str, *done: str) -> dict[str, Any]:
        names = ("collect_customer_details", "collect_bank_account", "confirm_payer_details")
        actions = [
            {"type": name, "status": "completed" if name in done else "pending"} for name in names
        ]
        found = objects.billing_request(status, actions=actions)
        return {"billing_requests": found}

    async def test_a_step_taken_by_an_earlier_attempt(self) -> None:
        """The refusal of a step that is done already is no refusal of the sign-up."""
        psp = Psp()
        base = "/billing_requests/BRQ123"
        refused = error(422, "invalid_state", reason="action_already_completed")
        two = ("collect_customer_details", "collect_bank_account")
        psp.says("POST", "/billing_requests", (201, self.request("pending", two[0])))
        psp.says("POST", f"{base}/actions/collect_bank_account", (422, refused))
        psp.says("GET", base, (200, self.request("pending", *two)))
        psp.says(
            "POST", f"{base}/actions/confirm_payer_details", (200, self.request("ready_to_fulfil"))
        )
        psp.says("POST", f"{base}/actions/fulfil", (200, self.request("fulfilled")))
        psp.says("GET", "/mandates/MD123", (200, {"mandates": objects.mandate()}))
        outcome = await psp.connect().authorize(builders.debit(ref=objects.REFERENCE))
        assert isinstance(outcome, Approved)

    @pytest.mark.parametrize(
        ("kind", "status"), [("invalid_state", "pending"), ("validation_failed", "pending")]
    )
    async def test_a_step_that_is_refused(self, kind: str, status: str) -> None:
        psp = Psp()
        base = "/billing_requests/BRQ123"
        psp.says("POST", "/billing_requests", (201, self.request("pending")))
        told = (422, error(422, kind, field="email"))
        psp.says("POST", f"{base}/actions/collect_customer_details", told)
        psp.says("GET", base, (200, self.request(status)))
        outcome = await psp.connect().authorize(builders.debit(ref=objects.REFERENCE))
        assert isinstance(outcome, Declined)

    async def test_without_permission_for_own_pages(self) -> None:
        psp = Psp()
        base = "/billing_requests/BRQ123"
        psp.says("POST", "/billing_requests", (201, self.request("pending")))
        told = (403, error(403, "invalid_api_usage", reason="forbidden"))
        psp.says("POST", f"{base}/actions/collect_customer_details", told)
        psp.says("GET", base, (200, self.request("pending")))
        outcome = await psp.connect().authorize(builders.debit(ref=objects.REFERENCE))
        assert isinstance(outcome, Declined)
        assert outcome.code is Code.InvalidConfiguration


class TestSettings:
    @pytest.mark.parametrize(
        ("schemes", "roles"),
        [
            ([], {Role.Debit, Role.Autogiro, Role.Betalingsservice}),
            ([("sepa", "active"), ("bacs", "active")], {Role.Debit}),
            ([("autogiro", "active"), ("sepa", "pending")], {Role.Autogiro}),
            ([("bacs", "active")], set()),
        ],
    )
    async def test_roles(self, schemes: list[tuple[str, str]], roles: set[Role]) -> None:
        creditor = {
            **objects.FIXTURES["creditor_in_events"]["creditors"],
            "scheme_identifiers": [{"scheme": s, "status": status} for s, status in schemes],
        }
        psp = Psp()
        psp.says("GET", "/creditors", (200, listed("creditors", creditor)))
        check = await psp.connect().verify_settings()
        assert check == SettingsCheck(roles=frozenset(roles), account="CR123")

    async def test_nobody_to_collect_for(self) -> None:
        psp = Psp()
        psp.says("GET", "/creditors", (200, listed("creditors")))
        assert await psp.connect().verify_settings() == SettingsCheck()


class TestLists:
    async def test_a_busy_account_is_read_in_spans(self) -> None:
        """Pages of three; every event is read once, oldest first, whatever the spans."""
        moments = [datetime(2026, 1, 1, h, m, tzinfo=UTC) for h in range(4) for m in (0, 7, 9)]
        store = [
            objects.event("confirmed", id=f"EV{n:02}", created_at=moment.isoformat())
            for n, moment in enumerate(moments)
        ]
        sizes: list[int] = []
        connection = _listing(_pages_of(store, 3))
        found: list[str] = []
        cursor = None
        for _ in range(60):
            page = await connection.list_events(cursor)
            found += [notice.event_id for one in page.events for notice in one.notices]
            sizes.append(len(page.events))
            if page.cursor == cursor:
                break
            cursor = page.cursor
        assert found == [event["id"] for event in store]
        assert max(sizes) <= 3

    async def test_what_is_too_young_is_left_for_later(self) -> None:
        now = datetime.now(UTC)
        store = [
            objects.event("confirmed", id=id, created_at=(now - timedelta(seconds=age)).isoformat())
            for id, age in (("EV1", 60), ("EV2", 1))
        ]
        page = await _listing(_pages_of(store, 3)).list_events(None)
        assert [n.event_id for one in page.events for n in one.notices] == ["EV1"]

    async def test_a_crowd_within_a_second(self) -> None:
        moment = datetime(2026, 1, 1, tzinfo=UTC).isoformat()
        store = [objects.event("confirmed", id=f"EV{n}", created_at=moment) for n in range(8)]
        page = await _listing(_pages_of(store, 3)).list_events(None)
        assert [n.event_id for one in page.events for n in one.notices] == [
            event["id"] for event in store
        ]

    async def test_too_much_to_search_is_no_absence(self) -> None:
        now = datetime.now(UTC).isoformat()
        other = objects.payment(metadata={}, created_at=now)
        psp = Psp()
        psp.says("GET", "/payments", (200, listed("payments", other, after="PM123")))
        with pytest.raises(ProtocolError):
            await psp.connect().fetch_payment(builders.lookup(objects.REFERENCE))
        assert len(psp.seen) == 20


def _pages_of(store: list[dict[str, Any]], size: int) -> Callable[[httpx.Request], httpx.Response]:
    """An event list with pages of this size, whatever is asked for."""

    def answer(request: httpx.Request) -> httpx.Response:
        asked = request.url.params
        bounds = [datetime.fromisoformat(asked[f"created_at[{end}]"]) for end in ("gte", "lt")]
        inside = [
            event
            for event in reversed(store)
            if bounds[0] <= datetime.fromisoformat(event["created_at"]) < bounds[1]
        ]
        ids = [event["id"] for event in inside]
        start = ids.index(asked["after"]) + 1 if "after" in asked else 0
        shown = inside[start : start + size]
        more = len(inside) > start + size
        after = shown[-1]["id"] if more else None
        return httpx.Response(200, json=listed("events", *shown, after=after))

    return answer


def _listing(answer: Callable[[httpx.Request], httpx.Response]) -> Connection:
    config = GoCardlessConfig.model_construct(url=HttpUrl("https://gocardless.example"))
    form = {"AccessToken": "live_unit", "WebhookSecret": "secret"}
    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return GoCardlessAdapter(config).connect(GoCardlessSettings.model_validate(form), http)
