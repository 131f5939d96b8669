"""The balance finds every kind of badness, and nothing in books that are right."""

from dataclasses import replace
from decimal import Decimal

import pytest

from devtools.campaign.violations import Column
from tests.campaign.factories import AMOUNT, LATER, Books, answer, entry, error, paid


@pytest.fixture
def books() -> Books:
    return Books()


def test_books_that_agree_are_clean(books: Books) -> None:
    books.payment()
    books.add("f", "payment", error("Rejected"), expected="Failed:Rejected")
    books.add(
        "a",
        "preauth",
        answer("Succeeded", authorizedAmount=AMOUNT),
        entry("a", "authorize", psp_id="auth_1"),
    )
    books.add("w", "preauth", answer("Initiated"), expected="Waiting")
    assert books.findings() == set()


def test_a_refund_reaches_its_payment(books: Books) -> None:
    books.add(
        "p",
        "payment",
        paid(refundedAmount=AMOUNT, refundableAmount=Decimal(0)),
        entry("p", "charge"),
    )
    refund = answer("Succeeded", refundedAmount=AMOUNT)
    books.add("r", "refund", refund, entry("r", "refund", psp_id="re_1"), owner="p")
    assert books.findings() == set()


def test_a_charge_booked_twice_is_double(books: Books) -> None:
    books.payment()
    books.ledger.append(entry("p", "charge", psp_id="ch_2"))
    assert (Column.DOUBLE, "p") in books.findings()


def test_a_movement_of_nobody_is_double(books: Books) -> None:
    books.ledger.append(entry("stranger", "charge"))
    assert books.findings() == {(Column.DOUBLE, "stranger")}


def test_a_reservation_taken_and_given_back_is_double(books: Books) -> None:
    books.add(
        "a",
        "preauth",
        answer("Cancelled", authorizedAmount=AMOUNT),
        entry("a", "authorize", psp_id="auth_1"),
        entry("a", "void", psp_id="auth_1"),
        expected="Cancelled",
        state={"captured": True, "captured_by": "p"},
    )
    books.add("p", "payment", paid(), entry("p", "capture"), owner="a")
    assert books.findings() == {(Column.DOUBLE, "a")}


def test_a_booking_nobody_was_told_of_is_lost(books: Books) -> None:
    books.add("p", "payment", error("Rejected"), entry("p", "charge"), expected="Failed:Rejected")
    assert books.findings() == {(Column.LOST, "p")}


def test_a_success_without_a_booking_is_lost(books: Books) -> None:
    books.payment()
    books.ledger.clear()
    assert (Column.LOST, "p") in books.findings()


def test_a_chargeback_nobody_was_told_of_is_lost(books: Books) -> None:
    books.payment()
    books.ledger.append(entry("p", "chargeback", psp_id="cb_1"))
    assert (Column.LOST, "p") in books.findings()


def test_a_refund_nobody_was_told_of_is_lost(books: Books) -> None:
    books.payment()
    refund = entry("r", "refund", psp_id="re_1")
    books.add("r", "refund", error("Rejected"), refund, expected="Failed:Rejected", owner="p")
    assert (Column.LOST, "r") in books.findings()


@pytest.mark.parametrize(
    ("status", "movements"),
    [
        ("Cancelled", ["authorize"]),
        ("Succeeded", []),
        ("Succeeded", ["authorize", "void"]),
        ("Initiated", ["authorize"]),
    ],
)
def test_a_reservation_that_is_not_as_told_is_lost(
    books: Books, status: str, movements: list[str]
) -> None:
    held = answer(status, authorizedAmount=AMOUNT)
    entries = [entry("a", kind, psp_id="auth_1") for kind in movements]
    books.add("a", "preauth", held, *entries, expected=status)
    assert (Column.LOST, "a") in books.findings()


def test_an_outcome_that_cannot_be_is_wrong(books: Books) -> None:
    books.payment().expected = frozenset({"Failed:Rejected"})
    assert books.findings() == {(Column.WRONG, "p")}


def test_a_final_state_taken_back_is_wrong(books: Books) -> None:
    books.payment().claims.append("Failed:Rejected")
    assert books.findings() == {(Column.WRONG, "p")}


def test_a_confirmed_cancel_without_effect_is_wrong(books: Books) -> None:
    books.payment().cancelled = True
    assert books.findings() == {(Column.WRONG, "p")}


def test_a_store_behind_the_workflow_is_wrong(books: Books) -> None:
    books.payment()
    books.rows["p"] = replace(books.rows["p"], version=2)
    assert books.findings() == {(Column.WRONG, "p")}


def test_a_store_that_says_something_else_is_wrong(books: Books) -> None:
    books.payment()
    books.rows["p"] = replace(books.rows["p"], status="Pending")
    assert books.findings() == {(Column.WRONG, "p")}


