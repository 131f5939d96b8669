"""Amount endings, idempotency and injected faults: what goes wrong, and that money stays exact."""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.sandbox_psp.driver import SETTLE, SLOW, Sandbox, Shop, eventually

Operate = Callable[[int, str, str], httpx.Response]


@pytest.fixture(params=["charge", "capture", "refund"])
def movement(request: pytest.FixtureRequest, shop: Shop) -> tuple[str, Operate]:
    """One way to move an amount: (ledger kind, function of amount, reference and key)."""
    method, charge, held = shop.card(), shop.charge(90000).json(), shop.authorization(90000)

    def operate(amount: int, reference: str, key: str) -> httpx.Response:
        body: dict[str, Any] = {"reference": reference, "amount": amount}
        if request.param == "capture":
            return shop.post(f"/authorizations/{held['id']}/capture", body, key)
        if request.param == "refund":
            return shop.post("/refunds", {**body, "charge": charge["id"]}, key)
        return shop.post("/charges", {**body, "currency": "EUR", "payment_method": method}, key)

    return request.param, operate


def outcome(shop: Shop, kind: str, id: str) -> dict[str, Any]:
    found: dict[str, Any] = shop.get(f"/{'refunds' if kind == 'refund' else 'charges'}/{id}")
    return found


@pytest.mark.parametrize(("amount", "code"), [(4901, "insufficient_funds"), (4902, "card_expired")])
def test_declined(shop: Shop, movement: tuple[str, Operate], amount: int, code: str) -> None:
    kind, operate = movement
    reference = shop.new_reference()
    answer = operate(amount, reference, "k1")
    assert (answer.status_code, answer.json()["error"]["code"]) == (402, code)
    stored = outcome(shop, kind, answer.json()["object"]["id"])
    assert stored["status"] == ("failed" if kind == "refund" else "declined")
    assert shop.ledger(reference) == []
    assert operate(4990, reference, "k2").status_code == 201


def test_two_errors_then_success(shop: Shop, movement: tuple[str, Operate]) -> None:
    kind, operate = movement
    reference = shop.new_reference()
    statuses = [operate(4903, reference, "k").status_code for _ in range(4)]
    assert statuses == [500, 500, 201, 201]
    assert shop.ledger(reference) == [(kind, Decimal("49.03"))]


def test_booked_but_unanswered(shop: Shop, movement: tuple[str, Operate]) -> None:
    kind, operate = movement
    reference = shop.new_reference()
    with pytest.raises(httpx.TransportError):
        operate(4904, reference, "k")
    assert shop.ledger(reference) == [(kind, Decimal("49.04"))]
    replay = operate(4904, reference, "k")
    assert (replay.status_code, replay.headers["Idempotent-Replayed"]) == (201, "true")
    assert len(shop.ledger(reference)) == 1


@pytest.mark.parametrize(("amount", "status"), [(4905, "succeeded"), (4906, "failed")])
def test_pending(shop: Shop, movement: tuple[str, Operate], amount: int, status: str) -> None:
    kind, operate = movement
    reference = shop.new_reference()
    made = operate(amount, reference, "k").json()
    assert made["status"] == "pending"
    noun = "refund" if kind == "refund" else "charge"
    shop.wait_told(made["id"], f"{noun}.pending", f"{noun}.{status}")
    assert outcome(shop, kind, made["id"])["status"] == status
    assert len(shop.ledger(reference)) == (status == "succeeded")


def test_failed_capture_gives_the_authorization_back(shop: Shop) -> None:
    held = shop.authorization(9000)
    path = f"/authorizations/{held['id']}"
    shop.post(f"{path}/capture", {"reference": "x", "amount": 4906}).raise_for_status()
    assert shop.get(path)["status"] == "captured"
    eventually(lambda: shop.get(path)["status"] == "authorized")


def test_charged_back(shop: Shop, movement: tuple[str, Operate]) -> None:
    kind, operate = movement
    reference = shop.new_reference()
    made = operate(4907, reference, "k").json()
    assert made["status"] == "succeeded"
    if kind == "refund":
        time.sleep(2 * SETTLE)
        assert shop.ledger(reference) == [("refund", Decimal("49.07"))]
    else:
        shop.wait_told(made["id"], "charge.succeeded", "charge.charged_back")
        assert [entry[0] for entry in shop.ledger(reference)] == [kind, "chargeback"]


def test_slow_books_even_if_the_caller_leaves(shop: Shop, movement: tuple[str, Operate]) -> None:
    kind, operate = movement
    reference = shop.new_reference()
    shop.http.timeout = httpx.Timeout(SLOW / 3)
    with pytest.raises(httpx.ReadTimeout):
        operate(4908, reference, "k")
    shop.http.timeout = httpx.Timeout(10)
    early = operate(4908, reference, "k")
    assert early.json()["error"]["code"] == "idempotency_key_in_use"
    assert (early.status_code, early.headers["Retry-After"]) == (409, "1")
    assert shop.ledger(reference) == []
    eventually(lambda: shop.ledger(reference) == [(kind, Decimal("49.08"))])
    assert operate(4908, reference, "k").headers["Idempotent-Replayed"] == "true"


