"""The sandbox PSP's emulator of Billwerk+ Pay."""

import hashlib
import hmac
import json
import secrets
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import httpx
import pytest

from tests.integration.devtools.sandbox_psp.driver import VALID_CARD, Sandbox, eventually

API = CHECKOUT = "/billwerk_pay/v1"
INSUFFICIENT_FUNDS, CARD_EXPIRED, PENDING_SUCCEEDS, PENDING_FAILS, CHARGED_BACK = 1, 2, 5, 6, 7


class BillwerkMerchant:
    """A merchant whose account uses the Billwerk+ Pay emulator."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.http = sandbox.http
        self.key = f"priv_{secrets.token_hex(8)}"
        self.secret = secrets.token_hex(8)
        self.path = f"/{self.key}"
        account = {
            "api_key": self.key,
            "webhook_secret": self.secret,
            "webhook_url": sandbox.receiver.url + self.path,
            "dialect": "billwerk_pay",
        }
        self.http.put("/_control/accounts", json=account).raise_for_status()

    def send(self, method: str, path: str, **content: Any) -> httpx.Response:
        return self.http.request(method, path, auth=(self.key, ""), **content)

    def get(self, path: str, **params: Any) -> Any:
        return self.send("GET", f"{API}/{path}", params=params).raise_for_status().json()

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.send("POST", f"{API}/{path}", json=body)

    def card(self, number: str = VALID_CARD) -> tuple[str, str]:
        """Store a card and return its id and its customer."""
        body = {"api_key": self.key, "card": number}
        stored = self.http.post("/_control/payment_methods", json=body).raise_for_status().json()
        return stored["id"].replace("pm_", "ca_"), stored["customer"]

    def charge(self, amount: int, *, settle: bool = True, **more: Any) -> dict[str, Any]:
        body = {
            "handle": new_handle(),
            "key": secrets.token_hex(8),
            "amount": amount,
            "currency": "EUR",
            "source": more.pop("source", None) or self.card()[0],
            "settle": settle,
            **more,
        }
        charge: dict[str, Any] = self.post("charge", **body).raise_for_status().json()
        return charge

    def create_page(self, amount: int = 11900, **order: Any) -> dict[str, Any]:
        handle = new_handle()
        body = {
            "accept_url": "https://shop.example/ok?order=1",
            "cancel_url": "https://shop.example/no",
            "order": {
                "handle": handle,
                "key": f"key {handle}",
                "amount": amount,
                "currency": "EUR",
                "customer": {"handle": f"cust-{handle}", "email": "mia@example.org"},
                **order,
            },
            "recurring": True,
        }
        response = self.send("POST", f"{CHECKOUT}/session/charge", json=body).raise_for_status()
        return {**response.json(), "handle": handle, "body": body}

    def pay_page(self, url: str, number: str = VALID_CARD) -> tuple[str, dict[str, list[str]]]:
        """Pay; return the customer's destination and its query."""
        card = {"card_number": number, "holder": "Mia Kern", "expiry": "12/30", "cvc": "123"}
        response = self.http.post(url, data={"action": "pay", **card})
        location = self.http.get(response.headers["location"]).headers["location"]
        return location.partition("?")[0], parse_qs(urlsplit(location).query)

    def ledger(self, reference: str) -> list[tuple[str, Decimal, str | None]]:
        response = self.http.get("/_control/ledger", params={"reference": reference})
        entries = json.loads(response.text, parse_float=Decimal)["entries"]
        return [(e["kind"], e["amount"], e["idempotency_key"]) for e in entries]

    def received_events(self, event_type: str) -> list[dict[str, Any]]:
        """Return the webhooks of one type after verifying their signatures."""
        events = []
        for _, content in list(self.sandbox.receiver.deliveries[self.path]):
            body = json.loads(content)
            signed = f"{body['timestamp']}{body['id']}".encode()
            digest = hmac.new(self.secret.encode(), signed, hashlib.sha256).hexdigest()
            assert body["signature"] == digest
            assert not {"state", "amount"} & set(body)
            if body["event_type"] == event_type:
                events.append(body)
        return events


