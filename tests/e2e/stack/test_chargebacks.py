"""Test chargebacks of which money comes back, in part and in whole."""

from decimal import Decimal
from typing import Any

import pytest

from tests.e2e.stack.environment import Environment, announcement, movements, outcome, wait_until
from tests.e2e.stack.sandbox import decoded

pytestmark = pytest.mark.e2e


def read(environment: Environment, payment: dict[str, Any]) -> dict[str, Any]:
    return decoded(environment.billwerk.get("Payment", payment["transactionId"]))


def wait_for_refundable(
    environment: Environment, payment: dict[str, Any], amount: str, webhooks: int
) -> dict[str, Any]:
    """Wait until the change is announced; return the payment, which shows this refundable rest."""
    id = payment["transactionId"]
    wait_until(lambda: len(environment.billwerk.webhooks_of(id)) >= webhooks, f"change {webhooks}")
    assert environment.billwerk.webhooks_of(id)[-1] == announcement("payment", id)
    body = read(environment, payment)
    assert body["refundableAmount"] == Decimal(amount)
    assert body["status"] == "Succeeded"
    paid = sum(item["amount"] for item in body["payments"])
    taken = sum(item["amount"] for item in body["chargebacks"])
    assert paid - taken == Decimal(amount)
    return body


def test_a_chargeback_that_comes_back_can_be_refunded(environment: Environment) -> None:
    payment = environment.paid("119.00")
    id = payment["transactionId"]
    environment.psp.charge_back(id)
    withdrawn = wait_for_refundable(environment, payment, "0", 1)
    ((chargeback, amount),) = movements(withdrawn["chargebacks"])
    assert amount == Decimal("119.00")
    refused = environment.billwerk.post("Refund", environment.billwerk.refund(id, "119.00"))
    assert outcome(refused) == "InvalidAmount"

    environment.psp.return_chargeback(id, 4000)
    partly = wait_for_refundable(environment, payment, "40.00", 2)
    assert movements(partly["chargebacks"]) == [(chargeback, Decimal("79.00"))]
    assert partly["payments"] == withdrawn["payments"]

    environment.psp.return_chargeback(id)
    back = wait_for_refundable(environment, payment, "119.00", 3)
    assert movements(back["chargebacks"]) == [(chargeback, Decimal("119.00"))]
    assert back["payments"][:-1] == withdrawn["payments"]
    assert back["payments"][-1]["externalItemId"] == f"{chargeback}/reinstated"
    assert back["payments"][-1]["amount"] == Decimal("119.00")
    assert back["lastUpdated"] > partly["lastUpdated"] > withdrawn["lastUpdated"]

    refunded = environment.billwerk.post("Refund", environment.billwerk.refund(id, "119.00"))
    assert outcome(refunded) == "Succeeded"
    rest = read(environment, payment)
    assert (rest["refundedAmount"], rest["refundableAmount"]) == (Decimal("119.00"), 0)


def test_a_chargeback_won_and_another_lost_take_the_payment_once(environment: Environment) -> None:
    payment = environment.paid("119.00")
    for changes, move in enumerate(
        (
            environment.psp.charge_back,
            environment.psp.return_chargeback,
            environment.psp.charge_back,
        ),
        1,
    ):
        move(payment["transactionId"])
        left = "119.00" if changes == 2 else "0"
        body = wait_for_refundable(environment, payment, left, changes)
    assert len(body["chargebacks"]) == 2
    assert len(body["payments"]) == 2
