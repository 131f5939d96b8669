"""Reservations: captured once, or given back."""

from typing import Any

import httpx
import pytest

from tests.e2e.platform import CARD, HANG_SECONDS, World, announcement, assert_same_books, outcome
from tests.e2e.scenarios import Background
from tests.support.billwerk import new_id, pay_at_checkout

pytestmark = pytest.mark.e2e


def cancel(world: World, preauth: dict[str, Any]) -> httpx.Response:
    return world.billwerk.client.post(f"/api/Preauth/{preauth['transactionId']}/Cancel")


def assert_refused(world: World, body: dict[str, Any], status: int, code: str) -> None:
    """A payment that is refused, of which nothing is kept and nothing reaches the PSP."""
    answer = world.billwerk.post("Payment", body)
    assert (answer.status_code, outcome(answer)) == (status, code)
    assert world.billwerk.get("Payment", body["transactionId"]).status_code == 404
    assert world.psp.ledger(body["transactionId"]) == []


def test_a_capture_takes_the_money_and_leaves_the_preauth_as_it_was(
    world: World, background: Background
) -> None:
    seen = background.captured.result(HANG_SECONDS)
    assert (seen.first, seen.last, seen.booked) == ("Succeeded", "Succeeded", ["capture"])
    assert seen.webhooks == []
    assert seen.body["bearer"]["Last4"] == "4242"
    assert_same_books(seen, "payment")
    assert seen.owner is not None
    assert outcome(world.billwerk.get("Preauth", seen.owner["transactionId"])) == "Succeeded"


def test_a_second_capture_is_refused(world: World, background: Background) -> None:
    owner = background.captured.result(HANG_SECONDS).owner
    assert owner is not None
    assert_refused(world, world.capture(owner, "1.00"), 500, "InvalidPreconditions")


def test_no_more_than_was_reserved_can_be_captured(world: World) -> None:
    preauth = world.authorized("20.00")
    assert_refused(world, world.capture(preauth, "20.50"), 422, "InvalidAmount")
    part = world.billwerk.post("Payment", world.capture(preauth, "15.00"))
    assert outcome(part) == "Succeeded"


def test_a_capture_must_name_the_agreement_of_its_preauth(world: World) -> None:
    preauth = world.authorized("20.00")
    stranger = world.capture(preauth, "20.00", agreementId=world.agreements[CARD])
    assert_refused(world, stranger, 500, "InvalidPreconditions")
    other_currency = world.capture(preauth, "20.00", currency="CHF")
    assert_refused(world, other_currency, 422, "InvalidCurrency")


def test_a_capture_of_an_unknown_preauth_is_refused(world: World) -> None:
    body = world.billwerk.payment(world.agreements[CARD], "20.00", preauthTransactionId=new_id())
    assert_refused(world, body, 422, "InvalidData")


def test_a_payment_without_a_known_agreement_is_refused(world: World) -> None:
    assert_refused(world, world.billwerk.payment(new_id(), "20.00"), 422, "InvalidData")


def test_a_cancelled_preauth_is_given_back_once_however_often_it_is_asked(world: World) -> None:
    preauth = world.authorized("20.00")
    done = {"cancellationStatus": "Succeeded", "transactionId": preauth["transactionId"]}
    for _ in range(3):
        answer = cancel(world, preauth)
        assert (answer.status_code, answer.json()) == (200, done)
    assert outcome(world.billwerk.get("Preauth", preauth["transactionId"])) == "Cancelled"
    assert world.psp.kinds(preauth["transactionId"]) == ["authorize", "void"]
    assert_refused(world, world.capture(preauth, "20.00"), 500, "InvalidPreconditions")


def test_a_captured_preauth_cannot_be_cancelled(world: World) -> None:
    preauth = world.authorized("20.00")
    world.billwerk.post("Payment", world.capture(preauth, "20.00")).raise_for_status()
    answer = cancel(world, preauth)
    assert (answer.status_code, outcome(answer)) == (500, "InvalidPreconditions")
    assert world.psp.kinds(preauth["transactionId"]) == ["authorize"]


def test_after_a_cancelled_sign_up_the_customer_cannot_pay_any_more(world: World) -> None:
    body = world.billwerk.preauth(new_id())
    opened = world.billwerk.post("Preauth", body)
    assert cancel(world, body).json()["cancellationStatus"] == "Succeeded"
    led_to = pay_at_checkout(opened.json()["redirectUrl"], CARD).headers["location"]
    assert led_to.startswith("https://shop.example/abort")
    seen = world.seen("Preauth", body, opened)
    assert (seen.last, seen.ledger) == ("Cancelled", [])


def test_a_debit_mandate_cannot_be_cancelled(world: World) -> None:
    body = world.billwerk.sign_up_debit(new_id(), "DE89370400440532013000")
    answer = cancel(world, body)
    assert (answer.status_code, outcome(answer)) == (500, "InvalidPreconditions")


@pytest.mark.parametrize("attempt", range(3))
def test_of_a_capture_and_a_cancellation_at_once_exactly_one_is_done(
    world: World, background: Background, attempt: int
) -> None:
    preauth = world.authorized("20.00")
    body = world.capture(preauth, "20.00")
    captured, cancelled = world.at_once(
        lambda: world.billwerk.post("Payment", body), lambda: cancel(world, preauth)
    )
    kinds = world.psp.kinds(preauth["transactionId"]) + world.psp.kinds(body["transactionId"])
    if outcome(captured) == "Succeeded":
        assert outcome(cancelled) == "InvalidPreconditions"
        assert kinds == ["authorize", "capture"]
    else:
        assert cancelled.json()["cancellationStatus"] == "Succeeded"
        assert kinds == ["authorize", "void"]


def test_a_payment_is_announced_when_its_bank_takes_it_back(world: World) -> None:
    payment = world.paid("49.90")
    world.psp.charge_back(payment["transactionId"], 990)
    answer = world.billwerk.get("Payment", payment["transactionId"])
    seen = world.seen("Payment", payment, answer, webhooks=1)
    assert seen.webhooks == [announcement("payment", seen.id)]
    assert str(seen.body["refundableAmount"]) == "40.00"
    assert_same_books(seen, "payment")