@pytest.fixture
def merchant(sandbox: Sandbox) -> BillwerkMerchant:
    return BillwerkMerchant(sandbox)


def new_handle() -> str:
    return f"order-{secrets.token_hex(6)}"


def error_fields(response: httpx.Response) -> tuple[int, int]:
    body = response.json()
    assert body["http_status"] == response.status_code
    assert {"code", "error", "http_reason", "path", "timestamp", "request_id"} <= set(body)
    return response.status_code, body["code"]


class TestAccount:
    def test_requires_basic_authentication(self, merchant: BillwerkMerchant) -> None:
        assert merchant.get("account")["timezone"] == "Europe/Copenhagen"
        for auth in (("priv_wrong", ""), (merchant.key, "password")):
            assert error_fields(merchant.http.get(f"{API}/account", auth=auth)) == (401, 3)
        assert error_fields(merchant.http.get(f"{API}/account")) == (401, 3)

    def test_shows_the_webhook_secret(self, merchant: BillwerkMerchant) -> None:
        settings = merchant.get("account/webhook_settings")
        assert (settings["secret"], settings["disabled"]) == (merchant.secret, False)

    def test_objects_of_other_accounts_are_not_found(
        self, merchant: BillwerkMerchant, sandbox: Sandbox
    ) -> None:
        charge = merchant.charge(5000)
        other = BillwerkMerchant(sandbox)
        assert error_fields(other.send("GET", f"{API}/charge/{charge['handle']}")) == (404, 8)
        card, _ = merchant.card()
        body = {"handle": new_handle(), "amount": 1, "currency": "EUR", "source": card}
        assert error_fields(other.post("charge", **body)) == (404, 40)


class TestRequests:
    @pytest.mark.parametrize(
        "change",
        [
            {"ammount": 1},
            {"amount": "5000"},
            {"amount": 50.5},
            {"amount": 0},
            {"handle": "a/b"},
            {"currency": "eur"},
            {"settle": "perhaps"},
            {"currency": "JPY", "amount": 50},
        ],
    )
    def test_invalid_bodies_are_rejected(
        self, merchant: BillwerkMerchant, change: dict[str, Any]
    ) -> None:
        card, _ = merchant.card()
        body = {"handle": new_handle(), "amount": 5000, "currency": "EUR", "source": card, **change}
        assert error_fields(merchant.post("charge", **body)) == (422, 1)

    def test_unknown_parameters_and_paths_are_rejected(self, merchant: BillwerkMerchant) -> None:
        assert error_fields(merchant.send("GET", f"{API}/list/charge?form=2026")) == (422, 1)
        assert error_fields(merchant.send("GET", f"{API}/charge")) == (405, 1)
        assert error_fields(merchant.send("GET", f"{API}/nowhere")) == (404, 8)


