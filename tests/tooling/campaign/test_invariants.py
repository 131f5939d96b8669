"""The invariants find every kind of violation, and none in consistent records."""

from dataclasses import replace
from decimal import Decimal

import pytest

from devtools.campaign.violations import Column
from tests.tooling.campaign.factories import (
    AMOUNT,
    LATER,
    Records,
    failed_response,
    ledger_entry,
    paid_response,
    response,
)


@pytest.fixture
def records() -> Records:
    return Records()


def test_consistent_records_have_no_violations(records: Records) -> None:
    records.payment()
    records.add("f", "payment", failed_response("Rejected"), expected="Failed:Rejected")
    records.add(
        "a",
        "preauth",
        response("Succeeded", authorizedAmount=AMOUNT),
        ledger_entry("a", "authorize", psp_id="auth_1"),
    )
    records.add("w", "preauth", response("Initiated"), expected="Waiting")
    assert records.violations() == set()


def test_a_refund_reported_by_its_payment_is_no_violation(records: Records) -> None:
    records.add(
        "p",
        "payment",
        paid_response(refundedAmount=AMOUNT, refundableAmount=Decimal(0)),
        ledger_entry("p", "charge"),
    )
    refund = response("Succeeded", refundedAmount=AMOUNT)
    records.add("r", "refund", refund, ledger_entry("r", "refund", psp_id="re_1"), parent="p")
    assert records.violations() == set()


def test_a_charge_booked_twice_is_a_double_movement(records: Records) -> None:
    records.payment()
    records.ledger.append(ledger_entry("p", "charge", psp_id="ch_2"))
    assert (Column.DOUBLE, "p") in records.violations()


def test_a_movement_with_an_unknown_reference_is_a_double_movement(records: Records) -> None:
    records.ledger.append(ledger_entry("unknown", "charge"))
    assert records.violations() == {(Column.DOUBLE, "unknown")}


def test_a_preauth_captured_and_voided_is_a_double_movement(records: Records) -> None:
    records.add(
        "a",
        "preauth",
        response("Cancelled", authorizedAmount=AMOUNT),
        ledger_entry("a", "authorize", psp_id="auth_1"),
        ledger_entry("a", "void", psp_id="auth_1"),
        expected="Cancelled",
        state={"captured": True, "captured_by": "p"},
    )
    records.add("p", "payment", paid_response(), ledger_entry("p", "capture"), parent="a")
    assert records.violations() == {(Column.DOUBLE, "a")}


def test_a_booking_reported_as_failed_is_a_lost_outcome(records: Records) -> None:
    records.add(
        "p",
        "payment",
        failed_response("Rejected"),
        ledger_entry("p", "charge"),
        expected="Failed:Rejected",
    )
    assert records.violations() == {(Column.LOST, "p")}


def test_a_success_without_a_booking_is_a_lost_outcome(records: Records) -> None:
    records.payment()
    records.ledger.clear()
    assert (Column.LOST, "p") in records.violations()


def test_an_unreported_chargeback_is_a_lost_outcome(records: Records) -> None:
    records.payment()
    records.ledger.append(ledger_entry("p", "chargeback", psp_id="cb_1"))
    assert (Column.LOST, "p") in records.violations()


def test_a_refund_reported_as_failed_is_a_lost_outcome(records: Records) -> None:
    records.payment()
    refund = ledger_entry("r", "refund", psp_id="re_1")
    records.add(
        "r", "refund", failed_response("Rejected"), refund, expected="Failed:Rejected", parent="p"
    )
    assert (Column.LOST, "r") in records.violations()


@pytest.mark.parametrize(
    ("status", "movements"),
    [
        ("Cancelled", ["authorize"]),
        ("Succeeded", []),
        ("Succeeded", ["authorize", "void"]),
        ("Initiated", ["authorize"]),
    ],
)
def test_a_preauth_reported_differently_is_a_lost_outcome(
    records: Records, status: str, movements: list[str]
) -> None:
    authorized = response(status, authorizedAmount=AMOUNT)
    entries = [ledger_entry("a", kind, psp_id="auth_1") for kind in movements]
    records.add("a", "preauth", authorized, *entries, expected=status)
    assert (Column.LOST, "a") in records.violations()


