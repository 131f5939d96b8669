"""Responses that the emulator never sends, and the outcomes that follow."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
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
from integrator.psp.types import (
    Absent,
    Address,
    Approved,
    Declined,
    FactKind,
    Instrument,
    Payer,
    Pending,
    RedirectRequired,
    SettingsCheck,
    Succession,
)
from tests.integration.integrator.psp import builders
from tests.integration.integrator.psp.gocardless import objects
from tests.integration.integrator.psp.gocardless.objects import error, list_page

Response = tuple[int, Any]
MANDATE = Instrument(token={"mandate": "MD123"}, bearer={})
CONFLICT = {"reason": "idempotent_creation_conflict", "links": {"conflicting_resource_id": "PM123"}}


class FakePsp:
    """Fake PSP with responses by method and path, in turn; the last one is repeated."""

    def __init__(self, **values: str) -> None:
        self.responses: dict[tuple[str, str], list[Response]] = {}
        self.requests: list[httpx.Request] = []
        self.form = {"AccessToken": "live_unit", "WebhookSecret": "secret", **values}

    def respond_to(self, method: str, path: str, *replies: Response) -> None:
        self.responses[method, path] = list(replies)

    def connect(self, url: str | None = "https://gocardless.example") -> Connection:
        config = GoCardlessConfig.model_construct(url=HttpUrl(url) if url else None)
        settings = GoCardlessSettings.model_validate(self.form)
        http = httpx.AsyncClient(transport=httpx.MockTransport(self._respond))
        return GoCardlessAdapter(config).connect(settings, http)

    def post_paths(self) -> list[str]:
        return [request.url.path for request in self.requests if request.method == "POST"]

    def _respond(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        replies = self.responses[request.method, request.url.path]
        status, body = replies.pop(0) if len(replies) > 1 else replies[0]
        if status == 0:
            raise httpx.ConnectError("connection refused", request=request)
        return httpx.Response(status, json=body)


def charge(**values: Any) -> Any:
    return builders.charge(
        "10.00", ref=objects.REFERENCE, role=Role.Debit, instrument=MANDATE, **values
    )


def refund() -> Any:
    return builders.refund("1.50", payment_id="PM123", ref=objects.REFERENCE)


class TestRequests:
    async def test_headers_and_hosts(self) -> None:
        for environment, host in (
            ("live", "api.gocardless.com"),
            ("sandbox", "api-sandbox.gocardless.com"),
        ):
            psp = FakePsp(Environment=environment)
            psp.respond_to("POST", "/payments", (201, {"payments": objects.payment("submitted")}))
            await psp.connect(None).charge(charge(key="our/key"))
            (request,) = psp.requests
            assert request.url.host == host
            assert request.headers["Authorization"] == "Bearer live_unit"
            assert request.headers["GoCardless-Version"] == "2015-07-06"
            assert request.headers["Idempotency-Key"] == "our/key"

    async def test_a_key_that_is_too_long_is_hashed(self) -> None:
        keys = []
        for _ in range(2):
            psp = FakePsp()
            psp.respond_to("POST", "/payments", (201, {"payments": objects.payment("submitted")}))
            await psp.connect().charge(charge(key="k" * 129))
            keys.append(psp.requests[0].headers["Idempotency-Key"])
        assert keys[0] == keys[1]
        assert len(keys[0]) == 64

    async def test_the_environment_sets_the_emulators_url(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("INTEGRATOR_GOCARDLESS_URL", "http://127.0.0.1:1/gocardless/")
        config = GoCardlessConfig()
        assert config.base_url("live") == "http://127.0.0.1:1/gocardless"

    async def test_calls_beyond_our_rate_limit_are_not_sent(self) -> None:
        psp = FakePsp(AccessToken="live_budget")
        psp.respond_to("GET", "/creditors", (200, list_page("creditors")))
        connection = psp.connect(None)
        for _ in range(8):
            await connection.verify_settings()
        with pytest.raises(RateLimited):
            await connection.verify_settings()
        assert len(psp.requests) == 8


class TestConflicts:
    async def test_the_existing_object_is_read(self) -> None:
        psp = FakePsp()
        psp.respond_to("POST", "/payments", (409, error(409, "invalid_state", **CONFLICT)))
        psp.respond_to("GET", "/payments/PM123", (200, {"payments": objects.payment()}))
        outcome = await psp.connect().charge(charge())
        assert isinstance(outcome, Approved)
        assert outcome.psp_id == "PM123"

    async def test_without_an_object_the_outcome_is_unknown(self) -> None:
        problem = {**CONFLICT, "links": {"conflicting_resource_id": None}}
        psp = FakePsp()
        psp.respond_to("POST", "/payments", (409, error(409, "invalid_state", **problem)))
        with pytest.raises(OutcomeUnknown):
            await psp.connect().charge(charge())

    async def test_a_missing_object_is_a_protocol_error(self) -> None:
        psp = FakePsp()
        psp.respond_to("POST", "/payments", (409, error(409, "invalid_state", **CONFLICT)))
        psp.respond_to("GET", "/payments/PM123", (404, error(404, "invalid_api_usage")))
        with pytest.raises(ProtocolError):
            await psp.connect().charge(charge())

    async def test_an_object_of_another_transaction_is_a_protocol_error(self) -> None:
        psp = FakePsp()
        other = objects.payment(metadata={"transaction_id": "other"})
        psp.respond_to("POST", "/payments", (409, error(409, "invalid_state", **CONFLICT)))
        psp.respond_to("GET", "/payments/PM123", (200, {"payments": other}))
        with pytest.raises(ProtocolError):
            await psp.connect().charge(charge())


class TestReadsAfterCall:
    """After a call even a read that was never sent leaves the outcome unknown."""

    async def test_read_of_the_existing_object(self) -> None:
        psp = FakePsp()
        psp.respond_to("POST", "/payments", (409, error(409, "invalid_state", **CONFLICT)))
        psp.respond_to("GET", "/payments/PM123", (0, None))
        await self.assert_outcome_unknown(psp)

    async def test_read_of_the_events(self) -> None:
        psp = FakePsp()
        psp.respond_to("POST", "/payments", (201, {"payments": objects.payment("failed")}))
        psp.respond_to("GET", "/events", (0, None))
        await self.assert_outcome_unknown(psp)

    async def test_search_for_an_earlier_attempt(self) -> None:
        psp = FakePsp()
        refusal_body = error(422, "invalid_state", reason="mandate_is_inactive")
        psp.respond_to("POST", "/payments", (422, refusal_body))
        psp.respond_to("GET", "/payments", (0, None))
        await self.assert_outcome_unknown(psp)

    async def assert_outcome_unknown(self, psp: FakePsp) -> None:
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
    async def test_indefinite_responses_raise(
        self, status: int, body: dict[str, Any], raised: type[Exception]
    ) -> None:
        psp = FakePsp()
        psp.respond_to("POST", "/payments", (status, body))
        with pytest.raises(raised) as caught:
            await psp.connect().charge(charge())
        assert type(caught.value) is raised or raised is OutcomeUnknown

    async def test_a_fractional_amount_is_a_protocol_error(self) -> None:
        psp = FakePsp()
        psp.respond_to("POST", "/payments", (201, {"payments": objects.payment(amount=10.5)}))
        with pytest.raises(ProtocolError):
            await psp.connect().charge(charge())

    async def test_a_refusal_message_is_redacted(self) -> None:
        refusal_body = error(
            422, "validation_failed", field="iban", message="DE89370400440532013000"
        )
        psp = FakePsp()
        psp.respond_to("POST", "/billing_requests", (422, refusal_body))
        refused = await psp.connect().authorize(builders.debit(ref=objects.REFERENCE))
        assert isinstance(refused, Declined)
        assert refused.code is Code.InvalidIBAN
        assert refused.message == "iban …"

    async def test_a_look_up_without_permission_is_a_protocol_error(self) -> None:
        psp = FakePsp()
        refusal_body = error(403, "invalid_api_usage", reason="insufficient_permissions")
        psp.respond_to("GET", "/payments/PM123", (403, refusal_body))
        with pytest.raises(ProtocolError):
            await psp.connect().fetch_payment(builders.lookup(objects.REFERENCE, "PM123"))


def payment_bodies(psp: FakePsp) -> list[dict[str, Any]]:
    """Return the payments that were sent."""
    posts = [request for request in psp.requests if request.method == "POST"]
    return [json.loads(request.content)["payments"] for request in posts]


class TestReplacedMandates:
    REPLACED = error(
        422, "invalid_state", reason="mandate_replaced", links={"new_mandate": "MD456"}
    )
    CREATED = (201, {"payments": objects.payment("submitted")})

    def build_psp(self, *replies: Response, **mandate: Any) -> FakePsp:
        psp = FakePsp()
        psp.respond_to("POST", "/payments", *replies)
        psp.respond_to("GET", "/payments", (200, list_page("payments")))
        new = objects.mandate(id="MD456", reference="NEW-456", **mandate)
        psp.respond_to("GET", "/mandates/MD456", (200, {"mandates": new}))
        return psp

    async def test_the_payment_is_sent_with_the_new_mandate(self) -> None:
        psp = self.build_psp((422, self.REPLACED), self.CREATED)
        outcome = await psp.connect().charge(charge(key="our/key"))
        succession = Succession(former_id="MD123", new_id="MD456", bearer={"MandateId": "NEW-456"})
        assert outcome == Pending(psp_id="PM123", succession=succession)
        assert [body["links"]["mandate"] for body in payment_bodies(psp)] == ["MD123", "MD456"]
        keys = {r.headers["Idempotency-Key"] for r in psp.requests if r.method == "POST"}
        assert keys == {"our/key"}

    async def test_the_date_is_that_of_the_new_mandate(self) -> None:
        psp = self.build_psp(
            (422, self.REPLACED), self.CREATED, next_possible_charge_date="2099-01-20"
        )
        old = objects.mandate(next_possible_charge_date="2099-01-10")
        psp.respond_to("GET", "/mandates/MD123", (200, {"mandates": old}))
        await psp.connect().charge(charge(execute_on=date(2099, 1, 15)))
        assert [body["charge_date"] for body in payment_bodies(psp)] == ["2099-01-15", "2099-01-20"]

    async def test_without_a_link_the_mandate_names_its_successor(self) -> None:
        unlinked = error(422, "invalid_state", reason="mandate_replaced")
        psp = self.build_psp((422, unlinked), self.CREATED)
        old = objects.mandate("cancelled", links={"new_mandate": "MD456"})
        psp.respond_to("GET", "/mandates/MD123", (200, {"mandates": old}))
        outcome = await psp.connect().charge(charge())
        assert isinstance(outcome, Pending)
        assert outcome.succession is not None
        assert outcome.succession.new_id == "MD456"

    async def test_without_a_successor_the_mandate_is_no_longer_valid(self) -> None:
        unlinked = error(422, "invalid_state", reason="mandate_replaced")
        psp = self.build_psp((422, unlinked))
        psp.respond_to("GET", "/mandates/MD123", (200, {"mandates": objects.mandate("cancelled")}))
        outcome = await psp.connect().charge(charge())
        assert isinstance(outcome, Declined)
        assert outcome.code is Code.BearerInvalid

    async def test_a_decline_names_the_new_mandate_too(self) -> None:
        refused = error(422, "validation_failed", field="amount")
        outcome = (
            await self.build_psp((422, self.REPLACED), (422, refused)).connect().charge(charge())
        )
        assert isinstance(outcome, Declined)
        assert outcome.code is Code.InvalidAmount
        assert outcome.succession is not None
        assert outcome.succession.new_id == "MD456"

    async def test_the_mandate_of_an_earlier_attempt_is_found(self) -> None:
        existing = objects.payment(links={"mandate": "MD456"})
        psp = self.build_psp((422, self.REPLACED))
        psp.respond_to("GET", "/payments", (200, list_page("payments", existing)))
        outcome = await psp.connect().charge(charge())
        assert isinstance(outcome, Approved)
        assert outcome.succession is not None
        assert outcome.succession.new_id == "MD456"
        assert len(payment_bodies(psp)) == 1

    @pytest.mark.parametrize("reply", [(404, error(404, "invalid_api_usage")), None])
    async def test_a_successor_that_cannot_be_one_is_an_error(self, reply: Response | None) -> None:
        psp = self.build_psp((422, self.REPLACED), self.CREATED)
        other_scheme = {**objects.mandate(id="MD456"), "scheme": "bacs"}
        psp.respond_to("GET", "/mandates/MD456", reply or (200, {"mandates": other_scheme}))
        with pytest.raises(ProtocolError):
            await psp.connect().charge(charge())
        assert len(payment_bodies(psp)) == 1

    async def test_a_stored_mandate_is_continued(self) -> None:
        psp = self.build_psp()
        old = objects.mandate("cancelled", links={"new_mandate": "MD456"})
        psp.respond_to("GET", "/mandates/MD123", (200, {"mandates": old}))
        call = builders.authorize(
            "0", ref=objects.REFERENCE, role=Role.Debit, initial=False, instrument=MANDATE
        )
        for outcome in (
            await psp.connect().authorize(call),
            await psp.connect().fetch_authorization(builders.lookup(objects.REFERENCE, "MD123")),
        ):
            assert isinstance(outcome, Approved)
            assert outcome.succession is not None
            assert outcome.succession.new_id == "MD456"


class TestRefusedTexts:
    CREATED = (201, {"payments": objects.payment("submitted")})

    @pytest.mark.parametrize(
        ("refused", "left_out"),
        [
            (error(422, "validation_failed", field="reference"), {"reference"}),
            (
                error(422, "validation_failed", field="x", request_pointer="/payments/reference"),
                {"reference"},
            ),
            (error(403, "invalid_api_usage", reason="feature_disabled"), {"reference"}),
            (
                error(403, "invalid_api_usage", reason="forbidden", message="reference: no"),
                {"reference"},
            ),
            (
                error(422, "invalid_state", message="Custom references are not enabled here"),
                {"reference"},
            ),
            (error(422, "validation_failed", field="description"), {"description"}),
        ],
    )
    async def test_the_payment_is_sent_again_without(
        self, refused: Any, left_out: set[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        psp = FakePsp()
        psp.respond_to("POST", "/payments", (refused["error"]["code"], refused), self.CREATED)
        psp.respond_to("GET", "/payments", (200, list_page("payments")))
        outcome = await psp.connect().charge(charge(text="Pro plan"))
        assert isinstance(outcome, Pending)
        first, second = payment_bodies(psp)
        assert {name for name in first if name not in second} == left_out
        assert {name: first[name] for name in second} == second
        assert next(iter(left_out)) in caplog.text
        assert "Pro plan" not in caplog.text

    async def test_a_refusal_that_remains_is_declined(self) -> None:
        for reason, attempts in (("feature_disabled", 2), ("forbidden", 1)):
            psp = FakePsp()
            refused = error(403, "invalid_api_usage", reason=reason)
            psp.respond_to("POST", "/payments", (403, refused))
            psp.respond_to("GET", "/payments", (200, list_page("payments")))
            outcome = await psp.connect().charge(charge())
            assert isinstance(outcome, Declined)
            assert outcome.code is Code.InvalidConfiguration
            assert len(payment_bodies(psp)) == attempts

    async def test_an_address_does_not_prevent_a_page(self) -> None:
        address = Address(line1="Hauptstr. 1", postal_code="?", city="Leipzig")
        call = builders.authorize(
            "0",
            ref=objects.REFERENCE,
            role=Role.Debit,
            payer=Payer(name="Mia Kern", country="DE", address=address),
        )
        psp = FakePsp()
        request = objects.billing_request("pending")
        psp.respond_to("POST", "/billing_requests", (201, {"billing_requests": request}))
        refused = error(422, "validation_failed", field="postal_code")
        flow = objects.FIXTURES["flow"]
        psp.respond_to("POST", "/billing_request_flows", (422, refused), (201, flow))
        assert isinstance(await psp.connect().authorize(call), RedirectRequired)
        sent = json.loads(psp.requests[-1].content)["billing_request_flows"]["prefilled_customer"]
        assert "postal_code" not in sent
        assert sent["city"] == "Leipzig"


class TestChargeDates:
    async def sent_dates(self, mandate: dict[str, Any], *replies: Response) -> list[str | None]:
        psp = FakePsp()
        psp.respond_to("POST", "/payments", *replies, TestRefusedTexts.CREATED)
        psp.respond_to("GET", "/payments", (200, list_page("payments")))
        later = {**mandate, "next_possible_charge_date": "2099-01-20"}
        found = [(200, {"mandates": body}) for body in (mandate, later)]
        psp.respond_to("GET", "/mandates/MD123", *found)
        await psp.connect().charge(charge(execute_on=date(2099, 1, 15)))
        return [body.get("charge_date") for body in payment_bodies(psp)]

    async def test_a_date_that_became_too_near_is_replaced(self) -> None:
        refused = (422, error(422, "validation_failed", field="charge_date"))
        mandate = objects.mandate(next_possible_charge_date="2099-01-10")
        assert await self.sent_dates(mandate, refused) == ["2099-01-15", "2099-01-20"]

    async def test_a_date_that_is_too_far_is_declined(self) -> None:
        """Without the date the money would be collected at once."""
        psp = FakePsp()
        refused = error(422, "validation_failed", field="charge_date")
        psp.respond_to("POST", "/payments", (422, refused))
        psp.respond_to("GET", "/payments", (200, list_page("payments")))
        mandate = objects.mandate(next_possible_charge_date="2026-01-10")
        psp.respond_to("GET", "/mandates/MD123", (200, {"mandates": mandate}))
        outcome = await psp.connect().charge(charge(execute_on=date(2199, 1, 15)))
        assert isinstance(outcome, Declined)
        assert len(payment_bodies(psp)) == 1

    async def test_a_date_in_the_past_is_left_out(self) -> None:
        psp = FakePsp()
        psp.respond_to("POST", "/payments", TestRefusedTexts.CREATED)
        mandate = objects.mandate(next_possible_charge_date=None)
        psp.respond_to("GET", "/mandates/MD123", (200, {"mandates": mandate}))
        await psp.connect().charge(charge(execute_on=date(2020, 1, 1)))
        assert [body.get("charge_date") for body in payment_bodies(psp)] == [None]


class TestIdentity:
    """An object of another payment, currency or transaction is an error, never money."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"links": {"payment": "PM999"}},
            {"currency": "USD"},
            {"metadata": {"transaction_id": "another"}},
            {"amount": -150},
        ],
    )
    async def test_a_refund_of_another_payment(self, changes: dict[str, Any]) -> None:
        psp = FakePsp()
        odd = objects.refund(**changes)
        psp.respond_to("GET", "/refunds/RF123", (200, {"refunds": odd}))
        request = builders.lookup(objects.REFERENCE, "RF123", parent="PM123")
        with pytest.raises(ProtocolError):
            await psp.connect().fetch_refund(request)
        psp.respond_to("GET", "/payments/PM123", (200, {"payments": objects.payment()}))
        psp.respond_to("GET", "/refunds", (200, list_page("refunds")))
        psp.respond_to("POST", "/refunds", (201, {"refunds": odd}))
        with pytest.raises(ProtocolError):
            await psp.connect().refund(refund())

    async def test_events_of_another_payment_are_ignored(self) -> None:
        psp = FakePsp()
        psp.respond_to("GET", "/payments/PM123", (200, {"payments": objects.payment("paid_out")}))
        other = objects.event("charged_back", links={"payment": "PM999"})
        own = objects.event("paid_out")
        psp.respond_to("GET", "/events", (200, list_page("events", other, own)))
        outcome = await psp.connect().fetch_payment(builders.lookup(objects.REFERENCE, "PM123"))
        assert isinstance(outcome, Approved)
        assert [fact.kind for fact in outcome.facts] == [FactKind.PAID]

    @pytest.mark.parametrize("settles", [True, False])
    async def test_a_payment_that_changes_between_the_reads_is_read_again(
        self, settles: bool
    ) -> None:
        psp = FakePsp()
        statuses = ["confirmed", "charged_back" if settles else "confirmed"]
        replies = [(200, {"payments": objects.payment(status)}) for status in statuses]
        psp.respond_to("GET", "/payments/PM123", *replies)
        events = (objects.event("charged_back"), objects.event("confirmed"))
        psp.respond_to("GET", "/events", (200, list_page("events", *events)))
        fetch = psp.connect().fetch_payment(builders.lookup(objects.REFERENCE, "PM123"))
        if not settles:
            with pytest.raises(ProtocolError):
                await fetch
            return
        outcome = await fetch
        assert isinstance(outcome, Approved)
        assert [fact.kind for fact in outcome.facts] == [FactKind.PAID, FactKind.CHARGED_BACK]

    async def test_a_mandate_of_another_sign_up(self) -> None:
        psp = FakePsp()
        request = objects.billing_request("fulfilled")
        psp.respond_to("GET", "/billing_requests/BRQ123", (200, {"billing_requests": request}))
        other = objects.mandate(metadata={"transaction_id": "another"})
        psp.respond_to("GET", "/mandates/MD123", (200, {"mandates": other}))
        with pytest.raises(ProtocolError):
            await psp.connect().fetch_authorization(builders.lookup(objects.REFERENCE, "BRQ123"))

    async def test_an_unreadable_total_of_refunds_is_an_error_of_the_refund_only(self) -> None:
        psp = FakePsp()
        odd = objects.payment("paid_out", amount_refunded=-5)
        psp.respond_to("GET", "/payments/PM123", (200, {"payments": odd}))
        psp.respond_to("GET", "/events", (200, list_page("events")))
        psp.respond_to("GET", "/refunds", (200, list_page("refunds")))
        request = builders.lookup(objects.REFERENCE, "PM123")
        assert isinstance(await psp.connect().fetch_payment(request), Approved)
        with pytest.raises(ProtocolError):
            await psp.connect().refund(refund())