class TestCharge:
    def test_one_charge_per_handle(self, merchant: BillwerkMerchant) -> None:
        card, customer = merchant.card()
        body: dict[str, Any] = {
            "handle": new_handle(),
            "key": "one",
            "amount": 5000,
            "currency": "EUR",
            "source": card,
            "customer_handle": customer,
            "settle": True,
        }
        first = merchant.post("charge", **body).json()
        assert (first["state"], first["amount"], first["customer"]) == ("settled", 5000, customer)
        assert merchant.post("charge", **body).json() == first
        assert error_fields(merchant.post("charge", **{**body, "key": "two"})) == (400, 79)
        assert merchant.ledger(body["handle"]) == [("charge", Decimal("50.00"), "one")]
        other = {**body, "handle": new_handle(), "customer_handle": "other-customer"}
        assert error_fields(merchant.post("charge", **other)) == (400, 99)

    @pytest.mark.parametrize(
        ("ending", "error", "state"),
        [
            (INSUFFICIENT_FUNDS, "insufficient_funds", "soft_declined"),
            (CARD_EXPIRED, "credit_card_expired", "hard_declined"),
        ],
    )
    def test_a_decline_returns_http_200(
        self, merchant: BillwerkMerchant, ending: int, error: str, state: str
    ) -> None:
        charge = merchant.charge(5000 + ending)
        assert (charge["state"], charge["error"], charge["error_state"]) == ("failed", error, state)
        [transaction] = merchant.get(f"invoice/{charge['handle']}")["transactions"]
        assert (transaction["state"], transaction["card_transaction"]["error"]) == ("failed", error)
        again = merchant.charge(5000, handle=charge["handle"], source=charge["source"]["card"])
        assert again["state"] == "settled"

    @pytest.mark.parametrize(
        ("ending", "state"), [(PENDING_SUCCEEDS, "settled"), (PENDING_FAILS, "failed")]
    )
    def test_a_pending_charge_is_decided_later(
        self, merchant: BillwerkMerchant, ending: int, state: str
    ) -> None:
        charge = merchant.charge(5000 + ending)
        assert (charge["state"], charge["processing"]) == ("pending", True)
        eventually(lambda: merchant.get(f"charge/{charge['handle']}")["state"] == state)

    @pytest.mark.parametrize(
        ("currency", "units", "amount"), [("JPY", 499000, "4990"), ("BHD", 49905, "49.905")]
    )
    def test_amounts_use_billwerk_units(
        self, merchant: BillwerkMerchant, currency: str, units: int, amount: str
    ) -> None:
        charge = merchant.charge(units, currency=currency)
        assert charge["amount"] == units
        assert [entry[1] for entry in merchant.ledger(charge["handle"])] == [Decimal(amount)]

    def test_injected_faults_apply(self, merchant: BillwerkMerchant, sandbox: Sandbox) -> None:
        card, _ = merchant.card()
        body: dict[str, Any] = {
            "handle": new_handle(),
            "key": "k",
            "amount": 5000,
            "currency": "EUR",
            "source": card,
        }
        fault = {"kind": "rate", "operations": ["authorize"], "count": 1, "seconds": 3}
        sandbox.http.post("/_control/faults", json=fault).raise_for_status()
        response = merchant.post("charge", **body)
        assert error_fields(response) == (429, 122)
        assert response.headers["Retry-After"] == "3"
        fault = {"kind": "error", "operations": ["authorize"], "count": 1, "when": "after"}
        sandbox.http.post("/_control/faults", json=fault).raise_for_status()
        assert error_fields(merchant.post("charge", **body)) == (500, 2)
        assert merchant.post("charge", **body).json()["state"] == "authorized"
        assert len(merchant.ledger(body["handle"])) == 1