def test_an_unexpected_outcome_is_a_wrong_state(records: Records) -> None:
    records.payment().expected = frozenset({"Failed:Rejected"})
    assert records.violations() == {(Column.WRONG, "p")}


def test_a_changed_final_state_is_a_wrong_state(records: Records) -> None:
    records.payment().final_outcomes.append("Failed:Rejected")
    assert records.violations() == {(Column.WRONG, "p")}


def test_a_confirmed_cancellation_without_effect_is_a_wrong_state(records: Records) -> None:
    records.payment().cancelled = True
    assert records.violations() == {(Column.WRONG, "p")}


def test_a_store_behind_the_workflow_is_a_wrong_state(records: Records) -> None:
    records.payment()
    records.rows["p"] = replace(records.rows["p"], version=2)
    assert records.violations() == {(Column.WRONG, "p")}


def test_another_status_in_the_store_is_a_wrong_state(records: Records) -> None:
    records.payment()
    records.rows["p"] = replace(records.rows["p"], status="Pending")
    assert records.violations() == {(Column.WRONG, "p")}


def test_a_transaction_missing_in_the_store_is_a_wrong_state(records: Records) -> None:
    records.payment()
    del records.rows["p"]
    assert (Column.WRONG, "p") in records.violations()


def test_a_capture_missing_in_its_preauth_is_a_wrong_state(records: Records) -> None:
    authorized = response("Succeeded", authorizedAmount=AMOUNT)
    records.add("a", "preauth", authorized, ledger_entry("a", "authorize", psp_id="auth_1"))
    records.add("p", "payment", paid_response(), ledger_entry("p", "capture"), parent="a")
    assert records.violations() == {(Column.WRONG, "a")}


def test_an_undecided_transaction_is_stuck(records: Records) -> None:
    records.add("p", "payment", response("Pending"))
    assert records.violations() == {(Column.STUCK, "p")}


def test_an_unanswered_request_is_stuck(records: Records) -> None:
    records.payment().answered = False
    assert records.violations() == {(Column.STUCK, "p")}


def test_a_workflow_that_is_missing_failed_or_busy_is_stuck(records: Records) -> None:
    records.payment()
    workflow = records.workflows.pop("p")
    assert records.violations() == {(Column.STUCK, "p")}
    records.workflows["p"] = replace(workflow, status="FAILED")
    assert records.violations() == {(Column.STUCK, "p")}
    records.workflows["p"] = replace(workflow, pending_work=("charge, attempt 9",))
    assert records.violations() == {(Column.STUCK, "p")}
    records.workflows["p"] = replace(workflow, delivery={"state": "undelivered"})
    assert records.violations() == {(Column.STUCK, "p")}


def test_an_interrupted_transaction_needs_no_workflow_once_it_is_decided(records: Records) -> None:
    records.payment().interrupted = True
    workflow = records.workflows.pop("p")
    assert records.violations() == set()
    records.workflows["p"] = replace(workflow, status="TERMINATED")
    assert records.violations() == set()
    records.rows["p"] = replace(records.rows["p"], due="parent")
    assert records.violations() == {(Column.STUCK, "p")}
    records.add("q", "payment", response("Pending")).interrupted = True
    del records.workflows["q"]
    assert records.violations() == {(Column.STUCK, "p"), (Column.STUCK, "q")}


def test_an_interrupted_transaction_may_never_have_been_sent(records: Records) -> None:
    never_sent = failed_response("PSPConnectionTimeout")
    transaction = records.add("p", "payment", never_sent)
    assert records.violations() == {(Column.WRONG, "p")}
    transaction.interrupted = True
    assert records.violations() == set()
    records.ledger.append(ledger_entry("p", "charge"))
    assert records.violations() == {(Column.LOST, "p")}


