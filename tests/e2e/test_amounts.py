"""The amount endings of the sandbox PSP, for charges, captures and refunds."""

import pytest

from tests.e2e.platform import HANG_SECONDS, Seen, World, announcement, assert_same_books, outcome
from tests.e2e.sandbox import decoded
from tests.e2e.scenarios import ENDINGS, OPERATIONS, SLOW, Background, row

pytestmark = pytest.mark.e2e

KINDS = {"charge": "payment", "capture": "payment", "refund": "refund"}
QUICK = [ending for ending in ENDINGS if ending != SLOW]
REQUESTED = "20."


def check(operation: str, ending: str, seen: Seen) -> None:
    expected = row(operation, ending)
    booked = [operation] * expected.booked + ["chargeback"] * expected.charged_back
    assert (seen.first, seen.last) == (expected.first, expected.last)
    assert seen.booked == booked
    assert seen.webhooks == [announcement(KINDS[operation], seen.id)] * expected.webhooks
    assert_same_books(seen, KINDS[operation])


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("ending", QUICK)
def test_an_amount_ends_as_the_psp_decides(
    background: Background, operation: str, ending: str
) -> None:
    check(operation, ending, background.movements[operation, ending].result(HANG_SECONDS))


# The PSP takes 15 s: the caller is answered Pending after 10 s and told by webhook.
@pytest.mark.usefixtures("comes_last")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_slow_psp_is_waited_for_after_the_caller_was_told_pending(
    background: Background, operation: str
) -> None:
    check(operation, SLOW, background.movements[operation, SLOW].result(HANG_SECONDS))


@pytest.mark.parametrize("ending", ["01", "02"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_was_declined_is_the_same_error_at_every_later_get(
    background: Background, operation: str, ending: str
) -> None:
    seen = background.movements[operation, ending].result(HANG_SECONDS)
    assert (seen.answer.status_code, seen.later.status_code) == (422, 422)
    assert seen.answer.content == seen.later.content


@pytest.mark.parametrize("ending", ["01", "02", "06"])
def test_a_failed_capture_leaves_the_reservation_for_another(
    world: World, background: Background, ending: str
) -> None:
    seen = background.movements["capture", ending].result(HANG_SECONDS)
    assert seen.owner is not None
    again = world.billwerk.post("Payment", world.capture(seen.owner, "30.00"))
    assert outcome(again) == "Succeeded"


@pytest.mark.parametrize(
    ("ending", "refundable"), [("01", "30.00"), ("03", "9.97"), ("06", "30.00"), ("07", "9.93")]
)
def test_a_payment_counts_the_refunds_that_were_done_and_no_others(
    world: World, background: Background, ending: str, refundable: str
) -> None:
    seen = background.movements["refund", ending].result(HANG_SECONDS)
    assert seen.owner is not None
    payment = decoded(world.billwerk.get("Payment", seen.owner["transactionId"]))
    assert str(payment["refundableAmount"]) == refundable
    assert payment["refundedAmount"] + payment["refundableAmount"] == 30
