"""Test the sandbox PSP's amount endings for charges, captures and refunds."""

from typing import Any

import httpx
import pytest

from tests.e2e.stack.environment import (
    TIMEOUT_SECONDS,
    Environment,
    TransactionResult,
    announcement,
    assert_ledgers_match,
    outcome,
)
from tests.e2e.stack.sandbox import decoded
from tests.e2e.stack.scenarios import ENDINGS, OPERATIONS, SLOW, Background, row

pytestmark = pytest.mark.e2e

KINDS = {"charge": "payment", "capture": "payment", "refund": "refund"}
QUICK = [ending for ending in ENDINGS if ending != SLOW]
REQUESTED = "20."


def check(operation: str, ending: str, result: TransactionResult) -> None:
    expected = row(operation, ending)
    booked = [operation] * expected.booked + ["chargeback"] * expected.charged_back
    assert (result.first, result.last) == (expected.first, expected.last)
    assert result.booked == booked
    assert result.webhooks == [announcement(KINDS[operation], result.id)] * expected.webhooks
    assert_ledgers_match(result, KINDS[operation])


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("ending", QUICK)
def test_an_amount_ends_as_the_psp_decides(
    background: Background, operation: str, ending: str
) -> None:
    check(operation, ending, background.movements[operation, ending].result(TIMEOUT_SECONDS))


# The PSP takes 15 s: the caller gets Pending after 10 s and the result by webhook.
@pytest.mark.usefixtures("run_last")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_slow_psp_call_continues_after_the_pending_response(
    background: Background, operation: str
) -> None:
    check(operation, SLOW, background.movements[operation, SLOW].result(TIMEOUT_SECONDS))


@pytest.mark.parametrize("ending", ["01", "02"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_declined_transaction_returns_the_same_error_at_every_get(
    background: Background, operation: str, ending: str
) -> None:
    result = background.movements[operation, ending].result(TIMEOUT_SECONDS)
    assert (result.answer.status_code, result.later.status_code) == (422, 422)
    # A workflow task that is executed again on a busy machine counts its own time.
    assert without_time(result.answer) == without_time(result.later)


def without_time(answer: httpx.Response) -> dict[str, Any]:
    return {name: value for name, value in decoded(answer).items() if name != "receivedAt"}


@pytest.mark.parametrize("ending", ["01", "02", "06"])
def test_a_failed_capture_allows_another_capture(
    environment: Environment, background: Background, ending: str
) -> None:
    result = background.movements["capture", ending].result(TIMEOUT_SECONDS)
    assert result.parent is not None
    again = environment.billwerk.post("Payment", environment.capture(result.parent, "30.00"))
    assert outcome(again) == "Succeeded"


@pytest.mark.parametrize(
    ("ending", "refundable"), [("01", "30.00"), ("03", "9.97"), ("06", "30.00"), ("07", "9.93")]
)
def test_a_payment_counts_only_successful_refunds(
    environment: Environment, background: Background, ending: str, refundable: str
) -> None:
    result = background.movements["refund", ending].result(TIMEOUT_SECONDS)
    assert result.parent is not None
    payment = decoded(environment.billwerk.get("Payment", result.parent["transactionId"]))
    assert str(payment["refundableAmount"]) == refundable
    assert payment["refundedAmount"] + payment["refundableAmount"] == 30