def test_rate_limited_once(shop: Shop, movement: tuple[str, Operate]) -> None:
    kind, operate = movement
    reference = shop.new_reference()
    first = operate(4909, reference, "k")
    assert (first.status_code, first.headers["Retry-After"]) == (429, "2")
    assert operate(4909, reference, "k").status_code == 201
    assert shop.ledger(reference) == [(kind, Decimal("49.09"))]


def test_connection_dropped_twice_before_booking(shop: Shop, movement: tuple[str, Operate]) -> None:
    kind, operate = movement
    reference = shop.new_reference()
    for _ in range(2):
        with pytest.raises(httpx.TransportError):
            operate(4910, reference, "k")
        assert shop.ledger(reference) == []
    assert operate(4910, reference, "k").status_code == 201
    assert shop.ledger(reference) == [(kind, Decimal("49.10"))]


def test_noisy_webhook(shop: Shop, movement: tuple[str, Operate]) -> None:
    kind, operate = movement
    reference = shop.new_reference()
    made = operate(4911, reference, "k").json()
    noun = "refund" if kind == "refund" else "charge"
    eventually(lambda: len(shop.told(made["id"])) == 4)
    done, before = f"{noun}.succeeded", f"{noun}.pending"
    assert shop.told(made["id"]) == [done, before, done, done]
    received = [event for event in shop.inbox() if event["data"]["id"] == made["id"]]
    assert received[1]["sequence"] < received[0]["sequence"] == received[3]["sequence"]
    assert received[1]["data"]["status"] == "pending"
    assert shop.ledger(reference) == [(kind, Decimal("49.11"))]


@pytest.mark.parametrize(
    ("amount", "status", "code"),
    [(4901, 402, "insufficient_funds"), (4902, 402, "debit_failed"), (4906, 201, "debit_failed")],
)
def test_endings_on_debits(shop: Shop, amount: int, status: int, code: str) -> None:
    answer = shop.charge(amount, shop.mandate("DE89370400440532013000"))
    assert answer.status_code == status
    id = answer.json()["object"]["id"] if status == 402 else answer.json()["id"]
    eventually(lambda: (shop.get(f"/charges/{id}")["failure"] or {}).get("code") == code)


def test_endings_do_not_steer_authorizations(shop: Shop) -> None:
    assert shop.authorization(4901)["status"] == "authorized"


def test_endings_need_two_decimals(shop: Shop) -> None:
    body = {"reference": "y", "amount": 4901, "currency": "JPY", "payment_method": shop.card()}
    assert shop.post("/charges", body).status_code == 201


def test_replay_is_identical_and_moves_nothing(shop: Shop) -> None:
    method, reference = shop.card(), shop.new_reference()
    first = shop.charge(4990, method, "k", reference)
    replay = shop.charge(4990, method, "k", reference)
    assert "Idempotent-Replayed" not in first.headers
    assert replay.headers["Idempotent-Replayed"] == "true"
    assert (replay.status_code, replay.content) == (first.status_code, first.content)
    assert len(shop.ledger(reference)) == 1


def test_declines_are_replayed_too(shop: Shop) -> None:
    method = shop.card()
    first = shop.charge(4901, method, "k", "r")
    replay = shop.charge(4901, method, "k", "r")
    assert (replay.status_code, replay.content) == (402, first.content)


def test_key_belongs_to_one_request_of_one_account(shop: Shop, sandbox: Sandbox) -> None:
    method = shop.card()
    shop.charge(4990, method, "k", "r").raise_for_status()
    other_body = shop.charge(4991, method, "k", "r")
    assert other_body.json()["error"]["code"] == "idempotency_key_reused"
    assert (other_body.status_code, other_body.json()["error"]["type"]) == (409, "conflict")
    other_path = shop.post("/refunds", {"reference": "r", "charge": "ch_x", "amount": 1}, "k")
    assert other_path.status_code in (404, 409)
    assert Shop(sandbox).charge(4990, key="k").status_code == 201


def test_money_needs_a_key(shop: Shop) -> None:
    body = {"reference": "r", "amount": 1, "currency": "EUR", "payment_method": "pm_x"}
    headers = {"Authorization": f"Bearer {shop.key}"}
    answer = shop.http.post("/v1/charges", json=body, headers=headers)
    assert answer.json()["error"]["code"] == "idempotency_key_missing"
    assert answer.status_code == 400


def test_one_booking_for_many_simultaneous_calls(shop: Shop) -> None:
    method, reference, statuses = shop.card(), shop.new_reference(), list[int]()

    def call() -> None:
        statuses.append(shop.charge(4908, method, "k", reference).status_code)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201, *[409] * 7]
    assert len(shop.ledger(reference)) == 1


