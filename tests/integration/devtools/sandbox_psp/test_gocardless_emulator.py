"""The GoCardless emulator: shapes of the official fixtures, errors, hosted pages and webhooks."""

import hashlib
import hmac
import json
import re
import secrets
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.devtools.sandbox_psp.driver import SETTLE_SECONDS, Sandbox, eventually
from tests.support.paths import ROOT

FIXTURES = json.loads(
    Path(ROOT, "tests/integration/integrator/psp/gocardless/data/fixtures.json").read_text(
        encoding="utf-8"
    )
)
IBAN = "DE89370400440532013000"
Json = dict[str, Any]


class GoCardlessMerchant:
    """A merchant whose account uses the GoCardless emulator."""

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
        default_headers = {
            "Authorization": f"Bearer {self.token}",
            "GoCardless-Version": "2015-07-06",
        }
        return self.http.request(
            method, f"/gocardless{path}", json=body, headers={**default_headers, **headers}
        )

    def post(self, kind: str, key: str | None = None, **body: Any) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return self.send("POST", f"/{kind}", {kind: body}, **headers)

    def create(self, kind: str, key: str | None = None, **body: Any) -> Json:
        resource: Json = self.post(kind, key, **body).raise_for_status().json()[kind]
        return resource

    def get(self, path: str) -> Json:
        document: Json = self.send("GET", path).raise_for_status().json()
        return document

    def run_action(self, id: str, action: str, **data: Any) -> httpx.Response:
        return self.send("POST", f"/billing_requests/{id}/actions/{action}", {"data": data})

    def simulate(self, name: str, resource: str) -> httpx.Response:
        body = {"data": {"links": {"resource": resource}}}
        return self.send("POST", f"/scenario_simulators/{name}/actions/run", body)

    def request(self, **mandate: str) -> Json:
        metadata = {"transaction_id": secrets.token_hex(6)}
        return self.create("billing_requests", mandate_request=mandate, metadata=metadata)

    def mandate(self, iban: str = IBAN) -> str:
        id = self.request(scheme="sepa_core")["id"]
        customer = {"email": "mia@example.org", "given_name": "Mia", "family_name": "Kern"}
        self.run_action(id, "collect_customer_details", customer=customer).raise_for_status()
        account = {"account_holder_name": "Mia Kern", "iban": iban}
        self.run_action(id, "collect_bank_account", **account).raise_for_status()
        self.run_action(id, "confirm_payer_details").raise_for_status()
        billing_request = (
            self.run_action(id, "fulfil").raise_for_status().json()["billing_requests"]
        )
        return str(billing_request["links"]["mandate_request_mandate"])

    def payment(self, amount: int = 1000, key: str | None = None, **more: Any) -> Json:
        body = {"amount": amount, "currency": "EUR", "links": {"mandate": self.mandate()}}
        metadata = {"transaction_id": secrets.token_hex(6)}
        return self.create("payments", key, **{**body, "metadata": metadata, **more})

    def confirmed_payment(self, amount: int = 1000) -> Json:
        payment = self.payment(amount)
        self.simulate("payment_confirmed", payment["id"]).raise_for_status()
        return payment

    def status(self, kind: str, id: str) -> str:
        return str(self.get(f"/{kind}/{id}")[kind]["status"])

    def deliveries(self) -> list[Json]:
        """Return the received webhooks after verifying their signatures."""
        webhooks = []
        for headers, body in list(self.sandbox.receiver.deliveries[self.path]):
            expected = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
            assert headers["Webhook-Signature"] == expected
            webhooks.append(json.loads(body))
        return webhooks

    def received_actions(self, id: str) -> list[str]:
        """Return the actions of an object's events, each event once, in order of arrival."""
        events = {
            event["id"]: event for webhook in self.deliveries() for event in webhook["events"]
        }
        return [event["action"] for event in events.values() if id in event["links"].values()]


@pytest.fixture
def merchant(sandbox: Sandbox) -> GoCardlessMerchant:
    return GoCardlessMerchant(sandbox)


def error_fields(response: httpx.Response) -> tuple[int, str, str | None]:
    """Return (status, type, reason or field); GoCardless' errors repeat the status."""
    error = response.json()["error"]
    assert error["code"] == response.status_code
    assert {"message", "documentation_url", "request_id"} <= error.keys()
    (problem,) = error["errors"]
    return response.status_code, error["type"], problem.get("reason") or problem.get("field")


