"""The sandbox PSP in the dialect of Billwerk+ Pay."""

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

from tests.sandbox_psp.driver import OK_CARD, Sandbox, eventually

API = CHECKOUT = "/billwerk_pay/v1"
FEW_CENTS, EXPIRED, LATER, LATER_NOT, BACK = 1, 2, 5, 6, 7


class Merchant:
    """An account with a webhook inbox."""

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

    def ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        return self.http.request(method, path, auth=(self.key, ""), **content)

    def get(self, path: str, **params: Any) -> Any:
        return self.ask("GET", f"{API}/{path}", params=params).raise_for_status().json()

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.ask("POST", f"{API}/{path}", json=body)

    def card(self, number: str = OK_CARD) -> tuple[str, str]:
        """A stored card and its customer."""
        body = {"api_key": self.key, "card": number}
        stored = self.http.post("/_control/payment_methods", json=body).raise_for_status().json()
        return stored["id"].replace("pm_", "ca_"), stored["customer"]

    def charge(self, amount: int, *, settle: bool = True, **more: Any) -> dict[str, Any]:
        body = {
            "handle": handle(),
            "key": secrets.token_hex(8),
            "amount": amount,
            "currency": "EUR",
            "source": more.pop("source", None) or self.card()[0],
            "settle": settle,
            **more,
        }
        made: dict[str, Any] = self.post("charge", **body).raise_for_status().json()
        return made

    def page(self, amount: int = 11900, **order: Any) -> dict[str, Any]:
        name = handle()
        body = {
            "accept_url": "https://shop.example/ok?order=1",
            "cancel_url": "https://shop.example/no",
            "order": {
                "handle": name,
                "key": f"key {name}",
                "amount": amount,
                "currency": "EUR",
                "customer": {"handle": f"cust-{name}", "email": "mia@example.org"},
                **order,
            },
            "recurring": True,
        }
        opened = self.ask("POST", f"{CHECKOUT}/session/charge", json=body).raise_for_status()
        return {**opened.json(), "handle": name, "body": body}

    def visit(self, url: str, number: str = OK_CARD) -> tuple[str, dict[str, list[str]]]:
        """Pay; where the customer is sent, and with which query."""
        card = {"card_number": number, "holder": "Mia Kern", "expiry": "12/30", "cvc": "123"}
        back = self.http.post(url, data={"action": "pay", **card})
        onward = self.http.get(back.headers["location"]).headers["location"]
        return onward.partition("?")[0], parse_qs(urlsplit(onward).query)

    def ledger(self, reference: str) -> list[tuple[str, Decimal, str | None]]:
        answer = self.http.get("/_control/ledger", params={"reference": reference})
        entries = json.loads(answer.text, parse_float=Decimal)["entries"]
        return [(e["kind"], e["amount"], e["idempotency_key"]) for e in entries]

    def told(self, event_type: str) -> list[dict[str, Any]]:
        """The webhooks of one type, after checking each one's signature."""
        found = []
        for _, raw in list(self.sandbox.receiver.inbox[self.path]):
            body = json.loads(raw)
            signed = f"{body['timestamp']}{body['id']}".encode()
            digest = hmac.new(self.secret.encode(), signed, hashlib.sha256).hexdigest()
            assert body["signature"] == digest
            assert not {"state", "amount"} & set(body)
            if body["event_type"] == event_type:
                found.append(body)
        return found


@pytest.fixture
def merchant(sandbox: Sandbox) -> Merchant:
    return Merchant(sandbox)


def handle() -> str:
    return f"order-{secrets.token_hex(6)}"


def refused(answer: httpx.Response) -> tuple[int, int]:
    body = answer.json()
    assert body["http_status"] == answer.status_code
    assert {"code", "error", "http_reason", "path", "timestamp", "request_id"} <= set(body)
    return answer.status_code, body["code"]