class TestAuthorization:
    def test_is_settled_once_in_part(self, merchant: BillwerkMerchant) -> None:
        authorized = merchant.charge(11900, settle=False)
        assert (authorized["state"], authorized["authorized_amount"]) == ("authorized", 11900)
        path = f"charge/{authorized['handle']}/settle"
        assert error_fields(merchant.post(path, key="k", amount=12000)) == (400, 102)
        settled = merchant.post(path, key="k", amount=5000, ordertext="Plan [own-1]").json()
        assert (settled["state"], settled["amount"]) == ("settled", 5000)
        assert settled["order_lines"][0]["ordertext"] == "Plan [own-1]"
        assert merchant.post(path, key="k", amount=5000).json() == settled
        assert error_fields(merchant.post(path, key="other", amount=5000)) == (400, 79)
        assert merchant.ledger("own-1") == [("capture", Decimal("50.00"), "k")]
        kinds = [t["type"] for t in merchant.get(f"invoice/{authorized['handle']}")["transactions"]]
        assert kinds == ["authorization", "settle"]

    def test_a_declined_settle_keeps_the_authorization(self, merchant: BillwerkMerchant) -> None:
        authorized = merchant.charge(11900, settle=False)
        path = f"charge/{authorized['handle']}/settle"
        response = merchant.post(path, key="k", amount=5000 + INSUFFICIENT_FUNDS).json()
        assert (response["state"], response["error"]) == ("authorized", "insufficient_funds")
        assert "error" not in merchant.get(f"charge/{authorized['handle']}")
        assert merchant.post(path, key="k2", amount=5000).json()["state"] == "settled"

    def test_can_be_cancelled_once(self, merchant: BillwerkMerchant) -> None:
        authorized = merchant.charge(11900, settle=False)
        path = f"charge/{authorized['handle']}"
        assert merchant.post(f"{path}/cancel").json()["state"] == "cancelled"
        assert error_fields(merchant.post(f"{path}/cancel")) == (400, 29)
        assert error_fields(merchant.post(f"{path}/settle", key="k")) == (400, 29)
        kinds = [kind for kind, _, _ in merchant.ledger(authorized["handle"])]
        assert kinds == ["authorize", "void"]
        eventually(lambda: merchant.received_events("invoice_cancelled"))

    def test_a_failed_charge_cannot_be_settled_or_cancelled(
        self, merchant: BillwerkMerchant
    ) -> None:
        charge = merchant.charge(5000 + INSUFFICIENT_FUNDS)
        for action in ("settle", "cancel"):
            assert error_fields(merchant.post(f"charge/{charge['handle']}/{action}")) == (400, 106)


class TestRefund:
    def test_a_refund_creates_a_credit_note(self, merchant: BillwerkMerchant) -> None:
        charge = merchant.charge(5000)
        body = {"invoice": charge["handle"], "key": "k", "amount": 2000, "text": "Sorry [own-2]"}
        refund = merchant.post("refund", **body).json()
        assert (refund["state"], refund["amount"]) == ("refunded", 2000)
        assert refund["transaction"] == refund["id"]
        assert merchant.post("refund", **body).json() == refund
        assert merchant.get(f"refund/{refund['id']}") == refund
        assert merchant.ledger("own-2") == [("refund", Decimal("20.00"), "k")]
        [note] = merchant.get(f"invoice/{charge['handle']}")["credit_notes"]
        assert (note["transaction"], note["id"]) == (refund["id"], refund["credit_note_id"])
        assert note["credit_note_lines"][0]["text"] == "Sorry [own-2]"
        beyond = {"invoice": charge["handle"], "key": "k2", "amount": 3001}
        assert error_fields(merchant.post("refund", **beyond)) == (400, 65)
        rest = merchant.post("refund", invoice=charge["handle"], key="k3").json()
        assert rest["amount"] == 3000
        assert merchant.get(f"charge/{charge['handle']}")["refunded_amount"] == 5000

    def test_an_unsettled_charge_cannot_be_refunded(self, merchant: BillwerkMerchant) -> None:
        authorized = merchant.charge(5000, settle=False)
        assert error_fields(merchant.post("refund", invoice=authorized["handle"])) == (400, 64)

    def test_a_declined_refund_returns_http_200(self, merchant: BillwerkMerchant) -> None:
        charge = merchant.charge(5000)
        refund = merchant.post(
            "refund", invoice=charge["handle"], amount=2000 + INSUFFICIENT_FUNDS
        ).json()
        assert (refund["state"], refund["error"]) == ("failed", "insufficient_funds")
        assert merchant.get(f"invoice/{charge['handle']}")["credit_notes"] == []


