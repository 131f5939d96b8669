"""Test repeated requests."""

from typing import Any

import pytest

from tests.e2e.stack.environment import CARD, Environment, outcome
from tests.support.billwerk import new_id

pytestmark = pytest.mark.e2e

REPEATS = 10


def request(environment: Environment, kind: str) -> tuple[str, dict[str, Any]]:
    """Build a request that books one movement."""
    match kind:
        case "charge":
            return "Payment", environment.billwerk.payment(environment.agreements[CARD], "20.00")
        case "capture":
            return "Payment", environment.capture(environment.authorized("20.00"), "20.00")
        case "refund":
            return "Refund", environment.billwerk.refund(
                environment.paid("30.00")["transactionId"], "20.00"
            )
        case _:
            agreement = environment.agreements[CARD]
            return "Preauth", environment.billwerk.preauth(agreement, isInitial=False)


@pytest.mark.parametrize("kind", ["charge", "capture", "refund", "authorize"])
def test_ten_concurrent_identical_requests_book_one_movement(
    environment: Environment, kind: str
) -> None:
    resource, body = request(environment, kind)
    answers = environment.at_once(*[lambda: environment.billwerk.post(resource, body)] * REPEATS)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    result = environment.seen(resource, body, answers[0])
    assert (result.first, result.last, result.booked) == ("Succeeded", "Succeeded", [kind])
    assert result.later.content == result.answer.content
    assert result.webhooks == []


def test_concurrent_declined_requests_get_the_same_response(
    environment: Environment,
) -> None:
    body = environment.billwerk.payment(environment.agreements[CARD], "20.01")
    answers = environment.at_once(*[lambda: environment.billwerk.post("Payment", body)] * REPEATS)
    assert {answer.status_code for answer in answers} == {422}
    assert len({answer.content for answer in answers}) == 1
    assert environment.psp.ledger(body["transactionId"]) == []


def test_a_repeated_sign_up_returns_the_same_redirect(environment: Environment) -> None:
    body = environment.billwerk.preauth(new_id())
    answers = environment.at_once(*[lambda: environment.billwerk.post("Preauth", body)] * REPEATS)
    assert len({answer.json()["redirectUrl"] for answer in answers}) == 1
    assert {outcome(answer) for answer in answers} == {"Initiated"}


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("charge", {"requestedAmount": "20.50"}),
        ("charge", {"currency": "CHF"}),
        ("charge", {"agreementId": "another"}),
        ("refund", {"requestedAmount": "1.00"}),
        ("authorize", {"requestedAmount": "1.00"}),
    ],
)
def test_a_reused_id_with_another_request_is_refused(
    environment: Environment, kind: str, change: dict[str, str]
) -> None:
    resource, body = request(environment, kind)
    first = environment.billwerk.post(resource, body)
    again = environment.billwerk.post(resource, {**body, **change})
    assert (again.status_code, outcome(again)) == (500, "AlreadyExecuted")
    assert environment.billwerk.get(resource, body["transactionId"]).content == first.content
    assert environment.psp.kinds(body["transactionId"]) == [kind]


def test_a_reused_id_of_another_kind_is_refused(environment: Environment) -> None:
    payment = environment.paid("20.00")
    body = environment.billwerk.refund(payment["transactionId"], "20.00")
    body["transactionId"] = payment["transactionId"]
    answer = environment.billwerk.post("Refund", body)
    assert (answer.status_code, outcome(answer)) == (500, "AlreadyExecuted")
    assert environment.psp.kinds(payment["transactionId"]) == ["charge"]
