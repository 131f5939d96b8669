"""Magic amounts, idempotency and injected faults; the ledger stays exact."""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.devtools.sandbox_psp.driver import (
    SETTLE_SECONDS,
    SLOW_SECONDS,
    MerchantClient,
    Sandbox,
    eventually,
    running_sandbox,
)

Movement = Callable[[int, str, str], httpx.Response]


@pytest.fixture(params=["charge", "capture", "refund"])
def movement(request: pytest.FixtureRequest, merchant: MerchantClient) -> tuple[str, Movement]:
    """Return a way to move an amount: (ledger kind, function of amount, reference and key)."""
    method, charge, authorization = (
        merchant.card(),
        merchant.charge(90000).json(),
        merchant.authorization(90000),
    )

    def operate(amount: int, reference: str, key: str) -> httpx.Response:
        body: dict[str, Any] = {"reference": reference, "amount": amount}
        if request.param == "capture":
            return merchant.post(f"/authorizations/{authorization['id']}/capture", body, key)
        if request.param == "refund":
            return merchant.post("/refunds", {**body, "charge": charge["id"]}, key)
        return merchant.post("/charges", {**body, "currency": "EUR", "payment_method": method}, key)

    return request.param, operate


def get_record(merchant: MerchantClient, kind: str, id: str) -> dict[str, Any]:
    record: dict[str, Any] = merchant.get(f"/{'refunds' if kind == 'refund' else 'charges'}/{id}")
    return record


@pytest.mark.parametrize(("amount", "code"), [(4901, "insufficient_funds"), (4902, "card_expired")])
def test_declined(
    merchant: MerchantClient, movement: tuple[str, Movement], amount: int, code: str
) -> None:
    kind, operate = movement
    reference = merchant.new_reference()
    response = operate(amount, reference, "k1")
    assert (response.status_code, response.json()["error"]["code"]) == (402, code)
    stored = get_record(merchant, kind, response.json()["object"]["id"])
    assert stored["status"] == ("failed" if kind == "refund" else "declined")
    assert merchant.ledger(reference) == []
    assert operate(4990, reference, "k2").status_code == 201


def test_two_errors_then_success(merchant: MerchantClient, movement: tuple[str, Movement]) -> None:
    kind, operate = movement
    reference = merchant.new_reference()
    statuses = [operate(4903, reference, "k").status_code for _ in range(4)]
    assert statuses == [500, 500, 201, 201]
    assert merchant.ledger(reference) == [(kind, Decimal("49.03"))]


def test_drop_after_booking(merchant: MerchantClient, movement: tuple[str, Movement]) -> None:
    kind, operate = movement
    reference = merchant.new_reference()
    with pytest.raises(httpx.TransportError):
        operate(4904, reference, "k")
    assert merchant.ledger(reference) == [(kind, Decimal("49.04"))]
    replay = operate(4904, reference, "k")
    assert (replay.status_code, replay.headers["Idempotent-Replayed"]) == (201, "true")
    assert len(merchant.ledger(reference)) == 1


@pytest.mark.parametrize(("amount", "status"), [(4905, "succeeded"), (4906, "failed")])
def test_pending(
    merchant: MerchantClient, movement: tuple[str, Movement], amount: int, status: str
) -> None:
    kind, operate = movement
    reference = merchant.new_reference()
    record = operate(amount, reference, "k").json()
    assert record["status"] == "pending"
    noun = "refund" if kind == "refund" else "charge"
    merchant.wait_for_events(record["id"], f"{noun}.pending", f"{noun}.{status}")
    assert get_record(merchant, kind, record["id"])["status"] == status
    assert len(merchant.ledger(reference)) == (status == "succeeded")


def test_failed_capture_restores_the_authorization(merchant: MerchantClient) -> None:
    authorization = merchant.authorization(9000)
    path = f"/authorizations/{authorization['id']}"
    merchant.post(f"{path}/capture", {"reference": "x", "amount": 4906}).raise_for_status()
    assert merchant.get(path)["status"] == "captured"
    eventually(lambda: merchant.get(path)["status"] == "authorized")


def test_charged_back(merchant: MerchantClient, movement: tuple[str, Movement]) -> None:
    kind, operate = movement
    reference = merchant.new_reference()
    record = operate(4907, reference, "k").json()
    assert record["status"] == "succeeded"
    if kind == "refund":
        time.sleep(2 * SETTLE_SECONDS)
        assert merchant.ledger(reference) == [("refund", Decimal("49.07"))]
    else:
        merchant.wait_for_events(record["id"], "charge.succeeded", "charge.charged_back")
        assert [entry[0] for entry in merchant.ledger(reference)] == [kind, "chargeback"]


