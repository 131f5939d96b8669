"""State after kill -9, and termination of the process."""

import time
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from tests.integration.devtools.sandbox_psp.driver import (
    MerchantClient,
    eventually,
    running_sandbox,
)


def test_a_key_is_forgotten_after_its_time(tmp_path: Path) -> None:
    with running_sandbox(tmp_path, SANDBOX_KEY_SECONDS="0.01") as sandbox:
        merchant = MerchantClient(sandbox)
        method, reference = merchant.card(), merchant.new_reference()
        merchant.charge(4990, method, "k", reference).raise_for_status()
        repeated = eventually(lambda: _not_replayed(merchant, method, reference))
        assert repeated is not None
        assert repeated.status_code == 201
        assert len(merchant.ledger(reference)) == 2


def _not_replayed(merchant: MerchantClient, method: str, reference: str) -> httpx.Response | None:
    response = merchant.charge(4990, method, "k", reference)
    return None if "Idempotent-Replayed" in response.headers else response


def test_state_survives_a_kill_and_restart(tmp_path: Path) -> None:
    with running_sandbox(tmp_path, SANDBOX_SETTLE_SECONDS="1") as sandbox:
        merchant = MerchantClient(sandbox)
        method = merchant.card()
        merchant.sandbox.receiver.failures_left[merchant.path] = 1000
        first = merchant.charge(4990, method, "k-first", "first")
        merchant.charge(4903, method, "k-errors", "errors")
        debit = merchant.charge(
            4990, merchant.mandate("DE35370400440532013002"), reference="debit"
        ).json()
        fault = merchant.fault("error", share=0)
        eventually(lambda: merchant.received_types(first.json()["id"]))

        sandbox.kill()
        merchant.sandbox.receiver.failures_left[merchant.path] = 0
        sandbox.start()

        replay = merchant.charge(4990, method, "k-first", "first")
        assert replay.headers["Idempotent-Replayed"] == "true"
        assert replay.content == first.content
        assert merchant.ledger("first") == [("charge", Decimal("49.90"))]
        assert merchant.http.get("/_control/faults").json()["data"][0]["id"] == fault
        statuses = [
            merchant.charge(4903, method, "k-errors", "errors").status_code for _ in range(2)
        ]
        assert statuses == [500, 201]
        eventually(lambda: len(merchant.received_types(first.json()["id"])) >= 2)
        merchant.wait_for_events(
            debit["id"], "charge.pending", "charge.succeeded", "charge.charged_back"
        )
        assert [kind for kind, _ in merchant.ledger("debit")] == ["charge", "chargeback"]


def test_a_kill_during_a_call_books_nothing(tmp_path: Path) -> None:
    with running_sandbox(tmp_path, SANDBOX_SLOW_SECONDS="1.5") as sandbox:
        merchant = MerchantClient(sandbox)
        method = merchant.card()
        merchant.http.timeout = httpx.Timeout(0.3)
        with pytest.raises(httpx.ReadTimeout):
            merchant.charge(4908, method, "k", "slow")
        merchant.http.timeout = httpx.Timeout(10)
        sandbox.kill()
        sandbox.start()
        assert merchant.ledger("slow") == []
        assert merchant.charge(4908, method, "k", "slow").status_code == 201
        assert len(merchant.ledger("slow")) == 1


def test_sessions_expire_after_their_lifetime(tmp_path: Path) -> None:
    with running_sandbox(tmp_path, SANDBOX_SESSION_SECONDS="0.5") as sandbox:
        merchant = MerchantClient(sandbox)
        session = merchant.session()
        merchant.wait_for_events(session["id"], "checkout_session.expired")
        assert merchant.get(f"/checkout_sessions/{session['id']}")["status"] == "expired"


def test_stops_promptly_during_a_call(tmp_path: Path) -> None:
    with running_sandbox(tmp_path, SANDBOX_SLOW_SECONDS="60") as sandbox:
        merchant = MerchantClient(sandbox)
        method = merchant.card()
        merchant.http.timeout = httpx.Timeout(0.3)
        with pytest.raises(httpx.ReadTimeout):
            merchant.charge(4908, method, "k", "slow")
        started = time.monotonic()
        assert sandbox.stop() == 0
        assert time.monotonic() - started < 30  # far below the call's delay
