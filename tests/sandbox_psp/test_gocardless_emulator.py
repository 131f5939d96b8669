"""GoCardless' dialect: shapes against the official fixtures, refusals, pages and webhooks."""

import hashlib
import hmac
import json
import re
import secrets
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.sandbox_psp.driver import ROOT, SETTLE, Sandbox, eventually

FIXTURES = json.loads(
    Path(ROOT, "tests/psp/gocardless/data/fixtures.json").read_text(encoding="utf-8")
)
IBAN = "DE89370400440532013000"
Json = dict[str, Any]


class GoCardless:
    """A merchant of the dialect."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox, self.http = sandbox, sandbox.http
        self.token, self.secret = secrets.token_hex(8), secrets.token_hex(8)
        self.path = f"/{self.token}"
        account = {
            "api_key": self.token,
            "webhook_secret": self.secret,
            "webhook_url": sandbox.receiver.url + self.path,
            "dialect": "gocardless",
        }
        self.http.put("/_control/accounts", json=account).raise_for_status()

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        own = {"Authorization": f"Bearer {self.token}", "GoCardless-Version": "2015-07-06"}
        return self.http.request(
            method, f"/gocardless{path}", json=body, headers={**own, **headers}
        )

    def post(self, kind: str, key: str | None = None, **body: Any) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return self.send("POST", f"/{kind}", {kind: body}, **headers)

    def made(self, kind: str, key: str | None = None, **body: Any) -> Json:
        made: Json = self.post(kind, key, **body).raise_for_status().json()[kind]
        return made

    def get(self, path: str) -> Json:
        found: Json = self.send("GET", path).raise_for_status().json()
        return found

    def act(self, id: str, action: str, **data: Any) -> httpx.Response:
        return self.send("POST", f"/billing_requests/{id}/actions/{action}", {"data": data})

    def simulate(self, name: str, resource: str) -> httpx.Response:
        body = {"data": {"links": {"resource": resource}}}
        return self.send("POST", f"/scenario_simulators/{name}/actions/run", body)

    def request(self, **mandate: str) -> Json:
        metadata = {"transaction_id": secrets.token_hex(6)}
        return self.made("billing_requests", mandate_request=mandate, metadata=metadata)

    def mandate(self, iban: str = IBAN) -> str:
        id = self.request(scheme="sepa_core")["id"]
        customer = {"email": "mia@example.org", "given_name": "Mia", "family_name": "Kern"}
        self.act(id, "collect_customer_details", customer=customer).raise_for_status()
        account = {"account_holder_name": "Mia Kern", "iban": iban}
        self.act(id, "collect_bank_account", **account).raise_for_status()
        self.act(id, "confirm_payer_details").raise_for_status()
        done = self.act(id, "fulfil").raise_for_status().json()["billing_requests"]
        return str(done["links"]["mandate_request_mandate"])

    def payment(self, amount: int = 1000, key: str | None = None, **more: Any) -> Json:
        body = {"amount": amount, "currency": "EUR", "links": {"mandate": self.mandate()}}
        metadata = {"transaction_id": secrets.token_hex(6)}
        return self.made("payments", key, **{**body, "metadata": metadata, **more})

    def collected(self, amount: int = 1000) -> Json:
        made = self.payment(amount)
        self.simulate("payment_confirmed", made["id"]).raise_for_status()
        return made

    def status(self, kind: str, id: str) -> str:
        return str(self.get(f"/{kind}/{id}")[kind]["status"])

    def deliveries(self) -> list[Json]:
        """The webhooks received, after checking each one's signature."""
        found = []
        for headers, body in list(self.sandbox.receiver.inbox[self.path]):
            expected = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
            assert headers["Webhook-Signature"] == expected
            found.append(json.loads(body))
        return found

    def told(self, id: str) -> list[str]:
        """The actions told of an object, each event once, in the order of arrival."""
        events = {e["id"]: e for one in self.deliveries() for e in one["events"]}
        return [e["action"] for e in events.values() if id in e["links"].values()]


@pytest.fixture
def merchant(sandbox: Sandbox) -> GoCardless:
    return GoCardless(sandbox)


def problem(answer: httpx.Response) -> tuple[int, str, str | None]:
    """(status, type, reason or field); GoCardless' errors repeat the status."""
    error = answer.json()["error"]
    assert error["code"] == answer.status_code
    assert {"message", "documentation_url", "request_id"} <= error.keys()
    (found,) = error["errors"]
    return answer.status_code, error["type"], found.get("reason") or found.get("field")