@pytest.fixture
def faulty(shop: Shop) -> Iterator[Shop]:
    yield shop
    shop.http.delete("/_control/faults").raise_for_status()


@pytest.mark.parametrize(("when", "booked"), [("before", 0), ("after", 1)])
def test_fault_drop(faulty: Shop, when: str, booked: int) -> None:
    method, reference = faulty.card(), faulty.new_reference()
    faulty.fault("drop", operations=["charge"], when=when, count=1)
    with pytest.raises(httpx.TransportError):
        faulty.charge(4990, method, "k", reference)
    assert len(faulty.ledger(reference)) == booked
    assert faulty.charge(4990, method, "k", reference).status_code == 201
    assert len(faulty.ledger(reference)) == 1


@pytest.mark.parametrize(("when", "booked"), [("before", 0), ("after", 1)])
def test_fault_error(faulty: Shop, when: str, booked: int) -> None:
    method, reference = faulty.card(), faulty.new_reference()
    faulty.fault("error", status=503, operations=["charge"], when=when, count=1)
    answer = faulty.charge(4990, method, "k", reference)
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "api_error")
    assert len(faulty.ledger(reference)) == booked
    assert faulty.charge(4990, method, "k", reference).status_code == 201
    assert len(faulty.ledger(reference)) == 1


def test_fault_rate_and_fetch(faulty: Shop) -> None:
    faulty.fault("rate", operations=["fetch"], seconds=3, count=1)
    with pytest.raises(httpx.HTTPStatusError, match="429") as caught:
        faulty.get("/account")
    assert caught.value.response.headers["Retry-After"] == "3"
    assert faulty.get("/account") == faulty.account


def test_fault_delay(faulty: Shop) -> None:
    faulty.fault("delay", operations=["fetch"], seconds=0.4, count=1)
    begun = time.monotonic()
    faulty.get("/account")
    assert time.monotonic() - begun >= 0.4


def test_fault_share_is_repeatable(faulty: Shop) -> None:
    patterns = []
    for _ in range(2):
        fault = faulty.fault("error", share=0.5, seed=7, operations=["charge"])
        method = faulty.card()
        patterns.append([faulty.charge(4990, method).status_code for _ in range(12)])
        faulty.http.delete(f"/_control/faults/{fault}").raise_for_status()
    assert patterns[0] == patterns[1]
    assert set(patterns[0]) == {201, 500}


def test_faults_are_listed_and_cleared(faulty: Shop) -> None:
    fault = faulty.fault("drop", share=0)
    listed = faulty.http.get("/_control/faults").json()["data"]
    assert [entry["id"] for entry in listed] == [fault]
    faulty.http.delete(f"/_control/faults/{fault}").raise_for_status()
    assert faulty.http.get("/_control/faults").json() == {"data": []}
    assert faulty.http.delete(f"/_control/faults/{fault}").status_code == 404
    assert faulty.http.post("/_control/faults", json={"kind": "meteor"}).status_code == 400


def test_webhook_faults(faulty: Shop) -> None:
    faulty.fault("duplicate", count=1)
    twice = faulty.charge(4990).json()["id"]
    eventually(lambda: len(faulty.told(twice)) == 2)
    faulty.fault("reorder", count=1, seconds=0.5)
    first, second = faulty.charge(4990).json()["id"], faulty.charge(4990).json()["id"]
    eventually(lambda: faulty.told(first) and faulty.told(second))
    order = [event["data"]["id"] for event in faulty.inbox()]
    assert order.index(second) < order.index(first)
    faulty.fault("drop_webhook", count=1)
    lost, after = faulty.charge(4990).json()["id"], faulty.charge(4990).json()["id"]
    faulty.wait_told(after, "charge.succeeded")
    assert faulty.told(lost) == []
    deliveries = faulty.http.get("/_control/webhooks").json()["data"]
    assert "dropped" in {entry["state"] for entry in deliveries}


def test_webhooks_are_retried_with_a_fresh_signature(shop: Shop) -> None:
    shop.sandbox.receiver.failures[shop.path] = 1
    charge = shop.charge(4990).json()["id"]
    eventually(lambda: len(shop.told(charge)) == 2)
    attempts = shop.sandbox.receiver.inbox[shop.path]
    assert attempts[0][1] == attempts[1][1]
    assert attempts[0][0]["Sandbox-Signature"] != attempts[1][0]["Sandbox-Signature"]
    [entry] = [
        delivery
        for delivery in shop.http.get("/_control/webhooks").json()["data"]
        if delivery["account"] == shop.account["id"]
    ]
    assert (entry["state"], entry["attempts"]) == ("delivered", 2)


def test_keys_are_free_after_a_refused_attempt(shop: Shop) -> None:
    key, method = secrets.token_hex(4), shop.card()
    assert shop.charge(4903, method, key, "r").status_code == 500
    changed = shop.charge(4990, method, key, "r")
    assert changed.status_code == 201
