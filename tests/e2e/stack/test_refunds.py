"""Test refunds: in parts, never more than was paid."""

from decimal import Decimal
from typing import Any

import pytest

from tests.e2e.stack.environment import Environment, assert_ledgers_match, outcome
from tests.e2e.stack.sandbox import decoded, total
from tests.support.billwerk import new_id

pytestmark = pytest.mark.e2e


def amounts(environment: Environment, payment: dict[str, Any]) -> tuple[Decimal, Decimal]:
    """Return a payment's refunded and refundable amounts."""
    body = decoded(environment.billwerk.get("Payment", payment["transactionId"]))
    assert body["status"] == "Succeeded"
    return Decimal(body["refundedAmount"]), Decimal(body["refundableAmount"])


def test_a_refund_changes_itself_and_its_payment(environment: Environment) -> None:
    payment = environment.paid("119.00")
    before = decoded(environment.billwerk.get("Payment", payment["transactionId"]))
    result = environment.play(
        "Refund", environment.billwerk.refund(payment["transactionId"], "19.00")
    )
    assert (result.first, result.last, result.webhooks) == ("Succeeded", "Succeeded", [])
    assert "bookingDate" in result.body
    assert_ledgers_match(result, "refund")
    assert amounts(environment, payment) == (Decimal("19.00"), Decimal("100.00"))
    after = decoded(environment.billwerk.get("Payment", payment["transactionId"]))
    assert after["lastUpdated"] > before["lastUpdated"]
    assert after["payments"] == before["payments"]
    assert environment.billwerk.webhooks_of(payment["transactionId"]) == []


def test_a_payment_can_be_refunded_in_parts_up_to_the_last_cent(environment: Environment) -> None:
    payment = environment.paid("30.00")
    for part, left in (("10.00", "20.00"), ("19.50", "0.50"), ("0.50", "0.00")):
        refund = environment.billwerk.refund(payment["transactionId"], part)
        answer = decoded(environment.billwerk.post("Refund", refund))
        assert (answer["status"], answer["refundedAmount"]) == ("Succeeded", Decimal(part))
        assert amounts(environment, payment)[1] == Decimal(left)
    more = environment.billwerk.post(
        "Refund", environment.billwerk.refund(payment["transactionId"], "0.20")
    )
    assert (more.status_code, outcome(more)) == (422, "InvalidAmount")


def test_more_than_is_left_cannot_be_refunded(environment: Environment) -> None:
    payment = environment.paid("119.00")
    part = environment.billwerk.refund(payment["transactionId"], "19.00")
    environment.billwerk.post("Refund", part).raise_for_status()
    body = environment.billwerk.refund(payment["transactionId"], "150.00")
    answer = environment.billwerk.post("Refund", body)
    assert (answer.status_code, outcome(answer)) == (422, "InvalidAmount")
    assert answer.json()["errorMessage"] == "Requested 150.00 EUR, refundable 100.00 EUR."
    assert environment.billwerk.get("Refund", body["transactionId"]).status_code == 404
    assert environment.psp.ledger(body["transactionId"]) == []
    assert amounts(environment, payment) == (Decimal("19.00"), Decimal("100.00"))


def test_a_refund_in_another_currency_is_refused(environment: Environment) -> None:
    body = environment.billwerk.refund(
        environment.paid("30.00")["transactionId"], "10.00", currency="CHF"
    )
    answer = environment.billwerk.post("Refund", body)
    assert (answer.status_code, outcome(answer)) == (422, "InvalidCurrency")
    assert environment.psp.ledger(body["transactionId"]) == []


def test_a_refund_of_an_unknown_payment_is_refused(environment: Environment) -> None:
    body = environment.billwerk.refund(new_id(), "10.00")
    answer = environment.billwerk.post("Refund", body)
    assert (answer.status_code, outcome(answer)) == (422, "InvalidData")
    assert environment.billwerk.get("Refund", body["transactionId"]).status_code == 404


@pytest.mark.parametrize("attempt", range(5))
def test_of_two_refunds_exceeding_the_payment_exactly_one_succeeds(
    environment: Environment, attempt: int
) -> None:
    payment = environment.paid("30.00")
    bodies = [environment.billwerk.refund(payment["transactionId"], "20.00") for _ in range(2)]
    answers = environment.at_once(
        *(lambda b=b: environment.billwerk.post("Refund", b) for b in bodies)
    )
    assert sorted(outcome(answer) for answer in answers) == ["InvalidAmount", "Succeeded"]
    ledgers = [environment.psp.ledger(body["transactionId"]) for body in bodies]
    assert sorted(total(entries, "refund") for entries in ledgers) == [0, 20]
    assert amounts(environment, payment) == (Decimal("20.00"), Decimal("10.00"))


def test_a_pending_refund_reserves_its_amount_until_it_fails(environment: Environment) -> None:
    payment = environment.paid("30.00")
    pending = environment.billwerk.refund(payment["transactionId"], "20.06")
    assert outcome(environment.billwerk.post("Refund", pending)) == "Pending"
    second = environment.billwerk.refund(payment["transactionId"], "20.00")
    assert outcome(environment.billwerk.post("Refund", second)) == "InvalidAmount"
    environment.billwerk.wait_for_webhook(pending["transactionId"])
    third = environment.billwerk.refund(payment["transactionId"], "20.00")
    assert outcome(environment.billwerk.post("Refund", third)) == "Succeeded"
    assert amounts(environment, payment) == (Decimal("20.00"), Decimal("10.00"))
