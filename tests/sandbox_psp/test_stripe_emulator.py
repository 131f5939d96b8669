"""Stripe's dialect: its form encoding, its errors, its keys, and the same ledger behind it."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from devtools.sandbox_psp.emulators.stripe.auth import VERSION
from tests.sandbox_psp.driver import Sandbox, Shop, eventually

CUSTOMER_GONE = "cus_gone"


class StripeShop:
    """A merchant whose account speaks Stripe's dialect."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.http = httpx.Client(
            base_url=f"{shop.sandbox.base}/stripe/v1/",
            headers={"Authorization": f"Bearer {shop.key}", "Stripe-Version": VERSION},
            timeout=10,
        )
        account = {
            "api_key": shop.key,
            "webhook_secret": "whsec_dialect",
            "webhook_url": f"{shop.sandbox.receiver.url}/{shop.key}",
            "dialect": "stripe",
        }
        shop.sandbox.http.put("/_control/accounts", json=account).raise_for_status()

    def post(self, path: str, key: str | None = None, /, **form: Any) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return self.http.post(path, data=form, headers=headers)

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.http.get(path, params=params).raise_for_status().json()
        return answer

    def card(self, number: str = "4242424242424242") -> dict[str, str]:
        stored = self.shop.sandbox.http.post(
            "/_control/payment_methods", json={"api_key": self.shop.key, "card": number}
        ).json()
        return {"payment_method": stored["id"], "customer": stored["customer"]}

    def intent(self, key: str | None = None, /, **form: Any) -> dict[str, Any]:
        values = {"amount": "1000", "currency": "eur", **self.card(), **form}
        made: dict[str, Any] = self.post("payment_intents", key, **values).raise_for_status().json()
        return made

    def confirm(self, id: str, key: str | None = None) -> httpx.Response:
        return self.post(f"payment_intents/{id}/confirm", key, off_session="true")

    def ledger(self, reference: str) -> list[tuple[str, str, str | None]]:
        answer = self.shop.sandbox.http.get("/_control/ledger", params={"reference": reference})
        entries = json.loads(answer.text, parse_float=str)["entries"]
        return [(e["kind"], e["amount"], e["idempotency_key"]) for e in entries]

    def told(self) -> list[dict[str, Any]]:
        inbox = self.shop.sandbox.receiver.inbox[f"/{self.shop.key}"]
        return [json.loads(body) for _, body in inbox]


@pytest.fixture
def stripe(sandbox: Sandbox, shop: Shop) -> Iterator[StripeShop]:
    made = StripeShop(shop)
    with made.http:
        yield made
    sandbox.http.delete("/_control/faults").raise_for_status()


def error(answer: httpx.Response) -> tuple[int, str, str | None, str | None]:
    said = answer.json()["error"]
    return answer.status_code, said["type"], said.get("code"), said.get("param")


def test_money_is_taken_under_our_reference_and_key(stripe: StripeShop) -> None:
    made = stripe.intent("k/create", **{"metadata[reference]": "order-1"})
    assert (made["status"], made["latest_charge"]) == ("requires_confirmation", None)
    assert stripe.ledger("order-1") == []
    done = stripe.confirm(made["id"], "k/confirm").json()
    assert (done["status"], done["amount_received"]) == ("succeeded", 1000)
    assert stripe.ledger("order-1") == [("charge", "10.00", "k/confirm")]
    again = stripe.confirm(made["id"], "k/confirm")
    assert again.json() == done
    assert again.headers["Idempotent-Replayed"] == "true"
    assert stripe.ledger("order-1") == [("charge", "10.00", "k/confirm")]
    late = stripe.confirm(made["id"], "k/other")
    assert error(late) == (400, "invalid_request_error", "payment_intent_unexpected_state", None)
    assert late.json()["error"]["payment_intent"]["status"] == "succeeded"


