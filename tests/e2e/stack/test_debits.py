"""Test direct debits with the sandbox PSP's IBANs."""

import pytest

from tests.e2e.stack.environment import (
    IBAN,
    IBAN_CHARGED_BACK,
    TIMEOUT_SECONDS,
    Environment,
    announcement,
    assert_ledgers_match,
    outcome,
)
from tests.e2e.stack.scenarios import DEBITS, Background
from tests.support.billwerk import new_id

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("iban", DEBITS)
def test_a_debit_ends_as_the_bank_decides(background: Background, iban: str) -> None:
    expected = DEBITS[iban]
    result = background.debits[iban].result(TIMEOUT_SECONDS)
    booked = ["charge"] * expected.booked + ["chargeback"] * expected.charged_back
    assert (result.first, result.last) == (expected.first, expected.last)
    assert result.booked == booked
    assert result.webhooks == [announcement("payment", result.id)] * expected.webhooks
    assert_ledgers_match(result, "payment")


def test_a_debit_names_its_day_and_its_mandate(background: Background) -> None:
    result = background.debits[IBAN].result(TIMEOUT_SECONDS)
    assert result.body["dueDate"] == f"{result.request['plannedExecutionDate']}T00:00:00.0000000Z"
    assert result.body["bearer"]["IBAN"] == IBAN
    assert result.body["bearer"]["MandateId"].startswith("mdt_")


def test_a_debit_that_was_charged_back_has_nothing_left_to_refund(
    environment: Environment, background: Background
) -> None:
    result = background.debits[IBAN_CHARGED_BACK].result(TIMEOUT_SECONDS)
    (chargeback,) = result.body["chargebacks"]
    assert (chargeback["reason"], chargeback["pspReasonCode"]) == ("InsufficientBalance", "AM04")
    assert str(chargeback["feeAmount"]) == "3.50"
    assert (result.body["refundedAmount"], result.body["refundableAmount"]) == (0, 0)
    refund = environment.billwerk.refund(result.id, "1.00")
    answer = environment.billwerk.post("Refund", refund)
    assert (answer.status_code, outcome(answer)) == (422, "InvalidAmount")
    assert environment.psp.ledger(refund["transactionId"]) == []


def test_a_debit_cannot_be_captured(environment: Environment) -> None:
    signed = environment.billwerk.sign_up_debit(new_id(), IBAN)
    body = environment.billwerk.debit(
        signed["agreementId"], "10.00", preauthTransactionId=signed["transactionId"]
    )
    answer = environment.billwerk.post("Payment", body)
    assert (answer.status_code, outcome(answer)) == (500, "InvalidPreconditions")