def test_slow_books_even_if_the_caller_disconnects(
    merchant: MerchantClient, movement: tuple[str, Movement]
) -> None:
    kind, operate = movement
    reference = merchant.new_reference()
    merchant.http.timeout = httpx.Timeout(SLOW_SECONDS / 3)
    with pytest.raises(httpx.ReadTimeout):
        operate(4908, reference, "k")
    merchant.http.timeout = httpx.Timeout(10)
    early = operate(4908, reference, "k")
    assert early.json()["error"]["code"] == "idempotency_key_in_use"
    assert (early.status_code, early.headers["Retry-After"]) == (409, "1")
    assert merchant.ledger(reference) == []
    eventually(lambda: merchant.ledger(reference) == [(kind, Decimal("49.08"))])
    assert operate(4908, reference, "k").headers["Idempotent-Replayed"] == "true"


def test_rate_limited_once(merchant: MerchantClient, movement: tuple[str, Movement]) -> None:
    kind, operate = movement
    reference = merchant.new_reference()
    first = operate(4909, reference, "k")
    assert (first.status_code, first.headers["Retry-After"]) == (429, "2")
    assert operate(4909, reference, "k").status_code == 201
    assert merchant.ledger(reference) == [(kind, Decimal("49.09"))]


def test_connection_dropped_twice_before_booking(
    merchant: MerchantClient, movement: tuple[str, Movement]
) -> None:
    kind, operate = movement
    reference = merchant.new_reference()
    for _ in range(2):
        with pytest.raises(httpx.TransportError):
            operate(4910, reference, "k")
        assert merchant.ledger(reference) == []
    assert operate(4910, reference, "k").status_code == 201
    assert merchant.ledger(reference) == [(kind, Decimal("49.10"))]


def test_noisy_webhook(merchant: MerchantClient, movement: tuple[str, Movement]) -> None:
    kind, operate = movement
    reference = merchant.new_reference()
    record = operate(4911, reference, "k").json()
    noun = "refund" if kind == "refund" else "charge"
    eventually(lambda: len(merchant.received_types(record["id"])) == 4)
    done, before = f"{noun}.succeeded", f"{noun}.pending"
    assert merchant.received_types(record["id"]) == [done, before, done, done]
    received = [
        event for event in merchant.received_events() if event["data"]["id"] == record["id"]
    ]
    assert received[1]["sequence"] < received[0]["sequence"] == received[3]["sequence"]
    assert received[1]["data"]["status"] == "pending"
    assert merchant.ledger(reference) == [(kind, Decimal("49.11"))]


@pytest.mark.parametrize(
    ("amount", "status", "code"),
    [(4901, 402, "insufficient_funds"), (4902, 402, "debit_failed"), (4906, 201, "debit_failed")],
)
def test_endings_on_debits(merchant: MerchantClient, amount: int, status: int, code: str) -> None:
    response = merchant.charge(amount, merchant.mandate("DE89370400440532013000"))
    assert response.status_code == status
    id = response.json()["object"]["id"] if status == 402 else response.json()["id"]
    eventually(lambda: (merchant.get(f"/charges/{id}")["failure"] or {}).get("code") == code)


def test_endings_do_not_apply_to_authorizations(merchant: MerchantClient) -> None:
    assert merchant.authorization(4901)["status"] == "authorized"


def test_endings_need_two_decimals(merchant: MerchantClient) -> None:
    body = {"reference": "y", "amount": 4901, "currency": "JPY", "payment_method": merchant.card()}
    assert merchant.post("/charges", body).status_code == 201


def test_replay_is_identical_and_moves_nothing(merchant: MerchantClient) -> None:
    method, reference = merchant.card(), merchant.new_reference()
    first = merchant.charge(4990, method, "k", reference)
    replay = merchant.charge(4990, method, "k", reference)
    assert "Idempotent-Replayed" not in first.headers
    assert replay.headers["Idempotent-Replayed"] == "true"
    assert (replay.status_code, replay.content) == (first.status_code, first.content)
    assert len(merchant.ledger(reference)) == 1


def test_declines_are_replayed_too(merchant: MerchantClient) -> None:
    method = merchant.card()
    first = merchant.charge(4901, method, "k", "r")
    replay = merchant.charge(4901, method, "k", "r")
    assert (replay.status_code, replay.content) == (402, first.content)


def test_key_belongs_to_one_request_of_one_account(
    merchant: MerchantClient, sandbox: Sandbox
) -> None:
    method = merchant.card()
    merchant.charge(4990, method, "k", "r").raise_for_status()
    other_body = merchant.charge(4991, method, "k", "r")
    assert other_body.json()["error"]["code"] == "idempotency_key_reused"
    assert (other_body.status_code, other_body.json()["error"]["type"]) == (409, "conflict")
    other_path = merchant.post("/refunds", {"reference": "r", "charge": "ch_x", "amount": 1}, "k")
    assert other_path.status_code in (404, 409)
    assert MerchantClient(sandbox).charge(4990, key="k").status_code == 201