def fits(shown: Any, fixture: Any, path: str = "") -> None:
    """Every member is one of the official fixture's, and of its type where both have a value."""
    if isinstance(shown, dict) and isinstance(fixture, dict):
        # Metadata and the fields of a step are the user's own.
        if path.endswith(("metadata", "links")):
            return
        unknown = shown.keys() - fixture.keys()
        assert not unknown, f"{path}: {unknown}"
        for name, value in shown.items():
            fits(value, fixture[name], f"{path}.{name}")
    elif isinstance(shown, list) and isinstance(fixture, list):
        for item in shown:
            fits(item, fixture[0], f"{path}[]")
    elif shown is not None and fixture is not None:
        assert type(shown) is type(fixture), f"{path}: {shown!r} is no {type(fixture).__name__}"


class TestShapes:
    def test_payments_refunds_and_mandates(self, merchant: GoCardless) -> None:
        made = merchant.collected()
        links = {"payment": made["id"]}
        given = merchant.made("refunds", amount=300, total_amount_confirmation=300, links=links)
        signed = merchant.get(f"/mandates/{made['links']['mandate']}")["mandates"]
        fits(merchant.get(f"/payments/{made['id']}"), FIXTURES["payment"])
        fits({"refunds": given}, FIXTURES["refund"])
        fits({"mandates": signed}, FIXTURES["mandate"])
        account = signed["links"]["customer_bank_account"]
        fits(merchant.get(f"/customer_bank_accounts/{account}"), FIXTURES["bank_account"])
        for path, name in (("/payments", "payment_list"), ("/events", "event_list")):
            fits(merchant.get(path), FIXTURES[name])

    def test_billing_requests_and_flows(self, merchant: GoCardless) -> None:
        request = merchant.request(scheme="sepa_core")
        fits({"billing_requests": request}, FIXTURES["billing_request"])
        flow = merchant.made(
            "billing_request_flows",
            redirect_uri="https://shop.example/ok",
            links={"billing_request": request["id"]},
        )
        fits({"billing_request_flows": flow}, FIXTURES["flow"])

    def test_creditors(self, merchant: GoCardless) -> None:
        (creditor,) = merchant.get("/creditors")["creditors"]
        fits({"creditors": creditor}, FIXTURES["creditor_in_events"])


class TestDoor:
    def test_an_unknown_token(self, merchant: GoCardless) -> None:
        answer = merchant.send("GET", "/creditors", Authorization="Bearer nobody")
        assert problem(answer) == (401, "invalid_api_usage", "access_token_not_found")

    def test_a_token_of_another_dialect(self, merchant: GoCardless) -> None:
        key = secrets.token_hex(8)
        account = {"api_key": key, "webhook_secret": "x"}
        merchant.http.put("/_control/accounts", json=account).raise_for_status()
        answer = merchant.send("GET", "/creditors", Authorization=f"Bearer {key}")
        assert answer.status_code == 401

    def test_without_a_version(self, merchant: GoCardless) -> None:
        headers = {"Authorization": f"Bearer {merchant.token}"}
        answer = merchant.http.get("/gocardless/creditors", headers=headers)
        assert answer.status_code == 400

    def test_what_is_not_there(self, merchant: GoCardless) -> None:
        other = GoCardless(merchant.sandbox).payment()
        for path in ("/payments/PM000", f"/payments/{other['id']}", "/comets"):
            assert problem(merchant.send("GET", path))[0] == 404

    @pytest.mark.parametrize("body", [b"{", b"[]", b'{"payments": 7}'])
    def test_a_body_that_is_none(self, merchant: GoCardless, body: bytes) -> None:
        headers = {
            "Authorization": f"Bearer {merchant.token}",
            "GoCardless-Version": "2015-07-06",
        }
        answer = merchant.http.post("/gocardless/payments", content=body, headers=headers)
        assert problem(answer) == (400, "invalid_api_usage", "invalid_document_structure")