class TestRefusals:
    """docs/psp-gocardless.md has the source of each row."""

    @pytest.mark.parametrize(
        ("refused", "code"),
        [
            (error(422, "invalid_state", reason="mandate_is_inactive"), Code.BearerInvalid),
            (error(422, "invalid_state", reason="bank_account_disabled"), Code.BearerInvalid),
            (error(410, "invalid_api_usage", reason="customer_data_removed"), Code.BearerInvalid),
            (error(422, "invalid_state"), Code.BearerInvalid),
            (error(422, "invalid_state", reason="tomorrows_reason"), Code.InvalidPreconditions),
            (error(404, "invalid_api_usage", reason="resource_not_found"), Code.BearerInvalid),
            (error(422, "validation_failed", field="links[mandate]"), Code.BearerInvalid),
            (error(422, "validation_failed", field="amount"), Code.InvalidAmount),
            (error(422, "validation_failed", field="currency"), Code.InvalidCurrency),
            (error(422, "validation_failed"), Code.InvalidData),
        ],
    )
    async def test_of_a_charge(self, refused: Any, code: Code) -> None:
        psp = FakePsp()
        psp.respond_to("POST", "/payments", (refused["error"]["code"], refused))
        psp.respond_to("GET", "/payments", (200, list_page("payments")))
        outcome = await psp.connect().charge(charge())
        assert isinstance(outcome, Declined)
        assert outcome.code is code

    async def test_the_first_problem_with_a_meaning_decides(self) -> None:
        refused = error(422, "validation_failed", field="scheme")
        refused["error"]["errors"].append({"message": "is invalid", "field": "iban"})
        psp = FakePsp()
        psp.respond_to("POST", "/billing_requests", (422, refused))
        outcome = await psp.connect().authorize(builders.debit(ref=objects.REFERENCE))
        assert isinstance(outcome, Declined)
        assert outcome.code is Code.InvalidIBAN

    @pytest.mark.parametrize("problems", [None, [], [{"message": None, "field": None}]])
    async def test_an_error_without_problems_is_read(self, problems: Any) -> None:
        refused = error(422, "validation_failed")
        refused["error"]["errors"] = problems
        psp = FakePsp()
        psp.respond_to("POST", "/payments", (422, refused))
        psp.respond_to("GET", "/payments", (200, list_page("payments")))
        assert isinstance(await psp.connect().charge(charge()), Declined)