class TestHostedPage:
    def test_returns_with_the_created_ids(self, merchant: BillwerkMerchant) -> None:
        page = merchant.create_page()
        location, query = merchant.pay_page(page["url"])
        assert location == "https://shop.example/ok"
        charge = merchant.get(f"charge/{page['handle']}")
        assert query == {
            "order": ["1"],
            "id": [page["id"]],
            "customer": [f"cust-{page['handle']}"],
            "invoice": [page["handle"]],
            "payment_method": [charge["recurring_payment_method"]],
        }
        assert (charge["state"], charge["source"]["exp_date"]) == ("authorized", "12-30")
        method = merchant.get(f"payment_method/{charge['recurring_payment_method']}")
        assert (method["customer"], method["reference"]) == (query["customer"][0], page["id"])
        [card] = merchant.get(f"customer/{query['customer'][0]}/payment_method")["cards"]
        assert (card["id"], card["card_type"]) == (method["id"], "visa")

    def test_one_page_per_key_and_none_for_a_paid_handle(self, merchant: BillwerkMerchant) -> None:
        page = merchant.create_page()
        again = merchant.send("POST", f"{CHECKOUT}/session/charge", json=page["body"])
        assert again.json()["id"] == page["id"]
        merchant.pay_page(page["url"])
        body = {**page["body"], "order": {**page["body"]["order"], "key": "another"}}
        assert error_fields(merchant.send("POST", f"{CHECKOUT}/session/charge", json=body)) == (
            400,
            105,
        )

    def test_stores_a_card(self, merchant: BillwerkMerchant) -> None:
        name = new_handle()
        body = {
            "accept_url": "https://shop.example/ok",
            "cancel_url": "https://shop.example/no",
            "currency": "EUR",
            "create_customer": {"handle": name},
        }
        path = f"{CHECKOUT}/session/recurring"
        session = merchant.send("POST", path, json=body).raise_for_status().json()
        _, query = merchant.pay_page(session["url"])
        assert "invoice" not in query
        [event] = eventually(lambda: merchant.received_events("customer_payment_method_added"))
        assert (event["customer"], [event["payment_method"]]) == (name, query["payment_method"])
        del body["create_customer"]
        assert error_fields(merchant.send("POST", path, json=body)) == (400, 18)

    def test_a_declined_card_leads_to_the_cancel_url(self, merchant: BillwerkMerchant) -> None:
        page = merchant.create_page()
        location, query = merchant.pay_page(page["url"], "4000000000009995")
        assert location == "https://shop.example/no"
        assert query["error"] == ["insufficient_funds"]
        charge = merchant.get(f"charge/{page['handle']}")
        assert (charge["state"], charge["error"]) == ("failed", "insufficient_funds")

    def test_session_info_ends_with_deletion(self, merchant: BillwerkMerchant) -> None:
        page = merchant.create_page()
        info = merchant.send("GET", f"{CHECKOUT}/session_info/{page['id']}").json()
        assert datetime.fromisoformat(info["expires"]) > datetime.now(UTC)
        related = f"{CHECKOUT}/session_info/charge/{page['handle']}"
        assert [item["id"] for item in merchant.send("GET", related).json()] == [page["id"]]
        merchant.send("DELETE", f"{CHECKOUT}/session/{page['id']}").raise_for_status()
        deleted = merchant.send("GET", f"{CHECKOUT}/session_info/{page['id']}")
        assert error_fields(deleted) == (404, 8)
        assert merchant.send("GET", related).json() == []
        assert merchant.http.get(page["url"]).status_code == 200
        assert merchant.get(f"charge/{page['handle']}")["state"] == "created"