def assert_fits(shown: Any, fixture: Any, path: str = "") -> None:
    """Assert that every member is one of the official fixture's, and of its type unless null."""
    if isinstance(shown, dict) and isinstance(fixture, dict):
        # Metadata and links depend on the object.
        if path.endswith(("metadata", "links")):
            return
        unknown = shown.keys() - fixture.keys()
        assert not unknown, f"{path}: {unknown}"
        for name, value in shown.items():
            assert_fits(value, fixture[name], f"{path}.{name}")
    elif isinstance(shown, list) and isinstance(fixture, list):
        for item in shown:
            assert_fits(item, fixture[0], f"{path}[]")
    elif shown is not None and fixture is not None:
        assert type(shown) is type(fixture), (
            f"{path}: {shown!r} is not of type {type(fixture).__name__}"
        )


class TestShapes:
    def test_payments_refunds_and_mandates_match_the_fixtures(
        self, merchant: GoCardlessMerchant
    ) -> None:
        payment = merchant.confirmed_payment()
        links = {"payment": payment["id"]}
        refund = merchant.create("refunds", amount=300, total_amount_confirmation=300, links=links)
        mandate = merchant.get(f"/mandates/{payment['links']['mandate']}")["mandates"]
        assert_fits(merchant.get(f"/payments/{payment['id']}"), FIXTURES["payment"])
        assert_fits({"refunds": refund}, FIXTURES["refund"])
        assert_fits({"mandates": mandate}, FIXTURES["mandate"])
        account = mandate["links"]["customer_bank_account"]
        assert_fits(merchant.get(f"/customer_bank_accounts/{account}"), FIXTURES["bank_account"])
        for path, name in (("/payments", "payment_list"), ("/events", "event_list")):
            assert_fits(merchant.get(path), FIXTURES[name])

    def test_billing_requests_and_flows_match_the_fixtures(
        self, merchant: GoCardlessMerchant
    ) -> None:
        billing_request = merchant.request(scheme="sepa_core")
        assert_fits({"billing_requests": billing_request}, FIXTURES["billing_request"])
        flow = merchant.create(
            "billing_request_flows",
            redirect_uri="https://shop.example/ok",
            links={"billing_request": billing_request["id"]},
        )
        assert_fits({"billing_request_flows": flow}, FIXTURES["flow"])

    def test_creditors_match_the_fixtures(self, merchant: GoCardlessMerchant) -> None:
        (creditor,) = merchant.get("/creditors")["creditors"]
        assert_fits({"creditors": creditor}, FIXTURES["creditor_in_events"])


class TestAuthentication:
    def test_an_unknown_token_is_rejected(self, merchant: GoCardlessMerchant) -> None:
        response = merchant.send("GET", "/creditors", Authorization="Bearer unknown")
        assert error_fields(response) == (401, "invalid_api_usage", "access_token_not_found")

    def test_a_token_of_another_emulator_is_rejected(self, merchant: GoCardlessMerchant) -> None:
        key = secrets.token_hex(8)
        account = {"api_key": key, "webhook_secret": "x"}
        merchant.http.put("/_control/accounts", json=account).raise_for_status()
        response = merchant.send("GET", "/creditors", Authorization=f"Bearer {key}")
        assert response.status_code == 401

    def test_a_missing_version_is_rejected(self, merchant: GoCardlessMerchant) -> None:
        headers = {"Authorization": f"Bearer {merchant.token}"}
        response = merchant.http.get("/gocardless/creditors", headers=headers)
        assert response.status_code == 400

    def test_unknown_objects_are_not_found(self, merchant: GoCardlessMerchant) -> None:
        other = GoCardlessMerchant(merchant.sandbox).payment()
        for path in ("/payments/PM000", f"/payments/{other['id']}", "/comets"):
            assert error_fields(merchant.send("GET", path))[0] == 404

    @pytest.mark.parametrize("body", [b"{", b"[]", b'{"payments": 7}'])
    def test_a_malformed_body_is_rejected(self, merchant: GoCardlessMerchant, body: bytes) -> None:
        headers = {
            "Authorization": f"Bearer {merchant.token}",
            "GoCardless-Version": "2015-07-06",
        }
        response = merchant.http.post("/gocardless/payments", content=body, headers=headers)
        assert error_fields(response) == (400, "invalid_api_usage", "invalid_document_structure")