def test_moving_money_requires_a_key(merchant: MerchantClient) -> None:
    body = {"reference": "r", "amount": 1, "currency": "EUR", "payment_method": "pm_x"}
    headers = {"Authorization": f"Bearer {merchant.key}"}
    response = merchant.http.post("/v1/charges", json=body, headers=headers)
    assert response.json()["error"]["code"] == "idempotency_key_missing"
    assert response.status_code == 400


def test_one_booking_for_many_simultaneous_calls(merchant: MerchantClient) -> None:
    method, reference, statuses = merchant.card(), merchant.new_reference(), list[int]()

    def call() -> None:
        statuses.append(merchant.charge(4908, method, "k", reference).status_code)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201, *[409] * 7]
    assert len(merchant.ledger(reference)) == 1


@pytest.fixture
def faulty_merchant(merchant: MerchantClient) -> Iterator[MerchantClient]:
    yield merchant
    merchant.http.delete("/_control/faults").raise_for_status()


@pytest.mark.parametrize(("when", "booked"), [("before", 0), ("after", 1)])
def test_fault_drop(faulty_merchant: MerchantClient, when: str, booked: int) -> None:
    method, reference = faulty_merchant.card(), faulty_merchant.new_reference()
    faulty_merchant.fault("drop", operations=["charge"], when=when, count=1)
    with pytest.raises(httpx.TransportError):
        faulty_merchant.charge(4990, method, "k", reference)
    assert len(faulty_merchant.ledger(reference)) == booked
    assert faulty_merchant.charge(4990, method, "k", reference).status_code == 201
    assert len(faulty_merchant.ledger(reference)) == 1


@pytest.mark.parametrize(("when", "booked"), [("before", 0), ("after", 1)])
def test_fault_error(faulty_merchant: MerchantClient, when: str, booked: int) -> None:
    method, reference = faulty_merchant.card(), faulty_merchant.new_reference()
    faulty_merchant.fault("error", status=503, operations=["charge"], when=when, count=1)
    response = faulty_merchant.charge(4990, method, "k", reference)
    assert (response.status_code, response.json()["error"]["type"]) == (503, "api_error")
    assert len(faulty_merchant.ledger(reference)) == booked
    assert faulty_merchant.charge(4990, method, "k", reference).status_code == 201
    assert len(faulty_merchant.ledger(reference)) == 1


def test_fault_rate_and_fetch(faulty_merchant: MerchantClient) -> None:
    faulty_merchant.fault("rate", operations=["fetch"], seconds=3, count=1)
    with pytest.raises(httpx.HTTPStatusError, match="429") as caught:
        faulty_merchant.get("/account")
    assert caught.value.response.headers["Retry-After"] == "3"
    assert faulty_merchant.get("/account") == faulty_merchant.account


def test_fault_delay(faulty_merchant: MerchantClient) -> None:
    faulty_merchant.fault("delay", operations=["fetch"], seconds=0.4, count=1)
    started = time.monotonic()
    faulty_merchant.get("/account")
    assert time.monotonic() - started >= 0.4


def test_fault_share_is_repeatable(faulty_merchant: MerchantClient) -> None:
    patterns = []
    for _ in range(2):
        fault = faulty_merchant.fault("error", share=0.5, seed=7, operations=["charge"])
        method = faulty_merchant.card()
        patterns.append([faulty_merchant.charge(4990, method).status_code for _ in range(12)])
        faulty_merchant.http.delete(f"/_control/faults/{fault}").raise_for_status()
    assert patterns[0] == patterns[1]
    assert set(patterns[0]) == {201, 500}


def test_faults_are_listed_and_cleared(faulty_merchant: MerchantClient) -> None:
    fault = faulty_merchant.fault("drop", share=0)
    listed = faulty_merchant.http.get("/_control/faults").json()["data"]
    assert [entry["id"] for entry in listed] == [fault]
    faulty_merchant.http.delete(f"/_control/faults/{fault}").raise_for_status()
    assert faulty_merchant.http.get("/_control/faults").json() == {"data": []}
    assert faulty_merchant.http.delete(f"/_control/faults/{fault}").status_code == 404
    assert faulty_merchant.http.post("/_control/faults", json={"kind": "meteor"}).status_code == 400


