"""Money given back: in parts, never more than was paid."""

from decimal import Decimal
from typing import Any

import pytest

from tests.e2e.platform import World, assert_same_books, outcome
from tests.e2e.sandbox import decoded, total
from tests.support.billwerk import new_id

pytestmark = pytest.mark.e2e


def amounts(world: World, payment: dict[str, Any]) -> tuple[Decimal, Decimal]:
    """What was refunded of a payment, and what still could be."""
    body = decoded(world.billwerk.get("Payment", payment["transactionId"]))
    assert body["status"] == "Succeeded"
    return Decimal(body["refundedAmount"]), Decimal(body["refundableAmount"])


def test_a_refund_shows_at_itself_and_at_its_payment(world: World) -> None:
    payment = world.paid("119.00")
    before = decoded(world.billwerk.get("Payment", payment["transactionId"]))
    seen = world.play("Refund", world.billwerk.refund(payment["transactionId"], "19.00"))
    assert (seen.first, seen.last, seen.webhooks) == ("Succeeded", "Succeeded", [])
    assert "bookingDate" in seen.body
    assert_same_books(seen, "refund")
    assert amounts(world, payment) == (Decimal("19.00"), Decimal("100.00"))
    after = decoded(world.billwerk.get("Payment", payment["transactionId"]))
    assert after["lastUpdated"] > before["lastUpdated"]
    assert after["payments"] == before["payments"]
    assert world.billwerk.received(payment["transactionId"]) == []


def test_a_payment_can_be_refunded_in_parts_up_to_the_last_cent(world: World) -> None:
    payment = world.paid("30.00")
    for part, left in (("10.00", "20.00"), ("19.50", "0.50"), ("0.50", "0.00")):
        refund = world.billwerk.refund(payment["transactionId"], part)
        answer = decoded(world.billwerk.post("Refund", refund))
        assert (answer["status"], answer["refundedAmount"]) == ("Succeeded", Decimal(part))
        assert amounts(world, payment)[1] == Decimal(left)
    more = world.billwerk.post("Refund", world.billwerk.refund(payment["transactionId"], "0.20"))
    assert (more.status_code, outcome(more)) == (422, "InvalidAmount")


def test_more_than_is_left_cannot_be_refunded(world: World) -> None:
    payment = world.paid("119.00")
    part = world.billwerk.refund(payment["transactionId"], "19.00")
    world.billwerk.post("Refund", part).raise_for_status()
    body = world.billwerk.refund(payment["transactionId"], "150.00")
    answer = world.billwerk.post("Refund", body)
    assert (answer.status_code, outcome(answer)) == (422, "InvalidAmount")
    assert answer.json()["errorMessage"] == "Requested 150.00 EUR, refundable 100.00 EUR."
    assert world.billwerk.get("Refund", body["transactionId"]).status_code == 404
    assert world.psp.ledger(body["transactionId"]) == []
    assert amounts(world, payment) == (Decimal("19.00"), Decimal("100.00"))


def test_a_refund_in_another_currency_is_refused(world: World) -> None:
    body = world.billwerk.refund(world.paid("30.00")["transactionId"], "10.00", currency="CHF")
    answer = world.billwerk.post("Refund", body)
    assert (answer.status_code, outcome(answer)) == (422, "InvalidCurrency")
    assert world.psp.ledger(body["transactionId"]) == []


def test_a_refund_of_an_unknown_payment_is_refused(world: World) -> None:
    body = world.billwerk.refund(new_id(), "10.00")
    answer = world.billwerk.post("Refund", body)
    assert (answer.status_code, outcome(answer)) == (422, "InvalidData")
    assert world.billwerk.get("Refund", body["transactionId"]).status_code == 404


@pytest.mark.parametrize("attempt", range(5))
def test_of_two_refunds_that_are_too_much_together_exactly_one_is_done(
    world: World, attempt: int
) -> None:
    payment = world.paid("30.00")
    bodies = [world.billwerk.refund(payment["transactionId"], "20.00") for _ in range(2)]
    answers = world.at_once(*(lambda b=b: world.billwerk.post("Refund", b) for b in bodies))
    assert sorted(outcome(answer) for answer in answers) == ["InvalidAmount", "Succeeded"]
    ledgers = [world.psp.ledger(body["transactionId"]) for body in bodies]
    assert sorted(total(entries, "refund") for entries in ledgers) == [0, 20]
    assert amounts(world, payment) == (Decimal("20.00"), Decimal("10.00"))


def test_a_pending_refund_holds_its_part_until_it_fails(world: World) -> None:
    payment = world.paid("30.00")
    pending = world.billwerk.refund(payment["transactionId"], "20.06")
    assert outcome(world.billwerk.post("Refund", pending)) == "Pending"
    second = world.billwerk.refund(payment["transactionId"], "20.00")
    assert outcome(world.billwerk.post("Refund", second)) == "InvalidAmount"
    world.billwerk.wait_for_webhook(pending["transactionId"])
    third = world.billwerk.refund(payment["transactionId"], "20.00")
    assert outcome(world.billwerk.post("Refund", third)) == "Succeeded"
    assert amounts(world, payment) == (Decimal("20.00"), Decimal("10.00"))