class TestIdempotencyKeys:
    def test_a_repeated_key_conflicts_and_names_the_first_object(
        self, merchant: GoCardlessMerchant
    ) -> None:
        mandate, key = merchant.mandate(), secrets.token_hex(8)
        body = {"currency": "EUR", "links": {"mandate": mandate}}
        first = merchant.create("payments", key, amount=1000, **body)
        again = merchant.post("payments", key, amount=2000, **body)
        assert error_fields(again) == (409, "invalid_state", "idempotent_creation_conflict")
        links = again.json()["error"]["errors"][0]["links"]
        assert links == {"conflicting_resource_id": first["id"]}
        assert len(merchant.get("/payments")["payments"]) == 1

    def test_a_rejected_call_may_reuse_its_key(self, merchant: GoCardlessMerchant) -> None:
        mandate, key = merchant.mandate(), secrets.token_hex(8)
        body = {"amount": 1000, "links": {"mandate": mandate}}
        response = merchant.post("payments", key, currency="SEK", **body)
        assert error_fields(response) == (422, "validation_failed", "currency")
        assert merchant.create("payments", key, currency="EUR", **body)["amount"] == 1000

    def test_a_too_long_key_is_rejected(self, merchant: GoCardlessMerchant) -> None:
        response = merchant.post("payments", "k" * 129, amount=1)
        assert error_fields(response) == (400, "invalid_api_usage", "idempotency_key_too_long")

    def test_a_confirmed_payment_is_booked_in_the_ledger(
        self, merchant: GoCardlessMerchant
    ) -> None:
        metadata, key = {"transaction_id": secrets.token_hex(6)}, secrets.token_hex(8)
        payment = merchant.payment(1000, key, metadata=metadata)
        merchant.simulate("payment_confirmed", payment["id"])
        params = {"reference": metadata["transaction_id"]}
        (entry,) = merchant.http.get("/_control/ledger", params=params).json()["entries"]
        assert (entry["psp_id"], entry["kind"]) == (payment["id"], "charge")


class TestBillingRequests:
    def test_steps_are_validated(self, merchant: GoCardlessMerchant) -> None:
        id = merchant.request(scheme="sepa_core")["id"]
        early = merchant.run_action(id, "fulfil")
        assert error_fields(early) == (422, "invalid_state", "billing_request_not_ready")
        blank = merchant.run_action(id, "collect_customer_details", customer={"given_name": "Mia"})
        assert error_fields(blank) == (422, "validation_failed", "email")
        wrong = merchant.run_action(
            id, "collect_bank_account", account_holder_name="Mia Kern", iban="DE00"
        )
        assert error_fields(wrong) == (422, "validation_failed", "iban")
        account = {"account_holder_name": "Mia Kern", "iban": IBAN}
        merchant.run_action(id, "collect_bank_account", **account).raise_for_status()
        twice = merchant.run_action(id, "collect_bank_account", **account)
        assert error_fields(twice) == (422, "invalid_state", "action_already_completed")

    def test_a_request_is_cancelled_once(self, merchant: GoCardlessMerchant) -> None:
        id = merchant.request(scheme="autogiro")["id"]
        assert merchant.run_action(id, "cancel").json()["billing_requests"]["status"] == "cancelled"
        assert error_fields(merchant.run_action(id, "cancel"))[1] == "invalid_state"

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
    def test_invalid_requests_are_rejected(
        self, merchant: GoCardlessMerchant, body: Json, field: str
    ) -> None:
        assert error_fields(merchant.post("billing_requests", **body))[2] == field