class TestWebhooks:
    def test_webhooks_contain_only_ids(self, merchant: BillwerkMerchant) -> None:
        charge = merchant.charge(5000)
        [event] = eventually(lambda: merchant.received_events("invoice_settled"))
        assert (event["invoice"], event["transaction"]) == (charge["handle"], charge["transaction"])
        listed = merchant.get("event", invoice=charge["handle"])["content"]
        assert [(item["id"], item["event_type"]) for item in listed] == [
            (event["event_id"], "invoice_settled")
        ]

    def test_events_of_a_capture_name_the_handle(self, merchant: BillwerkMerchant) -> None:
        authorized = merchant.charge(5000, settle=False)
        settled = merchant.post(f"charge/{authorized['handle']}/settle", key="k").json()
        [event] = eventually(lambda: merchant.received_events("invoice_settled"))
        assert (event["invoice"], event["transaction"]) == (
            authorized["handle"],
            settled["transaction"],
        )
        refund = merchant.post("refund", invoice=authorized["handle"], key="r").json()
        [event] = eventually(lambda: merchant.received_events("invoice_refund"))
        assert (event["invoice"], event["transaction"]) == (authorized["handle"], refund["id"])

    def test_retries_keep_the_timestamp(self, merchant: BillwerkMerchant, sandbox: Sandbox) -> None:
        sandbox.receiver.failures_left[merchant.path] = 1
        merchant.charge(5000)
        first, second = eventually(
            lambda: (events := merchant.received_events("invoice_settled"))[1:] and events
        )
        assert first == second

    def test_a_chargeback_has_no_event(self, merchant: BillwerkMerchant) -> None:
        charge = merchant.charge(5000 + CHARGED_BACK)
        dispute = eventually(lambda: merchant.get("list/dispute")["content"])[0]
        assert (dispute["invoice"], dispute["outcome"], dispute["outcome_amount"]) == (
            charge["handle"],
            "customer_favor_chargeback",
            5007,
        )
        eventually(lambda: merchant.received_events("invoice_settled"))
        types = {event["event_type"] for event in merchant.get("event")["content"]}
        assert types == {"invoice_settled"}


class TestPagination:
    def local(self, at: datetime) -> str:
        local_time = at.astimezone(ZoneInfo("Europe/Copenhagen")).replace(tzinfo=None)
        return local_time.isoformat(timespec="milliseconds")

    def test_lists_use_local_time_newest_first(self, merchant: BillwerkMerchant) -> None:
        first = merchant.charge(5000)
        authorized = merchant.charge(6000, settle=False)
        merchant.post("refund", invoice=first["handle"], key="r", amount=1000)
        transactions = merchant.get("list/transaction")["content"]
        assert [item["type"] for item in transactions] == ["refund", "authorization", "settle"]
        assert transactions[0]["card_transaction"]["ref_transaction"] == first["transaction"]
        at = datetime.fromisoformat(transactions[1]["created"])
        since, until = self.local(at), self.local(at + timedelta(milliseconds=1))
        [listed] = merchant.get("list/transaction", **{"from": since, "to": until})["content"]
        assert (listed["invoice"], listed["id"]) == (
            authorized["handle"],
            authorized["transaction"],
        )
        assert merchant.get("list/transaction", to=since)["content"] == [transactions[2]]

    def test_offsets_and_invalid_sizes_are_rejected(self, merchant: BillwerkMerchant) -> None:
        for params in ({"from": "2026-01-01T00:00:00Z"}, {"size": 5}, {"range": "updated"}):
            response = merchant.send("GET", f"{API}/list/transaction", params=params)
            assert error_fields(response) == (422, 1)

    def test_lists_are_paged_and_filtered(self, merchant: BillwerkMerchant) -> None:
        card, _ = merchant.card()
        handles = [merchant.charge(5000, source=card)["handle"] for _ in range(12)]
        page = merchant.get("list/charge", size=10)
        rest = merchant.get("list/charge", size=10, next_page_token=page["next_page_token"])
        assert "next_page_token" not in rest
        listed = [item["handle"] for item in [*page["content"], *rest["content"]]]
        assert listed == handles[::-1]
        by_settling = merchant.get("list/charge", size=10, range="settled", state="settled")
        assert len(by_settling["content"]) == 10
        assert merchant.get("list/transaction", type=["refund", "authorization"])["content"] == []
        assert merchant.get("list/dispute", invoice=handles[0])["content"] == []
        assert merchant.get("list/credit_note", invoice=handles[0])["content"] == []
