"""Test captures and cancellations of preauths."""

from typing import Any

import httpx
import pytest

from tests.e2e.stack.environment import (
    CARD,
    TIMEOUT_SECONDS,
    Environment,
    announcement,
    assert_ledgers_match,
    outcome,
)
from tests.e2e.stack.scenarios import Background
from tests.support.billwerk import new_id, submit_checkout

pytestmark = pytest.mark.e2e


def cancel(environment: Environment, preauth: dict[str, Any]) -> httpx.Response:
    return environment.billwerk.client.post(f"/api/Preauth/{preauth['transactionId']}/Cancel")


def assert_refused(environment: Environment, body: dict[str, Any], status: int, code: str) -> None:
    """Assert that a payment is refused, not stored and not sent to the PSP."""
    answer = environment.billwerk.post("Payment", body)
    assert (answer.status_code, outcome(answer)) == (status, code)
    assert environment.billwerk.get("Payment", body["transactionId"]).status_code == 404
    assert environment.psp.ledger(body["transactionId"]) == []


def test_a_capture_succeeds_and_leaves_the_preauth_unchanged(
    environment: Environment, background: Background
) -> None:
    result = background.captured.result(TIMEOUT_SECONDS)
    assert (result.first, result.last, result.booked) == ("Succeeded", "Succeeded", ["capture"])
    assert result.webhooks == []
    assert result.body["bearer"]["Last4"] == "4242"
    assert_ledgers_match(result, "payment")
    assert result.parent is not None
    assert (
        outcome(environment.billwerk.get("Preauth", result.parent["transactionId"])) == "Succeeded"
    )


def test_a_second_capture_is_refused(environment: Environment, background: Background) -> None:
    parent = background.captured.result(TIMEOUT_SECONDS).parent
    assert parent is not None
    assert_refused(environment, environment.capture(parent, "1.00"), 500, "InvalidPreconditions")


def test_no_more_than_was_reserved_can_be_captured(environment: Environment) -> None:
    preauth = environment.authorized("20.00")
    assert_refused(environment, environment.capture(preauth, "20.50"), 422, "InvalidAmount")
    part = environment.billwerk.post("Payment", environment.capture(preauth, "15.00"))
    assert outcome(part) == "Succeeded"


def test_a_capture_must_name_the_agreement_of_its_preauth(environment: Environment) -> None:
    preauth = environment.authorized("20.00")
    other_agreement = environment.capture(
        preauth, "20.00", agreementId=environment.agreements[CARD]
    )
    assert_refused(environment, other_agreement, 500, "InvalidPreconditions")
    other_currency = environment.capture(preauth, "20.00", currency="CHF")
    assert_refused(environment, other_currency, 422, "InvalidCurrency")


def test_a_capture_of_an_unknown_preauth_is_refused(environment: Environment) -> None:
    body = environment.billwerk.payment(
        environment.agreements[CARD], "20.00", preauthTransactionId=new_id()
    )
    assert_refused(environment, body, 422, "InvalidData")


def test_a_payment_without_a_known_agreement_is_refused(environment: Environment) -> None:
    assert_refused(environment, environment.billwerk.payment(new_id(), "20.00"), 422, "InvalidData")


def test_a_repeatedly_cancelled_preauth_is_voided_once(
    environment: Environment,
) -> None:
    preauth = environment.authorized("20.00")
    expected = {"cancellationStatus": "Succeeded", "transactionId": preauth["transactionId"]}
    for _ in range(3):
        answer = cancel(environment, preauth)
        assert (answer.status_code, answer.json()) == (200, expected)
    assert outcome(environment.billwerk.get("Preauth", preauth["transactionId"])) == "Cancelled"
    assert environment.psp.kinds(preauth["transactionId"]) == ["authorize", "void"]
    assert_refused(environment, environment.capture(preauth, "20.00"), 500, "InvalidPreconditions")


def test_a_captured_preauth_cannot_be_cancelled(environment: Environment) -> None:
    preauth = environment.authorized("20.00")
    environment.billwerk.post("Payment", environment.capture(preauth, "20.00")).raise_for_status()
    answer = cancel(environment, preauth)
    assert (answer.status_code, outcome(answer)) == (500, "InvalidPreconditions")
    assert environment.psp.kinds(preauth["transactionId"]) == ["authorize"]


def test_after_a_cancelled_sign_up_the_customer_cannot_pay_any_more(
    environment: Environment,
) -> None:
    body = environment.billwerk.preauth(new_id())
    opened = environment.billwerk.post("Preauth", body)
    assert cancel(environment, body).json()["cancellationStatus"] == "Succeeded"
    return_url = submit_checkout(opened.json()["redirectUrl"], CARD).headers["location"]
    assert return_url.startswith("https://shop.example/abort")
    result = environment.seen("Preauth", body, opened)
    assert (result.last, result.ledger) == ("Cancelled", [])


def test_a_debit_mandate_cannot_be_cancelled(environment: Environment) -> None:
    body = environment.billwerk.sign_up_debit(new_id(), "DE89370400440532013000")
    answer = cancel(environment, body)
    assert (answer.status_code, outcome(answer)) == (500, "InvalidPreconditions")


@pytest.mark.parametrize("attempt", range(3))
def test_of_a_concurrent_capture_and_cancellation_exactly_one_succeeds(
    environment: Environment, background: Background, attempt: int
) -> None:
    preauth = environment.authorized("20.00")
    body = environment.capture(preauth, "20.00")
    captured, cancelled = environment.at_once(
        lambda: environment.billwerk.post("Payment", body), lambda: cancel(environment, preauth)
    )
    kinds = environment.psp.kinds(preauth["transactionId"]) + environment.psp.kinds(
        body["transactionId"]
    )
    if outcome(captured) == "Succeeded":
        assert outcome(cancelled) == "InvalidPreconditions"
        assert kinds == ["authorize", "capture"]
    else:
        assert cancelled.json()["cancellationStatus"] == "Succeeded"
        assert kinds == ["authorize", "void"]


def test_a_chargeback_is_announced(environment: Environment) -> None:
    payment = environment.paid("49.90")
    environment.psp.charge_back(payment["transactionId"], 990)
    answer = environment.billwerk.get("Payment", payment["transactionId"])
    result = environment.seen("Payment", payment, answer, webhooks=1)
    assert result.webhooks == [announcement("payment", result.id)]
    assert str(result.body["refundableAmount"]) == "40.00"
    assert_ledgers_match(result, "payment")