class TestHostedPages:
    def flow(self, merchant: GoCardlessMerchant, scheme: str = "sepa_core", **more: Any) -> Json:
        billing_request_id = merchant.request(scheme=scheme)["id"]
        return merchant.create(
            "billing_request_flows",
            redirect_uri="https://shop.example/ok?order=1",
            exit_uri="https://shop.example/back",
            links={"billing_request": billing_request_id},
            **more,
        )

    def test_the_form_has_the_fields_of_the_scheme(self, merchant: GoCardlessMerchant) -> None:
        flow = self.flow(merchant, "autogiro", prefilled_customer={"email": '"><script>'})
        page = merchant.http.get(flow["authorisation_url"])
        assert page.status_code == 200
        assert "<script>" not in page.text
        names = set(re.findall(r'name="(\w+)"', page.text))
        assert {"holder", "iban", "email", "swedish_identity_number", "action"} <= names

    def test_confirming_creates_one_mandate(self, merchant: GoCardlessMerchant) -> None:
        flow = self.flow(merchant)
        form = {"holder": "Mia Kern", "email": "mia@example.org", "action": "confirm"}
        invalid = merchant.http.post(flow["authorisation_url"], data={**form, "iban": "DE00"})
        assert invalid.status_code == 422
        confirmed = merchant.http.post(flow["authorisation_url"], data={**form, "iban": IBAN})
        assert confirmed.headers["location"] == "https://shop.example/ok?order=1&outcome=success"
        id = flow["links"]["billing_request"]
        assert merchant.status("billing_requests", id) == "fulfilled"
        again = merchant.http.post(flow["authorisation_url"], data={**form, "iban": IBAN})
        assert again.status_code == 410
        assert len(merchant.get("/mandates")["mandates"]) == 1

    def test_exit_leaves_the_request_open(self, merchant: GoCardlessMerchant) -> None:
        flow = self.flow(merchant)
        response = merchant.http.post(flow["authorisation_url"], data={"action": "exit"})
        assert response.headers["location"] == "https://shop.example/back?outcome=cancel"
        id = flow["links"]["billing_request"]
        assert merchant.status("billing_requests", id) == "pending"

    def test_an_unknown_page_is_not_found(self, merchant: GoCardlessMerchant) -> None:
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
    def test_invalid_payments_are_rejected(
        self, merchant: GoCardlessMerchant, more: Json, field: str
    ) -> None:
        body: Json = {"amount": 1000, "currency": "EUR", "links": {"mandate": merchant.mandate()}}
        assert error_fields(merchant.post("payments", **{**body, **more})) == (
            422,
            "validation_failed",
            field,
        )

    def test_the_bank_decides_without_a_simulator(self, merchant: GoCardlessMerchant) -> None:
        succeeding, failing = merchant.payment(1000), merchant.payment(1006)
        eventually(lambda: merchant.status("payments", succeeding["id"]) == "confirmed")
        eventually(lambda: merchant.status("payments", failing["id"]) == "failed")

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
    def test_scenario_simulators_set_status_and_events(
        self, merchant: GoCardlessMerchant, scenario: str, status: str, actions: list[str]
    ) -> None:
        payment = merchant.payment()
        merchant.simulate(scenario, payment["id"]).raise_for_status()
        assert merchant.status("payments", payment["id"]) == status
        listed = merchant.get(f"/events?payment={payment['id']}")["events"]
        assert [event["action"] for event in listed][::-1] == ["created", *actions]
        assert {event["resource_metadata"]["transaction_id"] for event in listed} == {
            payment["metadata"]["transaction_id"]
        }

    def test_a_settled_payment_is_not_settled_again(self, merchant: GoCardlessMerchant) -> None:
        payment = merchant.payment()
        merchant.simulate("payment_failed", payment["id"]).raise_for_status()
        later = merchant.payment(1005)
        eventually(
            lambda: merchant.status("payments", later["id"]) == "confirmed", SETTLE_SECONDS * 20
        )
        assert merchant.status("payments", payment["id"]) == "failed"

    def test_a_payment_is_cancelled_once(self, merchant: GoCardlessMerchant) -> None:
        created = merchant.payment()
        path = f"/payments/{created['id']}/actions/cancel"
        payment = merchant.send("POST", path, {"data": {}}).json()["payments"]
        assert payment["status"] == "cancelled"
        assert error_fields(merchant.send("POST", path, {"data": {}}))[2] == "cancellation_failed"

    def test_a_cancelled_mandate_cannot_be_charged(self, merchant: GoCardlessMerchant) -> None:
        mandate = merchant.mandate()
        path = f"/mandates/{mandate}/actions/cancel"
        cancelled = merchant.send("POST", path, {"data": {}}).json()["mandates"]
        assert (cancelled["status"], cancelled["next_possible_charge_date"]) == ("cancelled", None)
        body: Json = {"amount": 1000, "currency": "EUR", "links": {"mandate": mandate}}
        assert error_fields(merchant.post("payments", **body))[2] == "mandate_is_inactive"


