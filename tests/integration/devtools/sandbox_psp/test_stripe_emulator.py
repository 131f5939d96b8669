"""The Stripe emulator: form encoding, errors, idempotency keys, and the shared ledger."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from devtools.sandbox_psp.emulators.stripe.auth import VERSION
from tests.integration.devtools.sandbox_psp.driver import MerchantClient, Sandbox, eventually

UNKNOWN_CUSTOMER = "cus_gone"


class StripeMerchant:
    """A merchant whose account uses the Stripe emulator."""

    def __init__(self, merchant: MerchantClient) -> None:
        self.merchant = merchant
        self.http = httpx.Client(
            base_url=f"{merchant.sandbox.base}/stripe/v1/",
            headers={"Authorization": f"Bearer {merchant.key}", "Stripe-Version": VERSION},
            timeout=10,
        )
        account = {
            "api_key": merchant.key,
            "webhook_secret": "whsec_stripe",
            "webhook_url": f"{merchant.sandbox.receiver.url}/{merchant.key}",
            "dialect": "stripe",
        }
        merchant.sandbox.http.put("/_control/accounts", json=account).raise_for_status()

    def post(self, path: str, key: str | None = None, /, **form: Any) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return self.http.post(path, data=form, headers=headers)

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        response: dict[str, Any] = self.http.get(path, params=params).raise_for_status().json()
        return response

    def card(self, number: str = "4242424242424242") -> dict[str, str]:
        stored = self.merchant.sandbox.http.post(
            "/_control/payment_methods", json={"api_key": self.merchant.key, "card": number}
        ).json()
        return {"payment_method": stored["id"], "customer": stored["customer"]}

    def intent(self, key: str | None = None, /, **form: Any) -> dict[str, Any]:
        values = {"amount": "1000", "currency": "eur", **self.card(), **form}
        intent: dict[str, Any] = (
            self.post("payment_intents", key, **values).raise_for_status().json()
        )
        return intent

    def confirm(self, id: str, key: str | None = None) -> httpx.Response:
        return self.post(f"payment_intents/{id}/confirm", key, off_session="true")

    def ledger(self, reference: str) -> list[tuple[str, str, str | None]]:
        response = self.merchant.sandbox.http.get(
            "/_control/ledger", params={"reference": reference}
        )
        entries = json.loads(response.text, parse_float=str)["entries"]
        return [(e["kind"], e["amount"], e["idempotency_key"]) for e in entries]

    def received_events(self) -> list[dict[str, Any]]:
        deliveries = self.merchant.sandbox.receiver.deliveries[f"/{self.merchant.key}"]
        return [json.loads(body) for _, body in deliveries]


@pytest.fixture
def stripe(sandbox: Sandbox, merchant: MerchantClient) -> Iterator[StripeMerchant]:
    stripe_merchant = StripeMerchant(merchant)
    with stripe_merchant.http:
        yield stripe_merchant
    sandbox.http.delete("/_control/faults").raise_for_status()


def error_fields(response: httpx.Response) -> tuple[int, str, str | None, str | None]:
    error = response.json()["error"]
    return response.status_code, error["type"], error.get("code"), error.get("param")


def test_a_charge_is_booked_under_its_reference_and_key(stripe: StripeMerchant) -> None:
    intent = stripe.intent("k/create", **{"metadata[reference]": "order-1"})
    assert (intent["status"], intent["latest_charge"]) == ("requires_confirmation", None)
    assert stripe.ledger("order-1") == []
    confirmed = stripe.confirm(intent["id"], "k/confirm").json()
    assert (confirmed["status"], confirmed["amount_received"]) == ("succeeded", 1000)
    assert stripe.ledger("order-1") == [("charge", "10.00", "k/confirm")]
    again = stripe.confirm(intent["id"], "k/confirm")
    assert again.json() == confirmed
    assert again.headers["Idempotent-Replayed"] == "true"
    assert stripe.ledger("order-1") == [("charge", "10.00", "k/confirm")]
    late = stripe.confirm(intent["id"], "k/other")
    assert error_fields(late) == (
        400,
        "invalid_request_error",
        "payment_intent_unexpected_state",
        None,
    )
    assert late.json()["error"]["payment_intent"]["status"] == "succeeded"


def test_an_authorization_is_captured_in_part_or_voided(stripe: StripeMerchant) -> None:
    manual = {"capture_method": "manual", "metadata[reference]": "order-2"}
    authorized = stripe.intent(**manual)
    assert stripe.confirm(authorized["id"]).json()["status"] == "requires_capture"
    form = {"amount_to_capture": "400", "metadata[capture]": "payment-2"}
    captured = stripe.post(
        f"payment_intents/{authorized['id']}/capture", "k/capture", **form
    ).json()
    assert (captured["status"], captured["amount_received"]) == ("succeeded", 400)
    assert captured["metadata"] == {"reference": "order-2", "capture": "payment-2"}
    assert stripe.ledger("payment-2") == [("capture", "4.00", "k/capture")]
    more = stripe.post(f"payment_intents/{authorized['id']}/capture", amount_to_capture="1")
    assert error_fields(more)[2] == "payment_intent_unexpected_state"

    other = stripe.intent(**{**manual, "metadata[reference]": "order-3"})
    stripe.confirm(other["id"])
    too_much = stripe.post(f"payment_intents/{other['id']}/capture", amount_to_capture="1001")
    assert error_fields(too_much) == (400, "invalid_request_error", None, "amount")
    form = {"cancellation_reason": "requested_by_customer"}
    canceled = stripe.post(f"payment_intents/{other['id']}/cancel", "k/void", **form).json()
    assert (canceled["status"], canceled["cancellation_reason"]) == (
        "canceled",
        "requested_by_customer",
    )
    assert stripe.ledger("order-3")[1:] == [("void", "10.00", "k/void")]
    again = stripe.post(f"payment_intents/{other['id']}/cancel")
    assert error_fields(again)[2] == "payment_intent_unexpected_state"


def test_an_unconfirmed_intent_can_be_cancelled(stripe: StripeMerchant) -> None:
    intent = stripe.intent()
    assert stripe.post(f"payment_intents/{intent['id']}/cancel").json()["status"] == "canceled"
    assert stripe.confirm(intent["id"]).status_code == 400


@pytest.mark.parametrize(
    ("form", "code", "param"),
    [
        ({"payment_method_types[]": "card"}, "payment_method_types_no_longer_supported", None),
        ({"amount_to_capture": "1"}, "parameter_unknown", "amount_to_capture"),
        ({"amount": "10.00"}, "parameter_invalid_integer", "amount"),
        ({"amount": "0"}, None, "amount"),
        ({"currency": "EUR"}, None, "currency"),
        ({"currency": "zzz"}, None, "currency"),
        ({"customer": UNKNOWN_CUSTOMER}, None, "payment_method"),
        ({"payment_method": "pm_gone"}, "resource_missing", "payment_method"),
        ({"capture_method": "later"}, None, "capture_method"),
        ({"metadata[a][b]": "1"}, None, "metadata[a]"),
        ({"expand[0]": "amount"}, None, "expand"),
        ({"expand[0]": "nothing"}, None, "expand"),
        ({"a]b": "1"}, None, "a]b"),
        (
            {"allowed_payment_method_types[]": "sepa_debit"},
            "payment_intent_incompatible_payment_method",
            None,
        ),
        ({"currency": "isk", "amount": "150"}, None, "amount"),
        ({"currency": "kwd", "amount": "1001"}, None, "amount"),
    ],
)
def test_invalid_parameters_are_rejected(
    stripe: StripeMerchant, form: dict[str, str], code: str | None, param: str | None
) -> None:
    values = {"amount": "1000", "currency": "eur", **stripe.card(), **form}
    status, kind, actual_code, actual_param = error_fields(stripe.post("payment_intents", **values))
    assert kind == "invalid_request_error"
    assert (status, actual_code) == (404 if code == "resource_missing" else 400, code)
    assert param is None or actual_param == param


def test_a_missing_parameter_is_named(stripe: StripeMerchant) -> None:
    missing = stripe.post("payment_intents", currency="eur")
    assert error_fields(missing) == (400, "invalid_request_error", "parameter_missing", "amount")
    unknown = stripe.http.get("payment_intents", params={"before": "x"})
    assert error_fields(unknown)[2:] == ("parameter_unknown", "before")
    nowhere = stripe.http.get("subscriptions")
    assert error_fields(nowhere)[:3] == (404, "invalid_request_error", None)
    as_json = stripe.http.post("payment_intents", json={"amount": 1})
    assert as_json.status_code == 400


def test_idempotency_keys_and_api_versions_are_checked(stripe: StripeMerchant) -> None:
    first = stripe.intent("k", **{"metadata[reference]": "a"})
    other = stripe.post("payment_intents", "k", amount="1", currency="eur")
    assert error_fields(other) == (400, "idempotency_error", None, None)
    card = stripe.card()
    wrong = stripe.post("payment_intents", "v", amount="x", currency="eur", **card)
    assert wrong.status_code == 400
    right = stripe.post("payment_intents", "v", amount="1000", currency="eur", **card)
    assert right.status_code == 200, "validation errors are not stored"
    assert right.json()["id"] != first["id"]
    old = stripe.http.get("account", headers={"Stripe-Version": "2022-11-15"})
    assert old.status_code == 400
    for authorization in ("Bearer sk_test_other", "Basic abc"):
        rejected = stripe.http.get("account", headers={"Authorization": authorization})
        assert error_fields(rejected)[:2] == (401, "invalid_request_error")


def test_a_key_in_use_conflicts(stripe: StripeMerchant) -> None:
    intent = stripe.intent(amount="1008")
    with pytest.raises(httpx.ReadTimeout):
        stripe.http.post(
            f"payment_intents/{intent['id']}/confirm",
            data={"off_session": "true"},
            headers={"Idempotency-Key": "slow"},
            timeout=0.2,
        )
    running = stripe.confirm(intent["id"], "slow")
    assert error_fields(running)[:3] == (409, "invalid_request_error", "idempotency_key_in_use")
    eventually(lambda: stripe.confirm(intent["id"], "slow").status_code == 200)


def test_a_declined_card_returns_402_with_the_intent(stripe: StripeMerchant) -> None:
    intent = stripe.intent("d", **stripe.card("4000000000009995"))
    declined = stripe.confirm(intent["id"], "d/confirm")
    assert error_fields(declined)[:3] == (402, "card_error", "card_declined")
    declined_error = declined.json()["error"]
    assert declined_error["decline_code"] == "insufficient_funds"
    assert declined_error["payment_intent"]["status"] == "requires_payment_method"
    current = stripe.get(f"payment_intents/{intent['id']}", **{"expand[0]": "latest_charge"})
    assert current["last_payment_error"]["decline_code"] == "insufficient_funds"
    assert current["latest_charge"] is None or current["latest_charge"]["status"] == "failed"
    assert stripe.confirm(intent["id"], "d/confirm").json() == declined.json()


def test_refunds_up_to_the_charged_amount(stripe: StripeMerchant) -> None:
    intent = stripe.intent()
    stripe.confirm(intent["id"])
    part = stripe.post("refunds", payment_intent=intent["id"], amount="300").json()
    assert (part["status"], part["amount"]) == ("succeeded", 300)
    too_much = stripe.post("refunds", payment_intent=intent["id"], amount="701")
    assert error_fields(too_much) == (400, "invalid_request_error", None, "amount")
    rest = stripe.post("refunds", charge=part["charge"]).json()
    assert rest["amount"] == 700
    over = stripe.post("refunds", payment_intent=intent["id"])
    assert error_fields(over)[2] == "charge_already_refunded"
    both = stripe.post("refunds", payment_intent=intent["id"], charge=part["charge"])
    assert both.status_code == 400
    listed = stripe.get("refunds", payment_intent=intent["id"])
    assert [item["id"] for item in listed["data"]] == [rest["id"], part["id"]]


def test_lists_run_from_new_to_old(stripe: StripeMerchant) -> None:
    intent_ids = [stripe.intent()["id"] for _ in range(3)]
    page = stripe.get("payment_intents", limit="2")
    assert [item["id"] for item in page["data"]] == [intent_ids[2], intent_ids[1]]
    assert page["has_more"]
    rest = stripe.get("payment_intents", limit="2", starting_after=intent_ids[1])
    assert ([item["id"] for item in rest["data"]], rest["has_more"]) == ([intent_ids[0]], False)
    newer = stripe.get("payment_intents", limit="1", ending_before=intent_ids[0])
    assert ([item["id"] for item in newer["data"]], newer["has_more"]) == ([intent_ids[1]], True)
    now = int(time.time())
    for bounds, count in (
        ({"created[gte]": now - 60, "created[lt]": now + 60}, 3),
        ({"created[lte]": now - 60}, 0),
        ({"created[gt]": now + 60}, 0),
    ):
        assert len(stripe.get("payment_intents", **bounds)["data"]) == count
    unknown = stripe.http.get("payment_intents", params={"starting_after": "pi_gone"})
    assert error_fields(unknown)[2:] == ("resource_missing", "starting_after")


def test_the_search_index_lags(stripe: StripeMerchant) -> None:
    intent = stripe.intent(**{"metadata[reference]": "o'clock"})
    query = "metadata['reference']:'o\\'clock'"
    assert stripe.get("payment_intents/search", query=query)["data"] == []
    found = eventually(lambda: stripe.get("payment_intents/search", query=query)["data"])
    assert [item["id"] for item in found] == [intent["id"]]
    unsupported = stripe.http.get("payment_intents/search", params={"query": "amount>5"})
    assert unsupported.status_code == 400


def test_a_checkout_creates_its_intent(stripe: StripeMerchant) -> None:
    form = {
        "mode": "payment",
        "success_url": "https://shop.example/ok?s={CHECKOUT_SESSION_ID}",
        "cancel_url": "https://shop.example/no",
        "client_reference_id": "order-9",
        "line_items[0][quantity]": "1",
        "line_items[0][price_data][currency]": "eur",
        "line_items[0][price_data][unit_amount]": "4990",
        "line_items[0][price_data][product_data][name]": "A year",
        "payment_intent_data[capture_method]": "manual",
        "payment_intent_data[metadata][reference]": "order-9",
    }
    session = stripe.post("checkout/sessions", **form).json()
    assert (session["status"], session["payment_intent"]) == ("open", None)
    card = {"card_number": "4242424242424242", "holder": "M", "expiry": "12/30", "cvc": "123"}
    page = httpx.get(session["url"])
    assert "A year" in page.text
    location = httpx.post(session["url"], data={"action": "pay", **card}).headers["Location"]
    assert location.startswith(f"https://shop.example/ok?s={session['id']}")
    completed = stripe.get(f"checkout/sessions/{session['id']}", **{"expand[0]": "payment_intent"})
    assert (completed["status"], completed["url"]) == ("complete", None)
    authorized = completed["payment_intent"]
    assert (authorized["status"], authorized["metadata"]) == (
        "requires_capture",
        {"reference": "order-9"},
    )
    assert stripe.ledger("order-9") == [("authorize", "49.90", None)]
    assert [item["id"] for item in stripe.get("payment_intents")["data"]] == [authorized["id"]]
    stripe.post(f"payment_intents/{authorized['id']}/capture", amount_to_capture="100")
    assert [item["id"] for item in stripe.get("payment_intents")["data"]] == [authorized["id"]]
    late = stripe.post(f"checkout/sessions/{session['id']}/expire")
    assert late.status_code == 400
    for wrong in ({"mode": "setup"}, {"line_items[0][quantity]": "0"}, {"success_url": "x"}):
        assert stripe.post("checkout/sessions", **{**form, **wrong}).status_code == 400


def test_disputes_and_balance(stripe: StripeMerchant) -> None:
    intent = stripe.intent()
    confirmed = stripe.confirm(intent["id"]).json()
    chargeback = {"charge": confirmed["latest_charge"]}
    stripe.merchant.sandbox.http.post("/_control/chargebacks", json=chargeback).raise_for_status()
    charge = stripe.get(f"charges/{confirmed['latest_charge']}")
    assert charge["disputed"]
    [dispute] = stripe.get("disputes", charge=charge["id"])["data"]
    assert (dispute["status"], dispute["amount"]) == ("needs_response", 1000)
    assert dispute["balance_transactions"][0]["amount"] == -1000
    assert stripe.get("disputes", payment_intent=intent["id"])["data"] == [dispute]
    [balance_transaction] = stripe.get("balance_transactions", type="charge")["data"]
    assert (balance_transaction["amount"], balance_transaction["source"]) == (1000, charge["id"])
    assert stripe.get("balance_transactions", type="payment")["data"] == []
    rejected = stripe.post("refunds", charge=charge["id"])
    assert error_fields(rejected)[2] == "charge_disputed"


def test_evidence_decides_a_dispute(stripe: StripeMerchant) -> None:
    intent = stripe.intent(amount="1007")  # charged back
    stripe.confirm(intent["id"])
    eventually(lambda: stripe.get("disputes", payment_intent=intent["id"])["data"])
    [dispute] = stripe.get("disputes", payment_intent=intent["id"])["data"]
    evidence = {"evidence[uncategorized_text]": "winning_evidence"}
    won = stripe.post(f"disputes/{dispute['id']}", **evidence).json()
    assert won["status"] == "won"
    withdrawn, returned = won["balance_transactions"]
    assert (withdrawn["amount"], returned["amount"]) == (-1007, 1007)
    assert (withdrawn["fee"], returned["fee"]) == (350, -350)
    assert stripe.post(f"disputes/{dispute['id']}", **evidence).status_code == 400
    assert stripe.post("disputes/dp_gone", **evidence).status_code == 404
    assert stripe.post("refunds", payment_intent=intent["id"]).status_code == 200


def test_an_empty_value_is_refused(stripe: StripeMerchant) -> None:
    response = stripe.post("customers", **{"address[line1]": ""})
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "parameter_invalid_empty")
    assert error["param"] == "address[line1]"


def test_a_setup_intent_creates_a_mandate(stripe: StripeMerchant) -> None:
    customer = stripe.post("customers", name="Mia Kern", email="mia@example.org").json()
    assert stripe.get(f"customers/{customer['id']}")["name"] == "Mia Kern"
    form = {
        "confirm": "true",
        "customer": customer["id"],
        "allowed_payment_method_types[0]": "sepa_debit",
        "payment_method_data[type]": "sepa_debit",
        "payment_method_data[sepa_debit][iban]": "DE89370400440532013000",
        "payment_method_data[billing_details][name]": "Mia Kern",
        "payment_method_data[billing_details][email]": "mia@example.org",
        "mandate_data[customer_acceptance][type]": "offline",
        "metadata[reference]": "order-7",
        "expand[0]": "mandate",
    }
    setup = stripe.post("setup_intents", **form).json()
    assert (setup["status"], setup["customer"]) == ("succeeded", customer["id"])
    assert stripe.get(f"mandates/{setup['mandate']['id']}") == setup["mandate"]
    for bound, ids in (("gte", [setup["id"]]), ("lt", [])):
        listed = stripe.get("setup_intents", **{f"created[{bound}]": setup["created"]})
        assert [item["id"] for item in listed["data"]] == ids
    method = stripe.get(f"payment_methods/{setup['payment_method']}")
    assert method["sepa_debit"]["last4"] == "3000"
    assert "DE89370400440532013000" not in json.dumps(method)
    iban = "payment_method_data[sepa_debit][iban]"
    invalid = stripe.post("setup_intents", **{**form, iban: "DE00"})
    assert error_fields(invalid) == (
        400,
        "invalid_request_error",
        "invalid_bank_account_iban",
        iban,
    )
    no_mail = {name: value for name, value in form.items() if "email" not in name}
    assert error_fields(stripe.post("setup_intents", **no_mail))[2] == "parameter_missing"
    debit = {"payment_method": method["id"], "customer": customer["id"]}
    intent = stripe.intent(**debit, **{"allowed_payment_method_types[0]": "sepa_debit"})
    assert stripe.confirm(intent["id"]).json()["status"] == "processing"
    path = f"payment_intents/{intent['id']}"
    eventually(lambda: stripe.get(path)["status"] == "succeeded")


def test_events_are_sent_and_listed(stripe: StripeMerchant) -> None:
    intent = stripe.intent(amount="1011")
    stripe.confirm(intent["id"])
    eventually(lambda: len(stripe.received_events()) >= 4)
    kinds = [event["type"] for event in stripe.received_events()]
    assert sorted(kinds) == ["payment_intent.processing", *["payment_intent.succeeded"] * 3]
    received = {event["id"]: event for event in stripe.received_events()}
    listed = stripe.get("events", limit="100")["data"]
    assert {event["id"] for event in listed} == set(received)
    for event in listed:
        assert stripe.get(f"events/{event['id']}") == event
        status = event["data"]["object"]["status"]
        assert status == event["type"].partition(".")[2]
    filtered = stripe.get("events", **{"types[0]": "payment_intent.processing"})["data"]
    assert [event["type"] for event in filtered] == ["payment_intent.processing"]


def test_injected_faults_apply(stripe: StripeMerchant) -> None:
    intent = stripe.intent(**{"metadata[reference]": "order-f"})
    for fault, status in (({"kind": "error"}, 500), ({"kind": "rate"}, 429)):
        body = {**fault, "operations": ["charge"], "count": 1}
        stripe.merchant.sandbox.http.post("/_control/faults", json=body).raise_for_status()
        response = stripe.confirm(intent["id"], "f")
        assert error_fields(response)[0] == status
    assert stripe.ledger("order-f") == []
    assert stripe.confirm(intent["id"], "f").status_code == 200
