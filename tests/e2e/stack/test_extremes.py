"""Test ids, dates and currencies at their limits through API, workflows and the sandbox PSP."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.stack.environment import IBAN, Environment, outcome
from tests.e2e.stack.sandbox import decoded
from tests.support.billwerk import new_id

pytestmark = pytest.mark.e2e

EMOJI = "\N{GRINNING FACE}"


def emoji_id() -> str:
    """Return a new agreement id as long as the contract allows: 255 characters, mostly emoji."""
    return new_id().rjust(255, EMOJI)


def test_an_agreement_id_of_emoji_pays_and_refunds(environment: Environment) -> None:
    """Temporal refuses a search attribute of more than 2,048 bytes, and an emoji has 12."""
    signed = environment.billwerk.sign_up_debit(emoji_id(), IBAN)
    text = EMOJI * 2000
    body = environment.billwerk.debit(signed["agreementId"], "30.00", transactionReferenceText=text)
    assert decoded(environment.billwerk.post("Payment", body))["status"] == "Pending"
    environment.billwerk.wait_for("Payment", body["transactionId"], "Succeeded")
    refund = environment.billwerk.refund(body["transactionId"], "10.00")
    assert decoded(environment.billwerk.post("Refund", refund))["status"] == "Succeeded"


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01"])
def test_a_debit_is_not_planned_for_the_ends_of_the_calendar(
    environment: Environment, day: str
) -> None:
    signed = environment.billwerk.sign_up_debit(new_id(), IBAN)
    body = environment.billwerk.debit(signed["agreementId"], "30.00", plannedExecutionDate=day)
    answer = environment.billwerk.post("Payment", body)
    assert (answer.status_code, outcome(answer)) == (422, "InvalidData")
    next_year = datetime.now(UTC).date() + timedelta(days=365)
    body |= {"plannedExecutionDate": next_year.isoformat()}
    assert environment.billwerk.post("Payment", body).status_code == 200


def test_a_new_charge_needs_a_current_currency(environment: Environment) -> None:
    signed = environment.billwerk.sign_up_debit(new_id(), IBAN)
    body = environment.billwerk.debit(signed["agreementId"], "30.00", currency="BGN")
    answer = environment.billwerk.post("Payment", body)
    assert (answer.status_code, outcome(answer)) == (422, "InvalidCurrency")
    assert environment.psp.ledger(body["transactionId"]) == []