def test_a_reservation_is_captured_in_part_or_given_back(stripe: StripeShop) -> None:
    manual = {"capture_method": "manual", "metadata[reference]": "order-2"}
    held = stripe.intent(**manual)
    assert stripe.confirm(held["id"]).json()["status"] == "requires_capture"
    form = {"amount_to_capture": "400", "metadata[capture]": "payment-2"}
    taken = stripe.post(f"payment_intents/{held['id']}/capture", "k/capture", **form).json()
    assert (taken["status"], taken["amount_received"]) == ("succeeded", 400)
    assert taken["metadata"] == {"reference": "order-2", "capture": "payment-2"}
    assert stripe.ledger("payment-2") == [("capture", "4.00", "k/capture")]
    more = stripe.post(f"payment_intents/{held['id']}/capture", amount_to_capture="1")
    assert error(more)[2] == "payment_intent_unexpected_state"

    other = stripe.intent(**{**manual, "metadata[reference]": "order-3"})
    stripe.confirm(other["id"])
    too_much = stripe.post(f"payment_intents/{other['id']}/capture", amount_to_capture="1001")
    assert error(too_much) == (400, "invalid_request_error", None, "amount")
    form = {"cancellation_reason": "requested_by_customer"}
    given = stripe.post(f"payment_intents/{other['id']}/cancel", "k/void", **form).json()
    assert (given["status"], given["cancellation_reason"]) == ("canceled", "requested_by_customer")
    assert stripe.ledger("order-3")[1:] == [("void", "10.00", "k/void")]
    again = stripe.post(f"payment_intents/{other['id']}/cancel")
    assert error(again)[2] == "payment_intent_unexpected_state"


def test_what_was_never_confirmed_can_be_given_up(stripe: StripeShop) -> None:
    made = stripe.intent()
    assert stripe.post(f"payment_intents/{made['id']}/cancel").json()["status"] == "canceled"
    assert stripe.confirm(made["id"]).status_code == 400


