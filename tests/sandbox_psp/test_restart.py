"""What survives kill -9, and how the process stops."""

import time
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from tests.sandbox_psp.driver import Shop, eventually, running


def test_killed_and_started_again(tmp_path: Path) -> None:
    with running(tmp_path, SANDBOX_SETTLE_SECONDS="1") as sandbox:
        shop = Shop(sandbox)
        method = shop.card()
        shop.sandbox.receiver.failures[shop.path] = 1000
        first = shop.charge(4990, method, "k-first", "first")
        shop.charge(4903, method, "k-errors", "errors")
        debit = shop.charge(4990, shop.mandate("DE35370400440532013002"), reference="debit").json()
        fault = shop.fault("error", share=0)
        eventually(lambda: shop.told(first.json()["id"]))

        sandbox.kill()
        shop.sandbox.receiver.failures[shop.path] = 0
        sandbox.start()

        replay = shop.charge(4990, method, "k-first", "first")
        assert replay.headers["Idempotent-Replayed"] == "true"
        assert replay.content == first.content
        assert shop.ledger("first") == [("charge", Decimal("49.90"))]
        assert shop.http.get("/_control/faults").json()["data"][0]["id"] == fault
        steps = [shop.charge(4903, method, "k-errors", "errors").status_code for _ in range(2)]
        assert steps == [500, 201]
        eventually(lambda: len(shop.told(first.json()["id"])) >= 2)
        shop.wait_told(debit["id"], "charge.pending", "charge.succeeded", "charge.charged_back")
        assert [kind for kind, _ in shop.ledger("debit")] == ["charge", "chargeback"]


def test_killed_in_the_middle_of_a_call_has_booked_nothing(tmp_path: Path) -> None:
    with running(tmp_path, SANDBOX_SLOW_SECONDS="1.5") as sandbox:
        shop = Shop(sandbox)
        method = shop.card()
        shop.http.timeout = httpx.Timeout(0.3)
        with pytest.raises(httpx.ReadTimeout):
            shop.charge(4908, method, "k", "slow")
        shop.http.timeout = httpx.Timeout(10)
        sandbox.kill()
        sandbox.start()
        assert shop.ledger("slow") == []
        assert shop.charge(4908, method, "k", "slow").status_code == 201
        assert len(shop.ledger("slow")) == 1


def test_sessions_expire_by_themselves(tmp_path: Path) -> None:
    with running(tmp_path, SANDBOX_SESSION_SECONDS="0.5") as sandbox:
        shop = Shop(sandbox)
        session = shop.session()
        shop.wait_told(session["id"], "checkout_session.expired")
        assert shop.get(f"/checkout_sessions/{session['id']}")["status"] == "expired"


def test_stops_at_once_even_with_a_call_under_way(tmp_path: Path) -> None:
    with running(tmp_path, SANDBOX_SLOW_SECONDS="60") as sandbox:
        shop = Shop(sandbox)
        method = shop.card()
        shop.http.timeout = httpx.Timeout(0.3)
        with pytest.raises(httpx.ReadTimeout):
            shop.charge(4908, method, "k", "slow")
        begun = time.monotonic()
        assert sandbox.stop() == 0
        assert time.monotonic() - begun < 30  # far below the call's own time