class TestRefunds:
    def refund(self, merchant: GoCardlessMerchant, payment: Json, amount: int, total: int) -> Any:
        links = {"payment": payment["id"]}
        return merchant.post("refunds", amount=amount, total_amount_confirmation=total, links=links)

    def test_the_total_amount_is_validated(self, merchant: GoCardlessMerchant) -> None:
        payment = merchant.confirmed_payment()
        assert self.refund(merchant, payment, 300, 300).status_code == 201
        outdated = self.refund(merchant, payment, 300, 300)
        assert error_fields(outdated)[2] == "total_amount_confirmation_invalid"
        assert self.refund(merchant, payment, 300, 600).status_code == 201
        assert error_fields(self.refund(merchant, payment, 500, 1100))[2] == "amount"
        assert merchant.get(f"/payments/{payment['id']}")["payments"]["amount_refunded"] == 600

    def test_an_unconfirmed_payment_cannot_be_refunded(self, merchant: GoCardlessMerchant) -> None:
        response = self.refund(merchant, merchant.payment(), 300, 300)
        assert error_fields(response)[2] == "refund_payment_invalid_state"

    def test_insufficient_balance_rejects_a_refund(self, merchant: GoCardlessMerchant) -> None:
        response = self.refund(merchant, merchant.confirmed_payment(), 301, 301)
        assert error_fields(response)[2] == "available_refund_amount_insufficient"

    def test_a_bounced_refund_is_not_counted(self, merchant: GoCardlessMerchant) -> None:
        payment = merchant.confirmed_payment()
        id = self.refund(merchant, payment, 300, 300).json()["refunds"]["id"]
        merchant.simulate("refund_paid", id).raise_for_status()
        assert merchant.status("refunds", id) == "paid"
        merchant.simulate("refund_bounced", id).raise_for_status()
        assert merchant.status("refunds", id) == "bounced"
        actions = [event["action"] for event in merchant.get(f"/events?refund={id}")["events"]]
        assert actions == ["bounced", "paid", "created"]
        assert merchant.get(f"/payments/{payment['id']}")["payments"]["amount_refunded"] == 0


class TestPagination:
    def test_lists_are_newest_first_with_cursors(self, merchant: GoCardlessMerchant) -> None:
        payment_ids = [merchant.payment()["id"] for _ in range(5)][::-1]
        first = merchant.get("/payments?limit=2")
        assert [item["id"] for item in first["payments"]] == payment_ids[:2]
        cursors = first["meta"]["cursors"]
        second = merchant.get(f"/payments?limit=2&after={cursors['after']}")
        assert [item["id"] for item in second["payments"]] == payment_ids[2:4]
        previous = merchant.get(f"/payments?limit=2&before={second['meta']['cursors']['before']}")
        assert [item["id"] for item in previous["payments"]] == payment_ids[:2]
        last = merchant.get(f"/payments?after={payment_ids[3]}")
        assert [item["id"] for item in last["payments"]] == payment_ids[4:]
        assert last["meta"]["cursors"]["after"] is None

    def test_lists_are_filtered_by_time_and_mandate(self, merchant: GoCardlessMerchant) -> None:
        first, second = merchant.payment(), merchant.payment()
        after = f"/payments?created_at[gt]={first['created_at']}"
        assert [item["id"] for item in merchant.get(after)["payments"]] == [second["id"]]
        until = f"/payments?created_at[lte]={first['created_at']}"
        assert [item["id"] for item in merchant.get(until)["payments"]] == [first["id"]]
        mandate = f"/payments?mandate={first['links']['mandate']}"
        assert [item["id"] for item in merchant.get(mandate)["payments"]] == [first["id"]]

    @pytest.mark.parametrize("query", ["limit=0", "limit=501", "created_at[gt]=yesterday"])
    def test_invalid_filters_are_rejected(self, merchant: GoCardlessMerchant, query: str) -> None:
        response = merchant.send("GET", f"/payments?{query}")
        assert error_fields(response) == (400, "invalid_api_usage", "invalid_filters")


class TestFaultsAndWebhooks:
    def test_injected_faults_apply(self, merchant: GoCardlessMerchant) -> None:
        mandate = merchant.mandate()
        body = {"amount": 1000, "currency": "EUR", "links": {"mandate": mandate}}
        fault = {"kind": "error", "count": 1, "operations": ["charge"]}
        merchant.http.post("/_control/faults", json=fault).raise_for_status()
        try:
            response = merchant.post("payments", "k1", **body)
            assert error_fields(response) == (500, "gocardless", "internal_error")
            assert merchant.post("payments", "k1", **body).status_code == 201
        finally:
            merchant.http.delete("/_control/faults")

    def test_webhooks_are_signed_and_batched(self, merchant: GoCardlessMerchant) -> None:
        payment = merchant.payment()
        eventually(
            lambda: {"created", "confirmed"} <= set(merchant.received_actions(payment["id"]))
        )
        mandate = payment["links"]["mandate"]
        eventually(lambda: "created" in merchant.received_actions(mandate))
        # The events of the mandate and of its billing request are due at the same time.
        assert any(len(webhook["events"]) > 1 for webhook in merchant.deliveries())
        assert all(
            webhook["meta"]["webhook_id"].startswith("WB") for webhook in merchant.deliveries()
        )