@pytest.mark.parametrize(
    ("form", "code", "param"),
    [
        ({"payment_method_types[]": "card"}, "payment_method_types_no_longer_supported", None),
        ({"amount_to_capture": "1"}, "parameter_unknown", "amount_to_capture"),
        ({"amount": "10.00"}, "parameter_invalid_integer", "amount"),
        ({"amount": "0"}, None, "amount"),
        ({"currency": "EUR"}, None, "currency"),
        ({"currency": "zzz"}, None, "currency"),
        ({"customer": CUSTOMER_GONE}, None, "payment_method"),
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
def test_parameters_are_checked(
    stripe: StripeShop, form: dict[str, str], code: str | None, param: str | None
) -> None:
    values = {"amount": "1000", "currency": "eur", **stripe.card(), **form}
    status, kind, said, about = error(stripe.post("payment_intents", **values))
    assert kind == "invalid_request_error"
    assert (status, said) == (404 if code == "resource_missing" else 400, code)
    assert param is None or about == param


def test_a_missing_parameter_is_named(stripe: StripeShop) -> None:
    missing = stripe.post("payment_intents", currency="eur")
    assert error(missing) == (400, "invalid_request_error", "parameter_missing", "amount")
    unknown = stripe.http.get("payment_intents", params={"before": "x"})
    assert error(unknown)[2:] == ("parameter_unknown", "before")
    nowhere = stripe.http.get("subscriptions")
    assert error(nowhere)[:3] == (404, "invalid_request_error", None)
    as_json = stripe.http.post("payment_intents", json={"amount": 1})
    assert as_json.status_code == 400


def test_keys_and_versions(stripe: StripeShop) -> None:
    first = stripe.intent("k", **{"metadata[reference]": "a"})
    other = stripe.post("payment_intents", "k", amount="1", currency="eur")
    assert error(other) == (400, "idempotency_error", None, None)
    card = stripe.card()
    wrong = stripe.post("payment_intents", "v", amount="x", currency="eur", **card)
    assert wrong.status_code == 400
    right = stripe.post("payment_intents", "v", amount="1000", currency="eur", **card)
    assert right.status_code == 200, "what fails validation is not stored"
    assert right.json()["id"] != first["id"]
    old = stripe.http.get("account", headers={"Stripe-Version": "2022-11-15"})
    assert old.status_code == 400
    for given in ("Bearer sk_test_other", "Basic abc"):
        refused = stripe.http.get("account", headers={"Authorization": given})
        assert error(refused)[:2] == (401, "invalid_request_error")


def test_a_key_in_use_conflicts(stripe: StripeShop) -> None:
    made = stripe.intent(amount="1008")
    with pytest.raises(httpx.ReadTimeout):
        stripe.http.post(
            f"payment_intents/{made['id']}/confirm",
            data={"off_session": "true"},
            headers={"Idempotency-Key": "slow"},
            timeout=0.2,
        )
    running = stripe.confirm(made["id"], "slow")
    assert error(running)[:3] == (409, "invalid_request_error", "idempotency_key_in_use")
    eventually(lambda: stripe.confirm(made["id"], "slow").status_code == 200)


def test_a_declined_card(stripe: StripeShop) -> None:
    made = stripe.intent("d", **stripe.card("4000000000009995"))
    declined = stripe.confirm(made["id"], "d/confirm")
    assert error(declined)[:3] == (402, "card_error", "card_declined")
    said = declined.json()["error"]
    assert said["decline_code"] == "insufficient_funds"
    assert said["payment_intent"]["status"] == "requires_payment_method"
    found = stripe.get(f"payment_intents/{made['id']}", **{"expand[0]": "latest_charge"})
    assert found["last_payment_error"]["decline_code"] == "insufficient_funds"
    assert found["latest_charge"] is None or found["latest_charge"]["status"] == "failed"
    assert stripe.confirm(made["id"], "d/confirm").json() == declined.json()


def test_refunds(stripe: StripeShop) -> None:
    made = stripe.intent()
    stripe.confirm(made["id"])
    part = stripe.post("refunds", payment_intent=made["id"], amount="300").json()
    assert (part["status"], part["amount"]) == ("succeeded", 300)
    too_much = stripe.post("refunds", payment_intent=made["id"], amount="701")
    assert error(too_much) == (400, "invalid_request_error", None, "amount")
    rest = stripe.post("refunds", charge=part["charge"]).json()
    assert rest["amount"] == 700
    over = stripe.post("refunds", payment_intent=made["id"])
    assert error(over)[2] == "charge_already_refunded"
    both = stripe.post("refunds", payment_intent=made["id"], charge=part["charge"])
    assert both.status_code == 400
    listed = stripe.get("refunds", payment_intent=made["id"])
    assert [one["id"] for one in listed["data"]] == [rest["id"], part["id"]]


def test_lists_run_from_new_to_old(stripe: StripeShop) -> None:
    made = [stripe.intent()["id"] for _ in range(3)]
    page = stripe.get("payment_intents", limit="2")
    assert [one["id"] for one in page["data"]] == [made[2], made[1]]
    assert page["has_more"]
    rest = stripe.get("payment_intents", limit="2", starting_after=made[1])
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == ([made[0]], False)
    newer = stripe.get("payment_intents", limit="1", ending_before=made[0])
    assert ([one["id"] for one in newer["data"]], newer["has_more"]) == ([made[1]], True)
    now = int(time.time())
    for bounds, count in (
        ({"created[gte]": now - 60, "created[lt]": now + 60}, 3),
        ({"created[lte]": now - 60}, 0),
        ({"created[gt]": now + 60}, 0),
    ):
        assert len(stripe.get("payment_intents", **bounds)["data"]) == count
    gone = stripe.http.get("payment_intents", params={"starting_after": "pi_gone"})
    assert error(gone)[2:] == ("resource_missing", "starting_after")


def test_the_search_lags(stripe: StripeShop) -> None:
    made = stripe.intent(**{"metadata[reference]": "o'clock"})
    query = "metadata['reference']:'o\\'clock'"
    assert stripe.get("payment_intents/search", query=query)["data"] == []
    found = eventually(lambda: stripe.get("payment_intents/search", query=query)["data"])
    assert [one["id"] for one in found] == [made["id"]]
    odd = stripe.http.get("payment_intents/search", params={"query": "amount>5"})
    assert odd.status_code == 400


def test_a_checkout_makes_its_intent(stripe: StripeShop) -> None:
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
    opened = stripe.post("checkout/sessions", **form).json()
    assert (opened["status"], opened["payment_intent"]) == ("open", None)
    card = {"card_number": "4242424242424242", "holder": "M", "expiry": "12/30", "cvc": "123"}
    page = httpx.get(opened["url"])
    assert "A year" in page.text
    back = httpx.post(opened["url"], data={"action": "pay", **card}).headers["Location"]
    assert back.startswith(f"https://shop.example/ok?s={opened['id']}")
    done = stripe.get(f"checkout/sessions/{opened['id']}", **{"expand[0]": "payment_intent"})
    assert (done["status"], done["url"]) == ("complete", None)
    held = done["payment_intent"]
    assert (held["status"], held["metadata"]) == ("requires_capture", {"reference": "order-9"})
    assert stripe.ledger("order-9") == [("authorize", "49.90", None)]
    assert [one["id"] for one in stripe.get("payment_intents")["data"]] == [held["id"]]
    stripe.post(f"payment_intents/{held['id']}/capture", amount_to_capture="100")
    assert [one["id"] for one in stripe.get("payment_intents")["data"]] == [held["id"]]
    late = stripe.post(f"checkout/sessions/{opened['id']}/expire")
    assert late.status_code == 400
    for wrong in ({"mode": "setup"}, {"line_items[0][quantity]": "0"}, {"success_url": "x"}):
        assert stripe.post("checkout/sessions", **{**form, **wrong}).status_code == 400


def test_disputes_and_balance(stripe: StripeShop) -> None:
    made = stripe.intent()
    done = stripe.confirm(made["id"]).json()
    lever = {"charge": done["latest_charge"]}
    stripe.shop.sandbox.http.post("/_control/chargebacks", json=lever).raise_for_status()
    charge = stripe.get(f"charges/{done['latest_charge']}")
    assert charge["disputed"]
    [dispute] = stripe.get("disputes", charge=charge["id"])["data"]
    assert (dispute["status"], dispute["amount"]) == ("needs_response", 1000)
    assert dispute["balance_transactions"][0]["amount"] == -1000
    assert stripe.get("disputes", payment_intent=made["id"])["data"] == [dispute]
    [moved] = stripe.get("balance_transactions", type="charge")["data"]
    assert (moved["amount"], moved["source"]) == (1000, charge["id"])
    assert stripe.get("balance_transactions", type="payment")["data"] == []
    refused = stripe.post("refunds", charge=charge["id"])
    assert error(refused)[2] == "charge_disputed"


def test_a_mandate_is_signed(stripe: StripeShop) -> None:
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
    method = stripe.get(f"payment_methods/{setup['payment_method']}")
    assert method["sepa_debit"]["last4"] == "3000"
    assert "DE89370400440532013000" not in json.dumps(method)
    iban = "payment_method_data[sepa_debit][iban]"
    wrong = stripe.post("setup_intents", **{**form, iban: "DE00"})
    assert error(wrong) == (400, "invalid_request_error", "invalid_bank_account_iban", iban)
    no_mail = {name: value for name, value in form.items() if "email" not in name}
    assert error(stripe.post("setup_intents", **no_mail))[2] == "parameter_missing"
    debit = {"payment_method": method["id"], "customer": customer["id"]}
    made = stripe.intent(**debit, **{"allowed_payment_method_types[0]": "sepa_debit"})
    assert stripe.confirm(made["id"]).json()["status"] == "processing"
    look = f"payment_intents/{made['id']}"
    eventually(lambda: stripe.get(look)["status"] == "succeeded")


def test_events_are_told_and_listed(stripe: StripeShop) -> None:
    made = stripe.intent(amount="1011")
    stripe.confirm(made["id"])
    eventually(lambda: len(stripe.told()) >= 4)
    kinds = [event["type"] for event in stripe.told()]
    assert sorted(kinds) == ["payment_intent.processing", *["payment_intent.succeeded"] * 3]
    told = {event["id"]: event for event in stripe.told()}
    listed = stripe.get("events", limit="100")["data"]
    assert {event["id"] for event in listed} == set(told)
    for event in listed:
        assert stripe.get(f"events/{event['id']}") == event
        status = event["data"]["object"]["status"]
        assert status == event["type"].partition(".")[2]
    only = stripe.get("events", **{"types[0]": "payment_intent.processing"})["data"]
    assert [event["type"] for event in only] == ["payment_intent.processing"]


def test_faults_strike_here_too(stripe: StripeShop) -> None:
    made = stripe.intent(**{"metadata[reference]": "order-f"})
    for fault, status in (({"kind": "error"}, 500), ({"kind": "rate"}, 429)):
        body = {**fault, "operations": ["charge"], "count": 1}
        stripe.shop.sandbox.http.post("/_control/faults", json=body).raise_for_status()
        struck = stripe.confirm(made["id"], "f")
        assert error(struck)[0] == status
    assert stripe.ledger("order-f") == []
    assert stripe.confirm(made["id"], "f").status_code == 200
