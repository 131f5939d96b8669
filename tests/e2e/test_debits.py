"""Direct debits, by the IBANs of the sandbox PSP."""

import pytest

from tests.e2e.platform import (
    HANG_SECONDS,
    IBAN,
    IBAN_CHARGED_BACK,
    World,
    announcement,
    assert_same_books,
    outcome,
)
from tests.e2e.scenarios import DEBITS, Background
from tests.support.billwerk import new_id

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("iban", DEBITS)
def test_a_debit_ends_as_the_bank_decides(background: Background, iban: str) -> None:
    expected = DEBITS[iban]
    seen = background.debits[iban].result(HANG_SECONDS)
    booked = ["charge"] * expected.booked + ["chargeback"] * expected.charged_back
    assert (seen.first, seen.last) == (expected.first, expected.last)
    assert seen.booked == booked
    assert seen.webhooks == [announcement("payment", seen.id)] * expected.webhooks
    assert_same_books(seen, "payment")


def test_a_debit_names_its_day_and_its_mandate(background: Background) -> None:
    seen = background.debits[IBAN].result(HANG_SECONDS)
    assert seen.body["dueDate"] == f"{seen.request['plannedExecutionDate']}T00:00:00.0000000Z"
    assert seen.body["bearer"]["IBAN"] == IBAN
    assert seen.body["bearer"]["MandateId"].startswith("mdt_")


def test_a_debit_that_was_charged_back_has_nothing_left_to_refund(
    world: World, background: Background
) -> None:
    seen = background.debits[IBAN_CHARGED_BACK].result(HANG_SECONDS)
    (chargeback,) = seen.body["chargebacks"]
    assert (chargeback["reason"], chargeback["pspReasonCode"]) == ("InsufficientBalance", "AM04")
    assert str(chargeback["feeAmount"]) == "3.50"
    assert (seen.body["refundedAmount"], seen.body["refundableAmount"]) == (0, 0)
    refund = world.billwerk.refund(seen.id, "1.00")
    answer = world.billwerk.post("Refund", refund)
    assert (answer.status_code, outcome(answer)) == (422, "InvalidAmount")
    assert world.psp.ledger(refund["transactionId"]) == []


def test_a_debit_cannot_be_captured(world: World) -> None:
    signed = world.billwerk.sign_up_debit(new_id(), IBAN)
    body = world.billwerk.debit(
        signed["agreementId"], "10.00", preauthTransactionId=signed["transactionId"]
    )
    answer = world.billwerk.post("Payment", body)
    assert (answer.status_code, outcome(answer)) == (500, "InvalidPreconditions")