def test_a_transaction_the_store_does_not_know_is_wrong(books: Books) -> None:
    books.payment()
    del books.rows["p"]
    assert (Column.WRONG, "p") in books.findings()


def test_a_capture_its_preauth_does_not_know_is_wrong(books: Books) -> None:
    held = answer("Succeeded", authorizedAmount=AMOUNT)
    books.add("a", "preauth", held, entry("a", "authorize", psp_id="auth_1"))
    books.add("p", "payment", paid(), entry("p", "capture"), owner="a")
    assert books.findings() == {(Column.WRONG, "a")}


def test_what_is_still_open_is_stuck(books: Books) -> None:
    books.add("p", "payment", answer("Pending"))
    assert books.findings() == {(Column.STUCK, "p")}


def test_what_was_never_answered_is_stuck(books: Books) -> None:
    books.payment().answered = False
    assert books.findings() == {(Column.STUCK, "p")}


def test_a_workflow_that_is_missing_failed_or_busy_is_stuck(books: Books) -> None:
    books.payment()
    flow = books.workflows.pop("p")
    assert books.findings() == {(Column.STUCK, "p")}
    books.workflows["p"] = replace(flow, status="FAILED")
    assert books.findings() == {(Column.STUCK, "p")}
    books.workflows["p"] = replace(flow, busy=("charge, attempt 9",))
    assert books.findings() == {(Column.STUCK, "p")}
    books.workflows["p"] = replace(flow, delivery={"state": "undelivered"})
    assert books.findings() == {(Column.STUCK, "p")}


@pytest.mark.parametrize(
    "state", [{"reservations": {"r": "3.00"}}, {"captured_by": "x"}, {"cancelling": True}]
)
def test_what_is_held_for_nobody_is_stuck(books: Books, state: dict[str, object]) -> None:
    books.add("p", "payment", paid(), entry("p", "charge"), state=state)
    assert books.findings() == {(Column.STUCK, "p")}


def test_a_change_nobody_announced_is_stale(books: Books) -> None:
    made = books.payment()
    made.known = None
    made.told(answer("Pending"), asked=True)
    assert books.findings() == {(Column.STALE, "p")}


def test_an_older_answer_does_not_replace_a_newer_one(books: Books) -> None:
    made = books.payment()
    made.told(answer("Pending", lastUpdated="2026-01-01T11:00:00.0000000Z"), asked=True)
    assert books.findings() == set()
    made.told(answer("Pending", lastUpdated=LATER), asked=True)
    assert books.findings() == {(Column.STALE, "p")}


def test_more_given_back_than_paid_is_an_over_refund(books: Books) -> None:
    books.add(
        "p",
        "payment",
        paid(refundedAmount=AMOUNT * 2, refundableAmount=Decimal(0)),
        entry("p", "charge"),
    )
    for id in ("r1", "r2"):
        refund = answer("Succeeded", refundedAmount=AMOUNT)
        books.add(id, "refund", refund, entry(id, "refund", psp_id=id), owner="p")
    assert books.findings() == {(Column.OVER, "p")}


def test_asking_the_psp_for_more_than_is_left_is_an_over_refund(books: Books) -> None:
    books.payment()
    refused = error("InvalidAmount")
    books.add("r", "refund", refused, expected="Failed:InvalidAmount", owner="p")
    assert books.findings() == set()
    books.rows["r"] = replace(books.rows["r"], evidence='{"kind":"answer"}')
    assert books.findings() == {(Column.OVER, "r")}


def test_another_amount_than_asked_for_is_a_mismatch(books: Books) -> None:
    books.add("p", "payment", paid(Decimal(31)), entry("p", "charge", Decimal(31)))
    assert books.findings() == {(Column.AMOUNT, "p")}


def test_a_movement_shown_twice_is_a_mismatch(books: Books) -> None:
    items = [{"externalItemId": id, "amount": AMOUNT} for id in ("ch_1", "ch_1-again")]
    final = answer("Succeeded", payments=items, refundableAmount=AMOUNT)
    books.add("p", "payment", final, entry("p", "charge"))
    assert (Column.AMOUNT, "p") in books.findings()


def test_a_refund_counted_twice_is_a_mismatch(books: Books) -> None:
    books.add(
        "p",
        "payment",
        paid(refundedAmount=Decimal(20), refundableAmount=Decimal(10)),
        entry("p", "charge"),
    )
    assert books.findings() == {(Column.AMOUNT, "p")}


def test_a_second_amount_under_the_same_id_is_a_mismatch(books: Books) -> None:
    books.payment().clash_accepted = True
    assert books.findings() == {(Column.AMOUNT, "p")}