class TestAccount:
    def test_opens_with_basic_auth_only(self, merchant: Merchant) -> None:
        assert merchant.get("account")["timezone"] == "Europe/Copenhagen"
        for auth in (("priv_wrong", ""), (merchant.key, "password")):
            assert refused(merchant.http.get(f"{API}/account", auth=auth)) == (401, 3)
        assert refused(merchant.http.get(f"{API}/account")) == (401, 3)

    def test_shows_the_webhook_secret(self, merchant: Merchant) -> None:
        shown = merchant.get("account/webhook_settings")
        assert (shown["secret"], shown["disabled"]) == (merchant.secret, False)

    def test_accounts_are_apart(self, merchant: Merchant, sandbox: Sandbox) -> None:
        made = merchant.charge(5000)
        other = Merchant(sandbox)
        assert refused(other.ask("GET", f"{API}/charge/{made['handle']}")) == (404, 8)
        card, _ = merchant.card()
        body = {"handle": handle(), "amount": 1, "currency": "EUR", "source": card}
        assert refused(other.post("charge", **body)) == (404, 40)


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
    def test_are_read_strictly(self, merchant: Merchant, change: dict[str, Any]) -> None:
        card, _ = merchant.card()
        body = {"handle": handle(), "amount": 5000, "currency": "EUR", "source": card, **change}
        assert refused(merchant.post("charge", **body)) == (422, 1)

    def test_unknown_parameters_and_places(self, merchant: Merchant) -> None:
        assert refused(merchant.ask("GET", f"{API}/list/charge?form=2026")) == (422, 1)
        assert refused(merchant.ask("GET", f"{API}/charge")) == (405, 1)
        assert refused(merchant.ask("GET", f"{API}/nowhere")) == (404, 8)