class TestRefunds:
    def build_psp(self, *lists: dict[str, Any], reply: Response) -> FakePsp:
        psp = FakePsp()
        psp.respond_to("GET", "/payments/PM123", (200, {"payments": objects.payment()}))
        psp.respond_to("GET", "/refunds", *((200, found) for found in lists))
        psp.respond_to("POST", "/refunds", reply)
        return psp

    async def test_a_refund_confirms_the_total(self) -> None:
        refund_outcome = (201, {"refunds": objects.refund("submitted")})
        psp = self.build_psp(list_page("refunds"), reply=refund_outcome)
        outcome = await psp.connect().refund(refund())
        assert outcome == Pending(psp_id="RF123")
        sent = json.loads(psp.requests[-1].content)["refunds"]
        assert (sent["amount"], sent["total_amount_confirmation"]) == (150, 300)

    async def test_an_existing_refund_is_not_created_again(self) -> None:
        psp = self.build_psp(list_page("refunds", objects.refund()), reply=(500, {}))
        assert isinstance(await psp.connect().refund(refund()), Approved)
        assert psp.post_paths() == []

    async def test_a_refund_created_meanwhile_is_returned_after_a_refusal(self) -> None:
        refusal_body = error(422, "validation_failed", field="amount")
        lists = (list_page("refunds"), list_page("refunds", objects.refund()))
        psp = self.build_psp(*lists, reply=(422, refusal_body))
        assert isinstance(await psp.connect().refund(refund()), Approved)

    async def test_another_currency_is_not_sent(self) -> None:
        psp = self.build_psp(list_page("refunds"), reply=(500, {}))
        call = refund().model_copy(update={"currency": "SEK"})
        outcome = await psp.connect().refund(call)
        assert isinstance(outcome, Declined)
        assert (outcome.code, psp.post_paths()) == (Code.InvalidCurrency, [])

    async def test_a_concurrent_refund_is_retried(self) -> None:
        refusal_body = error(422, "invalid_state", reason="total_amount_confirmation_invalid")
        psp = self.build_psp(list_page("refunds"), reply=(422, refusal_body))
        with pytest.raises(PspUnavailable) as caught:
            await psp.connect().refund(refund())
        assert not isinstance(caught.value, OutcomeUnknown)