def test_webhook_faults(faulty_merchant: MerchantClient) -> None:
    faulty_merchant.fault("duplicate", count=1)
    twice = faulty_merchant.charge(4990).json()["id"]
    eventually(lambda: len(faulty_merchant.received_types(twice)) == 2)
    faulty_merchant.fault("reorder", count=1, seconds=0.5)
    first, second = (
        faulty_merchant.charge(4990).json()["id"],
        faulty_merchant.charge(4990).json()["id"],
    )
    eventually(
        lambda: faulty_merchant.received_types(first) and faulty_merchant.received_types(second)
    )
    order = [event["data"]["id"] for event in faulty_merchant.received_events()]
    assert order.index(second) < order.index(first)
    faulty_merchant.fault("drop_webhook", count=1)
    lost, after = (
        faulty_merchant.charge(4990).json()["id"],
        faulty_merchant.charge(4990).json()["id"],
    )
    faulty_merchant.wait_for_events(after, "charge.succeeded")
    assert faulty_merchant.received_types(lost) == []
    deliveries = faulty_merchant.http.get("/_control/webhooks").json()["data"]
    assert "dropped" in {entry["state"] for entry in deliveries}


def test_webhooks_are_retried_with_a_fresh_signature(merchant: MerchantClient) -> None:
    merchant.sandbox.receiver.failures_left[merchant.path] = 1
    charge = merchant.charge(4990).json()["id"]
    eventually(lambda: len(merchant.received_types(charge)) == 2)
    attempts = merchant.sandbox.receiver.deliveries[merchant.path]
    assert attempts[0][1] == attempts[1][1]
    assert attempts[0][0]["Sandbox-Signature"] != attempts[1][0]["Sandbox-Signature"]
    [entry] = [
        delivery
        for delivery in merchant.http.get("/_control/webhooks").json()["data"]
        if delivery["account"] == merchant.account["id"]
    ]
    assert (entry["state"], entry["attempts"]) == ("delivered", 2)


def test_a_failed_attempt_does_not_use_its_key(merchant: MerchantClient) -> None:
    key, method = secrets.token_hex(4), merchant.card()
    assert merchant.charge(4903, method, key, "r").status_code == 500
    changed = merchant.charge(4990, method, key, "r")
    assert changed.status_code == 201


def test_a_fault_with_a_reference_hits_only_that_transaction(
    sandbox: Sandbox, merchant: MerchantClient
) -> None:
    hit, spared = merchant.new_reference(), merchant.new_reference()
    fault = {"kind": "error", "operations": ["charge", "fetch"], "reference": hit}
    id = sandbox.http.post("/_control/faults", json=fault).json()["id"]
    try:
        assert merchant.charge(4990, reference=hit).status_code == 500
        charge = merchant.charge(4990, reference=spared)
        assert charge.status_code == 201
        assert merchant.get("/charges", reference=spared)["data"] == [charge.json()]
        with pytest.raises(httpx.HTTPStatusError):
            merchant.get("/charges", reference=hit)
    finally:
        sandbox.http.delete(f"/_control/faults/{id}").raise_for_status()
    assert merchant.charge(4990, reference=hit).status_code == 201


def test_a_held_call_goes_on_when_its_fault_is_removed(
    sandbox: Sandbox, merchant: MerchantClient
) -> None:
    reference = merchant.new_reference()
    fault = {"kind": "hold", "operations": ["charge"], "reference": reference}
    id = sandbox.http.post("/_control/faults", json=fault).json()["id"]
    responses: list[httpx.Response] = []
    call = threading.Thread(
        target=lambda: responses.append(merchant.charge(4990, reference=reference))
    )
    call.start()
    time.sleep(0.2)
    assert (responses, merchant.ledger(reference)) == ([], [])
    sandbox.http.delete(f"/_control/faults/{id}").raise_for_status()
    call.join()
    assert responses[0].status_code == 201


def test_a_forgotten_key_books_again(sandbox: Sandbox, merchant: MerchantClient) -> None:
    reference, method, key = (
        merchant.new_reference(),
        merchant.card(),
        f"demo/{secrets.token_hex(4)}",
    )
    for _ in range(2):
        assert merchant.charge(4990, method, f"{key}/charge", reference).status_code == 201
    assert len(merchant.ledger(reference)) == 1
    keys = {"prefix": f"{key}/"}
    forgotten = sandbox.http.delete("/_control/idempotency_keys", params=keys).json()
    assert forgotten == {"forgotten": 1}
    assert merchant.charge(4990, method, f"{key}/charge", reference).status_code == 201
    assert len(merchant.ledger(reference)) == 2


def test_pending_charges_settle_on_request(tmp_path: Path) -> None:
    with running_sandbox(tmp_path, SANDBOX_SETTLE_SECONDS="3600") as sandbox:
        merchant = MerchantClient(sandbox)
        reference = merchant.new_reference()
        charge = merchant.charge(4905, reference=reference).json()
        settled = sandbox.http.post("/_control/settlements", json={"reference": reference})
        assert settled.json() == {"settled": 1}
        eventually(lambda: merchant.get(f"/charges/{charge['id']}")["status"] == "succeeded")
        assert len(merchant.ledger(reference)) == 1