class TestKeys:
    def test_a_second_use_names_the_first(self, merchant: GoCardless) -> None:
        mandate, key = merchant.mandate(), secrets.token_hex(8)
        body = {"currency": "EUR", "links": {"mandate": mandate}}
        first = merchant.made("payments", key, amount=1000, **body)
        again = merchant.post("payments", key, amount=2000, **body)
        assert problem(again) == (409, "invalid_state", "idempotent_creation_conflict")
        links = again.json()["error"]["errors"][0]["links"]
        assert links == {"conflicting_resource_id": first["id"]}
        assert len(merchant.get("/payments")["payments"]) == 1

    def test_a_refused_call_may_use_its_key_again(self, merchant: GoCardless) -> None:
        mandate, key = merchant.mandate(), secrets.token_hex(8)
        body = {"amount": 1000, "links": {"mandate": mandate}}
        refused = merchant.post("payments", key, currency="SEK", **body)
        assert problem(refused) == (422, "validation_failed", "currency")
        assert merchant.made("payments", key, currency="EUR", **body)["amount"] == 1000

    def test_a_key_that_is_too_long(self, merchant: GoCardless) -> None:
        answer = merchant.post("payments", "k" * 129, amount=1)
        assert problem(answer) == (400, "invalid_api_usage", "idempotency_key_too_long")

    def test_kept_in_the_ledger(self, merchant: GoCardless) -> None:
        metadata, key = {"transaction_id": secrets.token_hex(6)}, secrets.token_hex(8)
        made = merchant.payment(1000, key, metadata=metadata)
        merchant.simulate("payment_confirmed", made["id"])
        params = {"reference": metadata["transaction_id"]}
        (entry,) = merchant.http.get("/_control/ledger", params=params).json()["entries"]
        assert (entry["psp_id"], entry["kind"]) == (made["id"], "charge")


class TestBillingRequests:
    def test_steps(self, merchant: GoCardless) -> None:
        id = merchant.request(scheme="sepa_core")["id"]
        early = merchant.act(id, "fulfil")
        assert problem(early) == (422, "invalid_state", "billing_request_not_ready")
        blank = merchant.act(id, "collect_customer_details", customer={"given_name": "Mia"})
        assert problem(blank) == (422, "validation_failed", "email")
        wrong = merchant.act(
            id, "collect_bank_account", account_holder_name="Mia Kern", iban="DE00"
        )
        assert problem(wrong) == (422, "validation_failed", "iban")
        account = {"account_holder_name": "Mia Kern", "iban": IBAN}
        merchant.act(id, "collect_bank_account", **account).raise_for_status()
        twice = merchant.act(id, "collect_bank_account", **account)
        assert problem(twice) == (422, "invalid_state", "action_already_completed")

    def test_an_end(self, merchant: GoCardless) -> None:
        id = merchant.request(scheme="autogiro")["id"]
        assert merchant.act(id, "cancel").json()["billing_requests"]["status"] == "cancelled"
        assert problem(merchant.act(id, "cancel"))[1] == "invalid_state"

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "mandate_request"),
            ({"mandate_request": {"scheme": "bacs"}}, "scheme"),
            ({"mandate_request": {"scheme": "autogiro", "currency": "EUR"}}, "currency"),
            (
                {"mandate_request": {}, "metadata": {str(n): "x" for n in range(4)}},
                "metadata",
            ),
        ],
    )
    def test_what_cannot_be_set_up(self, merchant: GoCardless, body: Json, field: str) -> None:
        assert problem(merchant.post("billing_requests", **body))[2] == field


class TestPages:
    def flow(self, merchant: GoCardless, scheme: str = "sepa_core", **more: Any) -> Json:
        request = merchant.request(scheme=scheme)["id"]
        return merchant.made(
            "billing_request_flows",
            redirect_uri="https://shop.example/ok?order=1",
            exit_uri="https://shop.example/back",
            links={"billing_request": request},
            **more,
        )

    def test_a_form(self, merchant: GoCardless) -> None:
        flow = self.flow(merchant, "autogiro", prefilled_customer={"email": '"><script>'})
        page = merchant.http.get(flow["authorisation_url"])
        assert page.status_code == 200
        assert "<script>" not in page.text
        names = set(re.findall(r'name="(\w+)"', page.text))
        assert {"holder", "iban", "email", "swedish_identity_number", "action"} <= names

    def test_a_mandate(self, merchant: GoCardless) -> None:
        flow = self.flow(merchant)
        form = {"holder": "Mia Kern", "email": "mia@example.org", "action": "confirm"}
        wrong = merchant.http.post(flow["authorisation_url"], data={**form, "iban": "DE00"})
        assert wrong.status_code == 422
        done = merchant.http.post(flow["authorisation_url"], data={**form, "iban": IBAN})
        assert done.headers["location"] == "https://shop.example/ok?order=1&outcome=success"
        id = flow["links"]["billing_request"]
        assert merchant.status("billing_requests", id) == "fulfilled"
        again = merchant.http.post(flow["authorisation_url"], data={**form, "iban": IBAN})
        assert again.status_code == 410
        assert len(merchant.get("/mandates")["mandates"]) == 1

    def test_a_way_back(self, merchant: GoCardless) -> None:
        flow = self.flow(merchant)
        left = merchant.http.post(flow["authorisation_url"], data={"action": "exit"})
        assert left.headers["location"] == "https://shop.example/back?outcome=cancel"
        id = flow["links"]["billing_request"]
        assert merchant.status("billing_requests", id) == "pending"

    def test_no_such_page(self, merchant: GoCardless) -> None:
        assert merchant.http.get("/gocardless/flow/BRF000").status_code == 404