class TestSignUps:
    def build_request(self, status: str, *done: str) -> dict[str, Any]:
        names = ("collect_customer_details", "collect_bank_account", "confirm_payer_details")
        actions = [
            {"type": name, "status": "completed" if name in done else "pending"} for name in names
        ]
        request = objects.billing_request(status, actions=actions)
        return {"billing_requests": request}

    async def test_a_step_done_by_an_earlier_attempt(self) -> None:
        """The refusal of a step that is done already is not a refusal of the sign-up."""
        psp = FakePsp()
        base = "/billing_requests/BRQ123"
        refused = error(422, "invalid_state", reason="action_already_completed")
        two = ("collect_customer_details", "collect_bank_account")
        psp.respond_to("POST", "/billing_requests", (201, self.build_request("pending", two[0])))
        psp.respond_to("POST", f"{base}/actions/collect_bank_account", (422, refused))
        psp.respond_to("GET", base, (200, self.build_request("pending", *two)))
        psp.respond_to(
            "POST",
            f"{base}/actions/confirm_payer_details",
            (200, self.build_request("ready_to_fulfil")),
        )
        psp.respond_to("POST", f"{base}/actions/fulfil", (200, self.build_request("fulfilled")))
        psp.respond_to("GET", "/mandates/MD123", (200, {"mandates": objects.mandate()}))
        outcome = await psp.connect().authorize(builders.debit(ref=objects.REFERENCE))
        assert isinstance(outcome, Approved)

    @pytest.mark.parametrize(
        ("kind", "status"), [("invalid_state", "pending"), ("validation_failed", "pending")]
    )
    async def test_a_refused_step_is_declined(self, kind: str, status: str) -> None:
        psp = FakePsp()
        base = "/billing_requests/BRQ123"
        psp.respond_to("POST", "/billing_requests", (201, self.build_request("pending")))
        refusal_body = (422, error(422, kind, field="email"))
        psp.respond_to("POST", f"{base}/actions/collect_customer_details", refusal_body)
        psp.respond_to("GET", base, (200, self.build_request(status)))
        outcome = await psp.connect().authorize(builders.debit(ref=objects.REFERENCE))
        assert isinstance(outcome, Declined)

    async def test_without_permission_for_custom_pages(self) -> None:
        psp = FakePsp()
        base = "/billing_requests/BRQ123"
        psp.respond_to("POST", "/billing_requests", (201, self.build_request("pending")))
        refusal_body = (403, error(403, "invalid_api_usage", reason="forbidden"))
        psp.respond_to("POST", f"{base}/actions/collect_customer_details", refusal_body)
        psp.respond_to("GET", base, (200, self.build_request("pending")))
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
        psp = FakePsp()
        psp.respond_to("GET", "/creditors", (200, list_page("creditors", creditor)))
        check = await psp.connect().verify_settings()
        assert check == SettingsCheck(roles=frozenset(roles), account="CR123")

    async def test_without_creditors_no_roles_are_offered(self) -> None:
        psp = FakePsp()
        psp.respond_to("GET", "/creditors", (200, list_page("creditors")))
        assert await psp.connect().verify_settings() == SettingsCheck()


