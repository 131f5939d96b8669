"""Requests that come more than once."""

from typing import Any

import pytest

from tests.e2e.platform import CARD, World, outcome
from tests.support.billwerk import new_id

pytestmark = pytest.mark.e2e

AT_ONCE = 10


def request(world: World, kind: str) -> tuple[str, dict[str, Any]]:
    """A request that books one movement."""
    match kind:
        case "charge":
            return "Payment", world.billwerk.payment(world.agreements[CARD], "20.00")
        case "capture":
            return "Payment", world.capture(world.authorized("20.00"), "20.00")
        case "refund":
            return "Refund", world.billwerk.refund(world.paid("30.00")["transactionId"], "20.00")
        case _:
            agreement = world.agreements[CARD]
            return "Preauth", world.billwerk.preauth(agreement, isInitial=False)


@pytest.mark.parametrize("kind", ["charge", "capture", "refund", "authorize"])
def test_the_same_request_ten_times_at_once_is_one_movement(world: World, kind: str) -> None:
    resource, body = request(world, kind)
    answers = world.at_once(*[lambda: world.billwerk.post(resource, body)] * AT_ONCE)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    seen = world.seen(resource, body, answers[0])
    assert (seen.first, seen.last, seen.booked) == ("Succeeded", "Succeeded", [kind])
    assert seen.later.content == seen.answer.content
    assert seen.webhooks == []


def test_a_declined_request_repeated_at_once_is_declined_with_one_voice(world: World) -> None:
    body = world.billwerk.payment(world.agreements[CARD], "20.01")
    answers = world.at_once(*[lambda: world.billwerk.post("Payment", body)] * AT_ONCE)
    assert {answer.status_code for answer in answers} == {422}
    assert len({answer.content for answer in answers}) == 1
    assert world.psp.ledger(body["transactionId"]) == []


def test_a_sign_up_posted_again_leads_to_the_same_page(world: World) -> None:
    body = world.billwerk.preauth(new_id())
    answers = world.at_once(*[lambda: world.billwerk.post("Preauth", body)] * AT_ONCE)
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
def test_an_id_used_before_for_something_else_is_refused(
    world: World, kind: str, change: dict[str, str]
) -> None:
    resource, body = request(world, kind)
    first = world.billwerk.post(resource, body)
    again = world.billwerk.post(resource, {**body, **change})
    assert (again.status_code, outcome(again)) == (500, "AlreadyExecuted")
    assert world.billwerk.get(resource, body["transactionId"]).content == first.content
    assert world.psp.kinds(body["transactionId"]) == [kind]


def test_an_id_used_before_for_another_kind_is_refused(world: World) -> None:
    payment = world.paid("20.00")
    body = world.billwerk.refund(payment["transactionId"], "20.00")
    body["transactionId"] = payment["transactionId"]
    answer = world.billwerk.post("Refund", body)
    assert (answer.status_code, outcome(answer)) == (500, "AlreadyExecuted")
    assert world.psp.kinds(payment["transactionId"]) == ["charge"]