def test_a_workflow_behind_the_store_is_judged_by_the_store(records: Records) -> None:
    records.payment()
    behind = {"version": 2, "reservations": {"r": "3.00"}}
    records.workflows["p"] = replace(records.workflows["p"], state=behind)
    assert records.violations() == set()
    snapshot = {"version": 3, "reservations": {"r": "3.00"}}
    records.rows["p"] = replace(records.rows["p"], snapshot=snapshot)
    assert records.violations() == {(Column.STUCK, "p")}


@pytest.mark.parametrize(
    "state", [{"reservations": {"r": "3.00"}}, {"captured_by": "x"}, {"cancelling": True}]
)
def test_a_leftover_reservation_is_stuck(records: Records, state: dict[str, object]) -> None:
    records.add("p", "payment", paid_response(), ledger_entry("p", "charge"), state=state)
    assert records.violations() == {(Column.STUCK, "p")}


def test_a_change_without_a_webhook_is_stale(records: Records) -> None:
    transaction = records.payment()
    transaction.latest = None
    transaction.record_response(response("Pending"), posted=True)
    assert records.violations() == {(Column.STALE, "p")}


def test_an_older_response_does_not_replace_a_newer_one(records: Records) -> None:
    transaction = records.payment()
    transaction.record_response(
        response("Pending", lastUpdated="2026-01-01T11:00:00.0000000Z"), posted=True
    )
    assert records.violations() == set()
    transaction.record_response(response("Pending", lastUpdated=LATER), posted=True)
    assert records.violations() == {(Column.STALE, "p")}


def test_more_refunded_than_paid_is_an_over_refund(records: Records) -> None:
    records.add(
        "p",
        "payment",
        paid_response(refundedAmount=AMOUNT * 2, refundableAmount=Decimal(0)),
        ledger_entry("p", "charge"),
    )
    for id in ("r1", "r2"):
        refund = response("Succeeded", refundedAmount=AMOUNT)
        records.add(id, "refund", refund, ledger_entry(id, "refund", psp_id=id), parent="p")
    assert records.violations() == {(Column.OVER, "p")}


def test_sending_the_psp_more_than_is_left_is_an_over_refund(records: Records) -> None:
    records.payment()
    declined = failed_response("InvalidAmount")
    records.add("r", "refund", declined, expected="Failed:InvalidAmount", parent="p")
    assert records.violations() == set()
    records.rows["r"] = replace(records.rows["r"], evidence='{"kind":"answer"}')
    assert records.violations() == {(Column.OVER, "r")}


def test_another_amount_than_requested_is_a_mismatch(records: Records) -> None:
    records.add(
        "p", "payment", paid_response(Decimal(31)), ledger_entry("p", "charge", Decimal(31))
    )
    assert records.violations() == {(Column.AMOUNT, "p")}


def test_a_movement_reported_twice_is_a_mismatch(records: Records) -> None:
    items = [{"externalItemId": id, "amount": AMOUNT} for id in ("ch_1", "ch_1-again")]
    final = response("Succeeded", payments=items, refundableAmount=AMOUNT)
    records.add("p", "payment", final, ledger_entry("p", "charge"))
    assert (Column.AMOUNT, "p") in records.violations()


def test_a_refund_counted_twice_is_a_mismatch(records: Records) -> None:
    records.add(
        "p",
        "payment",
        paid_response(refundedAmount=Decimal(20), refundableAmount=Decimal(10)),
        ledger_entry("p", "charge"),
    )
    assert records.violations() == {(Column.AMOUNT, "p")}


def test_a_second_amount_under_the_same_id_is_a_mismatch(records: Records) -> None:
    records.payment().conflict_accepted = True
    assert records.violations() == {(Column.AMOUNT, "p")}