class TestLists:
    async def test_a_long_event_list_is_read_in_time_spans(self) -> None:
        """With pages of three, every event is read once, oldest first."""
        times = [datetime(2026, 1, 1, h, m, tzinfo=UTC) for h in range(4) for m in (0, 7, 9)]
        events = [
            objects.event("confirmed", id=f"EV{n:02}", created_at=moment.isoformat())
            for n, moment in enumerate(times)
        ]
        sizes: list[int] = []
        connection = _connect(_paged_handler(events, 3))
        event_ids: list[str] = []
        cursor = None
        for _ in range(60):
            page = await connection.list_events(cursor)
            event_ids += [notice.event_id for one in page.events for notice in one.notices]
            sizes.append(len(page.events))
            if page.cursor == cursor:
                break
            cursor = page.cursor
        assert event_ids == [event["id"] for event in events]
        assert max(sizes) <= 3

    async def test_events_within_the_lag_are_left_for_later(self) -> None:
        now = datetime.now(UTC)
        events = [
            objects.event("confirmed", id=id, created_at=(now - timedelta(seconds=age)).isoformat())
            for id, age in (("EV1", 60), ("EV2", 1))
        ]
        page = await _connect(_paged_handler(events, 3)).list_events(None)
        assert [n.event_id for one in page.events for n in one.notices] == ["EV1"]

    async def test_many_events_within_a_second_are_read_page_by_page(self) -> None:
        moment = datetime(2026, 1, 1, tzinfo=UTC).isoformat()
        events = [objects.event("confirmed", id=f"EV{n}", created_at=moment) for n in range(8)]
        page = await _connect(_paged_handler(events, 3)).list_events(None)
        assert [n.event_id for one in page.events for n in one.notices] == [
            event["id"] for event in events
        ]

    async def test_an_object_in_an_unknown_currency_is_left_out(self) -> None:
        psp = FakePsp()
        items = [objects.payment("submitted", id=f"PM{n}") for n in range(3)]
        items[1]["currency"] = "XQZ"
        psp.respond_to("GET", "/payments", (200, list_page("payments", *items)))
        since = datetime(2014, 1, 1, tzinfo=UTC)
        page = await psp.connect().list_movements(since, since + timedelta(days=1), None)
        assert [movement.psp_id for movement in page.movements] == ["PM0", "PM2"]
        assert page.cursor == "refunds"

    async def test_a_refund_is_searched_among_those_of_its_payment(self) -> None:
        psp = FakePsp()
        found = objects.refund(metadata=objects.METADATA)
        psp.respond_to("GET", "/refunds", (200, list_page("refunds", found)))
        lookup = builders.lookup(objects.REFERENCE, parent="PM123")
        assert await psp.connect().fetch_refund(lookup) is not None
        assert psp.requests[0].url.params["payment"] == "PM123"

    async def test_a_list_too_long_to_search_proves_nothing(self) -> None:
        now = datetime.now(UTC).isoformat()
        other = objects.payment(metadata={}, created_at=now)
        psp = FakePsp()
        psp.respond_to("GET", "/payments", (200, list_page("payments", other, after="PM123")))
        created_at = datetime.now(UTC) - timedelta(days=4)
        lookup = builders.lookup(objects.REFERENCE)
        for known in (lookup, lookup.model_copy(update={"created_at": created_at})):
            psp.requests.clear()
            assert await psp.connect().fetch_payment(known) == Absent(proven=False)
            assert len(psp.requests) == 20

    @pytest.mark.parametrize(
        ("age", "proven"), [(timedelta(days=3), False), (timedelta(days=60), True)]
    )
    @pytest.mark.parametrize("kind", ["payments", "refunds", "billing_requests"])
    async def test_absence_is_proven_by_complete_lists_once_the_key_is_forgotten(
        self, kind: str, age: timedelta, proven: bool
    ) -> None:
        psp = FakePsp()
        psp.respond_to("GET", f"/{kind}", (200, list_page(kind)))
        created_at = datetime.now(UTC) - age
        lookup = builders.lookup(objects.REFERENCE).model_copy(update={"created_at": created_at})
        name = {"payments": "payment", "refunds": "refund"}.get(kind, "authorization")
        fetch = getattr(psp.connect(), f"fetch_{name}")
        assert await fetch(lookup) == Absent(proven=proven)
        if kind == "billing_requests":
            return  # these cannot be filtered by time
        spans = [request.url.params for request in psp.requests]
        assert datetime.fromisoformat(spans[0]["created_at[gte]"]) < created_at
        assert datetime.fromisoformat(spans[-1]["created_at[lt]"]) > datetime.now(UTC)

    @pytest.mark.parametrize("status", [200, 404])
    async def test_a_refund_is_proven_absent_at_a_known_payment(self, status: int) -> None:
        known = {"payments": objects.payment()}
        payment = known if status == 200 else error(404, "invalid_api_usage")
        psp = FakePsp()
        psp.respond_to("GET", "/refunds", (200, list_page("refunds")))
        psp.respond_to("GET", f"/payments/{objects.payment()['id']}", (status, payment))
        lookup = builders.lookup(objects.REFERENCE, parent=objects.payment()["id"]).model_copy(
            update={"created_at": datetime.now(UTC) - timedelta(days=4)}
        )
        assert await psp.connect().fetch_refund(lookup) == Absent(proven=status == 200)


def _paged_handler(
    events: list[dict[str, Any]], size: int
) -> Callable[[httpx.Request], httpx.Response]:
    """Return a handler of an event list with pages of this size."""

    def handle(request: httpx.Request) -> httpx.Response:
        params = request.url.params
        bounds = [datetime.fromisoformat(params[f"created_at[{end}]"]) for end in ("gte", "lt")]
        inside = [
            event
            for event in reversed(events)
            if bounds[0] <= datetime.fromisoformat(event["created_at"]) < bounds[1]
        ]
        ids = [event["id"] for event in inside]
        start = ids.index(params["after"]) + 1 if "after" in params else 0
        page = inside[start : start + size]
        more = len(inside) > start + size
        after = page[-1]["id"] if more else None
        return httpx.Response(200, json=list_page("events", *page, after=after))

    return handle


def _connect(handle: Callable[[httpx.Request], httpx.Response]) -> Connection:
    config = GoCardlessConfig.model_construct(url=HttpUrl("https://gocardless.example"))
    form = {"AccessToken": "live_unit", "WebhookSecret": "secret"}
    http = httpx.AsyncClient(transport=httpx.MockTransport(handle))
    return GoCardlessAdapter(config).connect(GoCardlessSettings.model_validate(form), http)