class TestPayments:
    @pytest.mark.parametrize(
        ("more", "field"),
        [
            ({"amount": 0}, "amount"),
            ({"amount": "10"}, "amount"),
            ({"currency": "SEK"}, "currency"),
            ({"charge_date": "2020-01-01"}, "charge_date"),
            ({"charge_date": "tomorrow"}, "charge_date"),
            ({"reference": "x" * 141}, "reference"),
        ],
    )
    def test_what_cannot_be_collected(self, merchant: GoCardless, more: Json, field: str) -> None:
        body: Json = {"amount": 1000, "currency": "EUR", "links": {"mandate": merchant.mandate()}}
        assert problem(merchant.post("payments", **{**body, **more})) == (
            422,
            "validation_failed",
            field,
        )

    def test_the_bank_decides_by_itself(self, merchant: GoCardless) -> None:
        good, bad = merchant.payment(1000), merchant.payment(1006)
        eventually(lambda: merchant.status("payments", good["id"]) == "confirmed")
        eventually(lambda: merchant.status("payments", bad["id"]) == "failed")

    @pytest.mark.parametrize(
        ("scenario", "status", "actions"),
        [
            ("payment_submitted", "submitted", ["submitted"]),
            ("payment_failed", "failed", ["failed"]),
            ("payment_confirmed", "confirmed", ["confirmed"]),
            ("payment_paid_out", "paid_out", ["confirmed", "paid_out"]),
            ("payment_late_failure", "failed", ["confirmed", "failed"]),
            ("payment_charged_back", "charged_back", ["confirmed", "charged_back"]),
        ],
    )
    def test_scenarios(
        self, merchant: GoCardless, scenario: str, status: str, actions: list[str]
    ) -> None:
        made = merchant.payment()
        merchant.simulate(scenario, made["id"]).raise_for_status()
        assert merchant.status("payments", made["id"]) == status
        listed = merchant.get(f"/events?payment={made['id']}")["events"]
        assert [event["action"] for event in listed][::-1] == ["created", *actions]
        assert {event["resource_metadata"]["transaction_id"] for event in listed} == {
            made["metadata"]["transaction_id"]
        }

    def test_a_settled_payment_is_not_settled_again(self, merchant: GoCardless) -> None:
        made = merchant.payment()
        merchant.simulate("payment_failed", made["id"]).raise_for_status()
        later = merchant.payment(1005)
        eventually(lambda: merchant.status("payments", later["id"]) == "confirmed", SETTLE * 20)
        assert merchant.status("payments", made["id"]) == "failed"

    def test_cancelled_in_time(self, merchant: GoCardless) -> None:
        made = merchant.payment()
        path = f"/payments/{made['id']}/actions/cancel"
        done = merchant.send("POST", path, {"data": {}}).json()["payments"]
        assert done["status"] == "cancelled"
        assert problem(merchant.send("POST", path, {"data": {}}))[2] == "cancellation_failed"

    def test_an_ended_mandate(self, merchant: GoCardless) -> None:
        mandate = merchant.mandate()
        path = f"/mandates/{mandate}/actions/cancel"
        ended = merchant.send("POST", path, {"data": {}}).json()["mandates"]
        assert (ended["status"], ended["next_possible_charge_date"]) == ("cancelled", None)
        body: Json = {"amount": 1000, "currency": "EUR", "links": {"mandate": mandate}}
        assert problem(merchant.post("payments", **body))[2] == "mandate_is_inactive"


