"""Test disputes at Stripe on the whole stack, with the Stripe adapter and its emulator."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.e2e.stack.environment import CARD, Environment, open_environment, outcome, wait_until
from tests.e2e.stack.sandbox import decoded
from tests.support.stack import running_stack

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """A stack whose merchant uses Stripe, with an agreement for a card."""
    folder = tmp_path_factory.mktemp("stripe") / "data"
    with (
        running_stack(folder, {"INTEGRATOR_DEMO_PSP": "stripe"}) as stack,
        open_environment(stack) as environment,
    ):
        environment.sign_up(CARD)
        yield environment


@pytest.fixture
def stripe(environment: Environment) -> Iterator[httpx.Client]:
    """Stripe's API for the merchant."""
    run, demo = environment.stack.run, environment.stack.demo
    headers = {"Authorization": f"Bearer {demo['api_key']}"}
    with httpx.Client(base_url=f"{run['sandbox_psp']}/stripe/v1", headers=headers) as client:
        yield client


def read(environment: Environment, payment: dict[str, Any]) -> dict[str, Any]:
    return decoded(environment.billwerk.get("Payment", payment["transactionId"]))


def wait_for_refundable(
    environment: Environment, payment: dict[str, Any], amount: str
) -> dict[str, Any]:
    def has_amount() -> bool:
        return bool(read(environment, payment)["refundableAmount"] == Decimal(amount))

    wait_until(has_amount, f"{amount} to be refundable")
    return read(environment, payment)


def disputed(environment: Environment, stripe: httpx.Client) -> tuple[dict[str, Any], str]:
    """Pay 119.00, refund 40.00, and dispute the payment; return its request and the dispute."""
    payment = environment.paid("119.00")
    id = payment["transactionId"]
    refund = environment.billwerk.refund(id, "40.00")
    assert outcome(environment.billwerk.post("Refund", refund)) == "Succeeded"
    environment.psp.charge_back(id)
    wait_for_refundable(environment, payment, "0")
    intent = read(environment, payment)["pspTransactionId"]
    listed = stripe.get("disputes", params={"payment_intent": intent}).raise_for_status().json()
    [dispute] = listed["data"]
    return payment, dispute["id"]


def decide(stripe: httpx.Client, dispute: str, evidence: str) -> None:
    form = {"evidence[uncategorized_text]": evidence}
    stripe.post(f"disputes/{dispute}", data=form).raise_for_status()


def amounts(items: list[dict[str, Any]]) -> list[str]:
    return [f"{item['amount']:.2f}" for item in items]


def test_a_dispute_lost_after_a_refund_takes_the_rest(
    environment: Environment, stripe: httpx.Client
) -> None:
    payment, dispute = disputed(environment, stripe)
    assert amounts(read(environment, payment)["chargebacks"]) == ["119.00"]
    decide(stripe, dispute, "losing_evidence")

    def has_rest() -> bool:
        return amounts(read(environment, payment)["chargebacks"]) == ["79.00"]

    wait_until(has_rest, "the chargeback of the rest")
    body = read(environment, payment)
    assert (body["status"], body["refundableAmount"]) == ("Succeeded", 0)
    assert body["refundedAmount"] == Decimal("40.00")


def test_money_of_a_dispute_that_was_won_can_be_refunded(
    environment: Environment, stripe: httpx.Client
) -> None:
    payment, dispute = disputed(environment, stripe)
    decide(stripe, dispute, "winning_evidence")
    body = wait_for_refundable(environment, payment, "79.00")
    assert amounts(body["chargebacks"]) == ["119.00"]
    assert amounts(body["payments"]) == ["119.00", "119.00"]
    assert body["payments"][1]["externalItemId"].endswith("/reinstated")
    refund = environment.billwerk.refund(payment["transactionId"], "79.00")
    assert outcome(environment.billwerk.post("Refund", refund)) == "Succeeded"
    assert read(environment, payment)["refundableAmount"] == 0