class TestCharge:
    def test_is_one_per_handle(self, merchant: Merchant) -> None:
        card, customer = merchant.card()
        body: dict[str, Any] = {
            "handle": handle(),
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
        assert refused(merchant.post("charge", **{**body, "key": "two"})) == (400, 79)
        assert merchant.ledger(body["handle"]) == [("charge", Decimal("50.00"), "one")]
        other = {**body, "handle": handle(), "customer_handle": "somebody"}
        assert refused(merchant.post("charge", **other)) == (400, 99)

    @pytest.mark.parametrize(
        ("ending", "error", "state"),
        [
            (FEW_CENTS, "insufficient_funds", "soft_declined"),
            (EXPIRED, "credit_card_expired", "hard_declined"),
        ],
    )
    def test_a_decline_is_http_200(
        self, merchant: Merchant, ending: int, error: str, state: str
    ) -> None:
        made = merchant.charge(5000 + ending)
        assert (made["state"], made["error"], made["error_state"]) == ("failed", error, state)
        [transaction] = merchant.get(f"invoice/{made['handle']}")["transactions"]
        assert (transaction["state"], transaction["card_transaction"]["error"]) == ("failed", error)
        again = merchant.charge(5000, handle=made["handle"], source=made["source"]["card"])
        assert again["state"] == "settled"

    @pytest.mark.parametrize(("ending", "state"), [(LATER, "settled"), (LATER_NOT, "failed")])
    def test_is_decided_later(self, merchant: Merchant, ending: int, state: str) -> None:
        made = merchant.charge(5000 + ending)
        assert (made["state"], made["processing"]) == ("pending", True)
        eventually(lambda: merchant.get(f"charge/{made['handle']}")["state"] == state)

    @pytest.mark.parametrize(
        ("currency", "units", "amount"), [("JPY", 499000, "4990"), ("BHD", 49905, "49.905")]
    )
    def test_counts_in_units_of_its_own(
        self, merchant: Merchant, currency: str, units: int, amount: str
    ) -> None:
        made = merchant.charge(units, currency=currency)
        assert made["amount"] == units
        assert [entry[1] for entry in merchant.ledger(made["handle"])] == [Decimal(amount)]

    def test_faults_strike(self, merchant: Merchant, sandbox: Sandbox) -> None:
        card, _ = merchant.card()
        body: dict[str, Any] = {
            "handle": handle(),
            "key": "k",
            "amount": 5000,
            "currency": "EUR",
            "source": card,
        }
        fault = {"kind": "rate", "operations": ["authorize"], "count": 1, "seconds": 3}
        sandbox.http.post("/_control/faults", json=fault).raise_for_status()
        answer = merchant.post("charge", **body)
        assert refused(answer) == (429, 122)
        assert answer.headers["Retry-After"] == "3"
        fault = {"kind": "error", "operations": ["authorize"], "count": 1, "when": "after"}
        sandbox.http.post("/_control/faults", json=fault).raise_for_status()
        assert refused(merchant.post("charge", **body)) == (500, 2)
        assert merchant.post("charge", **body).json()["state"] == "authorized"
        assert len(merchant.ledger(body["handle"])) == 1


class TestReservation:
    def test_is_settled_in_part_once(self, merchant: Merchant) -> None:
        held = merchant.charge(11900, settle=False)
        assert (held["state"], held["authorized_amount"]) == ("authorized", 11900)
        path = f"charge/{held['handle']}/settle"
        assert refused(merchant.post(path, key="k", amount=12000)) == (400, 102)
        taken = merchant.post(path, key="k", amount=5000, ordertext="Plan [own-1]").json()
        assert (taken["state"], taken["amount"]) == ("settled", 5000)
        assert taken["order_lines"][0]["ordertext"] == "Plan [own-1]"
        assert merchant.post(path, key="k", amount=5000).json() == taken
        assert refused(merchant.post(path, key="other", amount=5000)) == (400, 79)
        assert merchant.ledger("own-1") == [("capture", Decimal("50.00"), "k")]
        kinds = [t["type"] for t in merchant.get(f"invoice/{held['handle']}")["transactions"]]
        assert kinds == ["authorization", "settle"]

    def test_a_declined_settle_leaves_it(self, merchant: Merchant) -> None:
        held = merchant.charge(11900, settle=False)
        path = f"charge/{held['handle']}/settle"
        answer = merchant.post(path, key="k", amount=5000 + FEW_CENTS).json()
        assert (answer["state"], answer["error"]) == ("authorized", "insufficient_funds")
        assert "error" not in merchant.get(f"charge/{held['handle']}")
        assert merchant.post(path, key="k2", amount=5000).json()["state"] == "settled"

    def test_is_cancelled(self, merchant: Merchant) -> None:
        held = merchant.charge(11900, settle=False)
        path = f"charge/{held['handle']}"
        assert merchant.post(f"{path}/cancel").json()["state"] == "cancelled"
        assert refused(merchant.post(f"{path}/cancel")) == (400, 29)
        assert refused(merchant.post(f"{path}/settle", key="k")) == (400, 29)
        kinds = [kind for kind, _, _ in merchant.ledger(held["handle"])]
        assert kinds == ["authorize", "void"]
        eventually(lambda: merchant.told("invoice_cancelled"))

    def test_nothing_is_held(self, merchant: Merchant) -> None:
        made = merchant.charge(5000 + FEW_CENTS)
        for what in ("settle", "cancel"):
            assert refused(merchant.post(f"charge/{made['handle']}/{what}")) == (400, 106)


class TestRefund:
    def test_leaves_a_credit_note(self, merchant: Merchant) -> None:
        made = merchant.charge(5000)
        body = {"invoice": made["handle"], "key": "k", "amount": 2000, "text": "Sorry [own-2]"}
        given = merchant.post("refund", **body).json()
        assert (given["state"], given["amount"]) == ("refunded", 2000)
        assert given["transaction"] == given["id"]
        assert merchant.post("refund", **body).json() == given
        assert merchant.get(f"refund/{given['id']}") == given
        assert merchant.ledger("own-2") == [("refund", Decimal("20.00"), "k")]
        [note] = merchant.get(f"invoice/{made['handle']}")["credit_notes"]
        assert (note["transaction"], note["id"]) == (given["id"], given["credit_note_id"])
        assert note["credit_note_lines"][0]["text"] == "Sorry [own-2]"
        beyond = {"invoice": made["handle"], "key": "k2", "amount": 3001}
        assert refused(merchant.post("refund", **beyond)) == (400, 65)
        rest = merchant.post("refund", invoice=made["handle"], key="k3").json()
        assert rest["amount"] == 3000
        assert merchant.get(f"charge/{made['handle']}")["refunded_amount"] == 5000

    def test_of_what_is_not_settled(self, merchant: Merchant) -> None:
        held = merchant.charge(5000, settle=False)
        assert refused(merchant.post("refund", invoice=held["handle"])) == (400, 64)

    def test_a_decline_is_http_200(self, merchant: Merchant) -> None:
        made = merchant.charge(5000)
        given = merchant.post("refund", invoice=made["handle"], amount=2000 + FEW_CENTS).json()
        assert (given["state"], given["error"]) == ("failed", "insufficient_funds")
        assert merchant.get(f"invoice/{made['handle']}")["credit_notes"] == []


class TestHostedPage:
    def test_leads_back_with_what_was_made(self, merchant: Merchant) -> None:
        page = merchant.page()
        where, query = merchant.visit(page["url"])
        assert where == "https://shop.example/ok"
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

    def test_is_one_per_key_and_none_for_what_is_paid(self, merchant: Merchant) -> None:
        page = merchant.page()
        again = merchant.ask("POST", f"{CHECKOUT}/session/charge", json=page["body"])
        assert again.json()["id"] == page["id"]
        merchant.visit(page["url"])
        body = {**page["body"], "order": {**page["body"]["order"], "key": "another"}}
        assert refused(merchant.ask("POST", f"{CHECKOUT}/session/charge", json=body)) == (400, 105)

    def test_stores_a_card(self, merchant: Merchant) -> None:
        name = handle()
        body = {
            "accept_url": "https://shop.example/ok",
            "cancel_url": "https://shop.example/no",
            "currency": "EUR",
            "create_customer": {"handle": name},
        }
        path = f"{CHECKOUT}/session/recurring"
        opened = merchant.ask("POST", path, json=body).raise_for_status().json()
        _, query = merchant.visit(opened["url"])
        assert "invoice" not in query
        [told] = eventually(lambda: merchant.told("customer_payment_method_added"))
        assert (told["customer"], [told["payment_method"]]) == (name, query["payment_method"])
        del body["create_customer"]
        assert refused(merchant.ask("POST", path, json=body)) == (400, 18)

    def test_a_declined_card_leads_to_the_cancel_url(self, merchant: Merchant) -> None:
        page = merchant.page()
        where, query = merchant.visit(page["url"], "4000000000009995")
        assert where == "https://shop.example/no"
        assert query["error"] == ["insufficient_funds"]
        charge = merchant.get(f"charge/{page['handle']}")
        assert (charge["state"], charge["error"]) == ("failed", "insufficient_funds")

    def test_is_known_until_it_is_deleted(self, merchant: Merchant) -> None:
        page = merchant.page()
        info = merchant.ask("GET", f"{CHECKOUT}/session_info/{page['id']}").json()
        assert datetime.fromisoformat(info["expires"]) > datetime.now(UTC)
        related = f"{CHECKOUT}/session_info/charge/{page['handle']}"
        assert [one["id"] for one in merchant.ask("GET", related).json()] == [page["id"]]
        merchant.ask("DELETE", f"{CHECKOUT}/session/{page['id']}").raise_for_status()
        gone = merchant.ask("GET", f"{CHECKOUT}/session_info/{page['id']}")
        assert refused(gone) == (404, 8)
        assert merchant.ask("GET", related).json() == []
        assert merchant.http.get(page["url"]).status_code == 200
        assert merchant.get(f"charge/{page['handle']}")["state"] == "created"


class TestWebhooks:
    def test_hold_ids_only(self, merchant: Merchant) -> None:
        made = merchant.charge(5000)
        [told] = eventually(lambda: merchant.told("invoice_settled"))
        assert (told["invoice"], told["transaction"]) == (made["handle"], made["transaction"])
        listed = merchant.get("event", invoice=made["handle"])["content"]
        assert [(one["id"], one["event_type"]) for one in listed] == [
            (told["event_id"], "invoice_settled")
        ]

    def test_of_a_captured_reservation_name_its_handle(self, merchant: Merchant) -> None:
        held = merchant.charge(5000, settle=False)
        taken = merchant.post(f"charge/{held['handle']}/settle", key="k").json()
        [told] = eventually(lambda: merchant.told("invoice_settled"))
        assert (told["invoice"], told["transaction"]) == (held["handle"], taken["transaction"])
        given = merchant.post("refund", invoice=held["handle"], key="r").json()
        [told] = eventually(lambda: merchant.told("invoice_refund"))
        assert (told["invoice"], told["transaction"]) == (held["handle"], given["id"])

    def test_repetitions_keep_their_time(self, merchant: Merchant, sandbox: Sandbox) -> None:
        sandbox.receiver.failures[merchant.path] = 1
        merchant.charge(5000)
        first, second = eventually(
            lambda: (found := merchant.told("invoice_settled"))[1:] and found
        )
        assert first == second

    def test_there_is_none_for_a_chargeback(self, merchant: Merchant) -> None:
        made = merchant.charge(5000 + BACK)
        dispute = eventually(lambda: merchant.get("list/dispute")["content"])[0]
        assert (dispute["invoice"], dispute["outcome"], dispute["outcome_amount"]) == (
            made["handle"],
            "customer_favor_chargeback",
            5007,
        )
        eventually(lambda: merchant.told("invoice_settled"))
        types = {event["event_type"] for event in merchant.get("event")["content"]}
        assert types == {"invoice_settled"}


class TestLists:
    def local(self, at: datetime) -> str:
        wall = at.astimezone(ZoneInfo("Europe/Copenhagen")).replace(tzinfo=None)
        return wall.isoformat(timespec="milliseconds")

    def test_are_in_local_time_newest_first(self, merchant: Merchant) -> None:
        first = merchant.charge(5000)
        held = merchant.charge(6000, settle=False)
        merchant.post("refund", invoice=first["handle"], key="r", amount=1000)
        shown = merchant.get("list/transaction")["content"]
        assert [one["type"] for one in shown] == ["refund", "authorization", "settle"]
        assert shown[0]["card_transaction"]["ref_transaction"] == first["transaction"]
        at = datetime.fromisoformat(shown[1]["created"])
        since, until = self.local(at), self.local(at + timedelta(milliseconds=1))
        [only] = merchant.get("list/transaction", **{"from": since, "to": until})["content"]
        assert (only["invoice"], only["id"]) == (held["handle"], held["transaction"])
        assert merchant.get("list/transaction", to=since)["content"] == [shown[2]]

    def test_refuse_offsets_and_odd_sizes(self, merchant: Merchant) -> None:
        for params in ({"from": "2026-01-01T00:00:00Z"}, {"size": 5}, {"range": "updated"}):
            answer = merchant.ask("GET", f"{API}/list/transaction", params=params)
            assert refused(answer) == (422, 1)

    def test_come_in_pages_and_filtered(self, merchant: Merchant) -> None:
        card, _ = merchant.card()
        handles = [merchant.charge(5000, source=card)["handle"] for _ in range(12)]
        page = merchant.get("list/charge", size=10)
        rest = merchant.get("list/charge", size=10, next_page_token=page["next_page_token"])
        assert "next_page_token" not in rest
        found = [one["handle"] for one in [*page["content"], *rest["content"]]]
        assert found == handles[::-1]
        by_settling = merchant.get("list/charge", size=10, range="settled", state="settled")
        assert len(by_settling["content"]) == 10
        assert merchant.get("list/transaction", type=["refund", "authorization"])["content"] == []
        assert merchant.get("list/dispute", invoice=handles[0])["content"] == []
        assert merchant.get("list/credit_note", invoice=handles[0])["content"] == []