class TestRefunds:
    def refund(self, merchant: GoCardless, payment: Json, amount: int, total: int) -> Any:
        links = {"payment": payment["id"]}
        return merchant.post("refunds", amount=amount, total_amount_confirmation=total, links=links)

    def test_the_total_is_checked(self, merchant: GoCardless) -> None:
        made = merchant.collected()
        assert self.refund(merchant, made, 300, 300).status_code == 201
        race = self.refund(merchant, made, 300, 300)
        assert problem(race)[2] == "total_amount_confirmation_invalid"
        assert self.refund(merchant, made, 300, 600).status_code == 201
        assert problem(self.refund(merchant, made, 500, 1100))[2] == "amount"
        assert merchant.get(f"/payments/{made['id']}")["payments"]["amount_refunded"] == 600

    def test_of_what_was_not_collected(self, merchant: GoCardless) -> None:
        refused = self.refund(merchant, merchant.payment(), 300, 300)
        assert problem(refused)[2] == "refund_payment_invalid_state"

    def test_without_balance(self, merchant: GoCardless) -> None:
        refused = self.refund(merchant, merchant.collected(), 301, 301)
        assert problem(refused)[2] == "available_refund_amount_insufficient"

    def test_one_that_bounces(self, merchant: GoCardless) -> None:
        made = merchant.collected()
        id = self.refund(merchant, made, 300, 300).json()["refunds"]["id"]
        merchant.simulate("refund_paid", id).raise_for_status()
        assert merchant.status("refunds", id) == "paid"
        merchant.simulate("refund_bounced", id).raise_for_status()
        assert merchant.status("refunds", id) == "bounced"
        actions = [e["action"] for e in merchant.get(f"/events?refund={id}")["events"]]
        assert actions == ["bounced", "paid", "created"]
        assert merchant.get(f"/payments/{made['id']}")["payments"]["amount_refunded"] == 0


class TestLists:
    def test_newest_first_by_cursors(self, merchant: GoCardless) -> None:
        made = [merchant.payment()["id"] for _ in range(5)][::-1]
        first = merchant.get("/payments?limit=2")
        assert [item["id"] for item in first["payments"]] == made[:2]
        cursors = first["meta"]["cursors"]
        second = merchant.get(f"/payments?limit=2&after={cursors['after']}")
        assert [item["id"] for item in second["payments"]] == made[2:4]
        back = merchant.get(f"/payments?limit=2&before={second['meta']['cursors']['before']}")
        assert [item["id"] for item in back["payments"]] == made[:2]
        last = merchant.get(f"/payments?after={made[3]}")
        assert [item["id"] for item in last["payments"]] == made[4:]
        assert last["meta"]["cursors"]["after"] is None

    def test_bounds(self, merchant: GoCardless) -> None:
        one, two = merchant.payment(), merchant.payment()
        after = f"/payments?created_at[gt]={one['created_at']}"
        assert [item["id"] for item in merchant.get(after)["payments"]] == [two["id"]]
        until = f"/payments?created_at[lte]={one['created_at']}"
        assert [item["id"] for item in merchant.get(until)["payments"]] == [one["id"]]
        mandate = f"/payments?mandate={one['links']['mandate']}"
        assert [item["id"] for item in merchant.get(mandate)["payments"]] == [one["id"]]

    @pytest.mark.parametrize("query", ["limit=0", "limit=501", "created_at[gt]=yesterday"])
    def test_nonsense(self, merchant: GoCardless, query: str) -> None:
        answer = merchant.send("GET", f"/payments?{query}")
        assert problem(answer) == (400, "invalid_api_usage", "invalid_filters")


class TestFaultsAndWebhooks:
    def test_faults_strike(self, merchant: GoCardless) -> None:
        mandate = merchant.mandate()
        body = {"amount": 1000, "currency": "EUR", "links": {"mandate": mandate}}
        fault = {"kind": "error", "count": 1, "operations": ["charge"]}
        merchant.http.post("/_control/faults", json=fault).raise_for_status()
        try:
            answer = merchant.post("payments", "k1", **body)
            assert problem(answer) == (500, "gocardless", "internal_error")
            assert merchant.post("payments", "k1", **body).status_code == 201
        finally:
            merchant.http.delete("/_control/faults")

    def test_told_signed_and_together(self, merchant: GoCardless) -> None:
        made = merchant.payment()
        eventually(lambda: {"created", "confirmed"} <= set(merchant.told(made["id"])))
        mandate = made["links"]["mandate"]
        eventually(lambda: "created" in merchant.told(mandate))
        # The mandate and its billing request are made in one moment.
        assert any(len(one["events"]) > 1 for one in merchant.deliveries())
        assert all(one["meta"]["webhook_id"].startswith("WB") for one in merchant.deliveries())
