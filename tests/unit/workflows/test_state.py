"""Pure state machine of a transaction."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrator.contract.enums import (
    PaymentChargebackReason,
    PaymentErrorCode,
    PublicPaymentProviderRole,
)
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import (
    Approved,
    Declined,
    Fact,
    FactKind,
    Outcome,
    Pending,
    RedirectRequired,
)
from integrator.transactions.workflow_inputs import read_state
from workflows.state import (
    TRANSITIONS,
    AnyState,
    BookedRefund,
    Change,
    Evidence,
    EvidenceKind,
    PaymentState,
    PreauthState,
    RefundState,
    TransactionKind,
)

# No deadline: a busy machine must not fail the tests.
examples = settings(deadline=None, max_examples=40)

T0 = datetime(2026, 1, 15, 9, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)
EXPIRES = T0 + timedelta(days=7)
KINDS = list(TransactionKind)
FACT_OF = {
    TransactionKind.PREAUTH: FactKind.AUTHORIZED,
    TransactionKind.PAYMENT: FactKind.PAID,
    TransactionKind.REFUND: FactKind.REFUNDED,
}


def common(amount: str = "10.00") -> dict[str, Any]:
    return {
        "transaction_id": "20260115-65a7f1c2c2d3e4f506172a02",
        "external_id": "e" * 24,
        "role": PublicPaymentProviderRole.CreditCard,
        "currency": "EUR",
        "requested_amount": Decimal(amount),
        "last_updated": T0,
    }


def preauth(**fields: Any) -> PreauthState:
    return PreauthState(**(common() | fields))


def payment(**fields: Any) -> PaymentState:
    return PaymentState(**(common() | fields))


def refund(**fields: Any) -> RefundState:
    return RefundState(**(common() | {"payment_id": "p1"} | fields))


def new_state(kind: TransactionKind) -> AnyState:
    if kind is TransactionKind.PREAUTH:
        return preauth()
    return payment() if kind is TransactionKind.PAYMENT else refund()


def evidence(after: timedelta = SECOND, kind: EvidenceKind = EvidenceKind.ANSWER) -> Evidence:
    return Evidence(kind=kind, source="test", at=T0 + after)


def fact(kind: FactKind, id: str = "f1", amount: str = "10.00", **fields: Any) -> Fact:
    return Fact(kind=kind, id=id, amount=Decimal(amount), **fields)


def paid(id: str = "ch_1", amount: str = "10.00", **fields: Any) -> Fact:
    return fact(FactKind.PAID, id, amount, **fields)


def charged_back(id: str = "cb_1", amount: str = "10.00") -> Fact:
    return fact(FactKind.CHARGED_BACK, id, amount, fee=Decimal("3.50"))


def authorized(amount: str = "10.00", id: str = "auth_1") -> Fact:
    return fact(FactKind.AUTHORIZED, id, amount, expires_at=EXPIRES)


def approved(*facts: Fact, psp_id: str = "psp_1") -> Approved:
    return Approved(psp_id=psp_id, facts=facts)


def pending(*facts: Fact) -> Pending:
    return Pending(psp_id="psp_1", facts=facts)


def declined(status: Status = Status.Failed, *facts: Fact) -> Declined:
    code = PaymentErrorCode.InsufficientBalance
    return Declined(code=code, psp_code="nope", message="No.", status=status, facts=facts)


def redirect(expires_at: datetime = EXPIRES) -> RedirectRequired:
    return RedirectRequired(psp_id="cs_1", url=None, expires_at=expires_at)


def report(kind: TransactionKind, status: Status) -> Outcome:
    """Return a report of the PSP that brings a transaction of `kind` into `status`."""
    if status is Status.Succeeded:
        return approved(fact(FACT_OF[kind]))
    return pending() if status is Status.Pending else declined(status)


def fold(state: AnyState, outcomes: Sequence[Outcome]) -> AnyState:
    for number, outcome in enumerate(outcomes, start=1):
        state.apply(outcome, evidence(SECOND * number))
    return state


def state_with_status(kind: TransactionKind, status: Status) -> AnyState:
    state = new_state(kind)
    if status is not Status.Initiated:
        state.apply(report(kind, status), evidence())
    assert state.status is status
    return state


def succeeded_payment(*facts: Fact) -> PaymentState:
    state = payment()
    state.apply(approved(paid(), *facts), evidence())
    return state


def succeeded_preauth(amount: str = "10.00") -> PreauthState:
    state = preauth()
    state.apply(approved(authorized(amount)), evidence())
    return state


# --- the table of transitions -------------------------------------------------------------------

REPORTED = (Status.Pending, Status.Succeeded, Status.Failed, Status.Cancelled, Status.Expired)
UNDECIDED = (Status.Initiated, Status.Pending)
FINAL = (Status.Failed, Status.Cancelled, Status.Expired)
REFUND_ENDS = (Status.Pending, Status.Succeeded, Status.Failed, Status.Cancelled)

ALLOWED = [
    *(
        (kind, a, b)
        for kind in (TransactionKind.PREAUTH, TransactionKind.PAYMENT)
        for a in UNDECIDED
        for b in REPORTED
    ),
    *((TransactionKind.REFUND, a, b) for a in UNDECIDED for b in REFUND_ENDS),
    (TransactionKind.PREAUTH, Status.Succeeded, Status.Cancelled),
    (TransactionKind.PREAUTH, Status.Succeeded, Status.Expired),
]


def reachable(kind: TransactionKind) -> list[Status]:
    return [s for s in Status if not (kind is TransactionKind.REFUND and s is Status.Expired)]


# A status reported after the money moved does not change it; see below.
AFTER_SUCCESS = [
    (kind, Status.Succeeded, b)
    for kind in (TransactionKind.PAYMENT, TransactionKind.REFUND)
    for b in (*FINAL,)
] + [
    (kind, Status.Succeeded, Status.Pending)
    for kind in (TransactionKind.PAYMENT, TransactionKind.REFUND)
]

FORBIDDEN = [
    (kind, a, b)
    for kind in KINDS
    for a in reachable(kind)
    for b in REPORTED
    if a is not b
    and (kind, a, b) not in ALLOWED
    and (kind, a, b) not in AFTER_SUCCESS
    and (kind, b) != (TransactionKind.REFUND, Status.Expired)
]


@pytest.mark.parametrize(("kind", "before", "after"), ALLOWED)
def test_an_allowed_transition_is_made(
    kind: TransactionKind, before: Status, after: Status
) -> None:
    state = state_with_status(kind, before)
    state.apply(report(kind, after), evidence(2 * SECOND))
    assert (state.status, state.attention) == (after, None)


@pytest.mark.parametrize(("kind", "before", "after"), FORBIDDEN)
def test_a_forbidden_transition_is_not_made(
    kind: TransactionKind, before: Status, after: Status
) -> None:
    state = state_with_status(kind, before)
    # The amount of a reservation that has ended may still become known.
    internal = {"attention", "version", "answered", "facts", "fact_sources", "last_updated"}
    view = state.model_dump(exclude=internal)
    state.apply(report(kind, after), evidence(2 * SECOND))
    assert state.model_dump(exclude=internal) == view


@pytest.mark.parametrize(
    ("kind", "before", "after"), [case for case in FORBIDDEN if case[2] is not Status.Pending]
)
def test_a_contradicting_report_asks_for_attention(
    kind: TransactionKind, before: Status, after: Status
) -> None:
    state = state_with_status(kind, before)
    assert state.apply(report(kind, after), evidence(2 * SECOND)) is not Change.NONE
    assert state.attention is not None
    assert before.name in state.attention
    assert after.name in state.attention


@pytest.mark.parametrize(("kind", "before", "after"), AFTER_SUCCESS)
def test_money_that_moved_is_not_undone_by_a_later_report(
    kind: TransactionKind, before: Status, after: Status
) -> None:
    state = state_with_status(kind, before)
    change = state.apply(report(kind, after), evidence(2 * SECOND))
    assert state.status is Status.Succeeded
    if after is Status.Pending:
        assert (change, state.attention) == (Change.NONE, None)
        return
    assert state.attention is not None
    if isinstance(state, RefundState):
        assert change is Change.VISIBLE
        assert state.refunded == 0
    else:
        assert change is Change.INTERNAL
        assert after.name in state.attention


def test_a_returned_refund_is_subtracted_at_its_payment() -> None:
    state = state_with_status(TransactionKind.REFUND, Status.Succeeded)
    assert isinstance(state, RefundState)
    payment = succeeded_payment()
    first_result = state.booked_refund()
    state.apply(report(TransactionKind.REFUND, Status.Failed), evidence(2 * SECOND))
    again = state.apply(report(TransactionKind.REFUND, Status.Failed), evidence(3 * SECOND))
    assert again is Change.NONE
    second_result = state.booked_refund()
    assert first_result is not None
    assert second_result is not None
    assert second_result.amount == 0
    for order in ((first_result, second_result), (second_result, first_result)):
        payment = succeeded_payment()
        for result in order:
            payment.close_reservation("r1", result, T0)
        assert (payment.refunded, payment.refundable) == money(0, 10)


@pytest.mark.parametrize("before", [Status.Initiated, Status.Pending])
def test_an_expired_refund_has_failed(before: Status) -> None:
    state = state_with_status(TransactionKind.REFUND, before)
    assert (
        state.apply(report(TransactionKind.REFUND, Status.Expired), evidence(2 * SECOND))
        is Change.VISIBLE
    )
    assert state.status is Status.Failed
    assert state.failure is not None


def test_the_rest_of_a_captured_reservation_may_expire() -> None:
    state = succeeded_preauth()
    assert state.reserve("p1", Decimal("1.00"), state.currency) is None
    state.close_reservation("p1", booked=True)
    state.apply(declined(Status.Expired), evidence(2 * SECOND))
    assert (state.status, state.attention) == (Status.Succeeded, None)


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_has_no_transition_from_a_final_status(kind: TransactionKind) -> None:
    assert not set(TRANSITIONS[kind]) & set(FINAL)


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_matches_the_contract(kind: TransactionKind) -> None:
    moves = {(a, b) for a, targets in TRANSITIONS[kind].items() for b in targets if a is not b}
    assert moves == {(a, b) for k, a, b in ALLOWED if k is kind and a is not b}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [s for s in REPORTED if s is not Status.Expired])
def test_the_same_report_twice_changes_nothing(kind: TransactionKind, status: Status) -> None:
    state = state_with_status(kind, status)
    before = state.model_copy(deep=True)
    assert state.apply(report(kind, status), evidence(5 * SECOND)) is Change.NONE
    assert state == before


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_contradiction_flags_attention_once(kind: TransactionKind) -> None:
    state = state_with_status(kind, Status.Failed)
    state.apply(report(kind, Status.Succeeded), evidence())
    version = state.version
    assert state.apply(report(kind, Status.Succeeded), evidence()) is Change.NONE
    assert state.version == version


@pytest.mark.parametrize("kind", KINDS)
def test_a_stale_pending_after_the_end_is_no_contradiction(kind: TransactionKind) -> None:
    for status in (Status.Succeeded, Status.Failed, Status.Cancelled):
        state = state_with_status(kind, status)
        assert state.apply(pending(), evidence(2 * SECOND)) is Change.NONE
        assert state.attention is None


def test_a_pending_report_with_new_money_after_a_failure_is_a_contradiction() -> None:
    state = state_with_status(TransactionKind.PAYMENT, Status.Failed)
    assert state.apply(pending(paid(amount="4.00")), evidence()) is Change.INTERNAL
    assert state.attention is not None


@pytest.mark.parametrize("status", [Status.Cancelled, Status.Expired])
def test_a_stale_approval_of_an_ended_preauth_is_no_contradiction(status: Status) -> None:
    state = succeeded_preauth()
    state.apply(declined(status), evidence(2 * SECOND))
    assert state.apply(approved(authorized()), evidence(3 * SECOND)) is Change.NONE
    assert state.attention is None


# --- evidence and failure -----------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "before", "after"), ALLOWED)
def test_every_terminal_status_carries_its_evidence(
    kind: TransactionKind, before: Status, after: Status
) -> None:
    state = state_with_status(kind, before)
    proof = evidence(2 * SECOND, EvidenceKind.NOTIFICATION)
    state.apply(report(kind, after), proof)
    assert state.evidence == (None if after is Status.Pending else proof)


@pytest.mark.parametrize("kind", [TransactionKind.PAYMENT, TransactionKind.REFUND])
@pytest.mark.parametrize("status", FINAL)
def test_a_success_found_on_an_ended_object_carries_its_evidence(
    kind: TransactionKind, status: Status
) -> None:
    state = new_state(kind)
    proof = evidence()
    state.apply(declined(status, fact(FACT_OF[kind])), proof)
    assert (state.status, state.evidence) == (Status.Succeeded, proof)


def test_a_success_found_on_an_ended_object_keeps_the_psps_id() -> None:
    state = payment()
    ended = declined(Status.Cancelled, paid()).model_copy(update={"psp_id": "psp_1"})
    state.apply(ended, evidence())
    assert state.psp_transaction_id == "psp_1"


def test_money_in_a_decline_is_stored() -> None:
    state = payment()
    state.apply(declined(Status.Failed, paid(amount="4.00")), evidence())
    assert state.paid == Decimal("4.00")


def test_a_decline_keeps_the_psps_reason() -> None:
    state = fold(payment(), [declined()])
    assert state.failure is not None
    assert state.failure.code is PaymentErrorCode.InsufficientBalance
    assert (state.failure.psp_code, state.failure.message) == ("nope", "No.")
    assert state.failure.received_at == T0 + SECOND


def test_the_first_of_two_declines_is_stored() -> None:
    state = fold(payment(), [declined()])
    first = state.failure
    state.apply(Declined(code=PaymentErrorCode.BearerExpired), evidence(3 * SECOND))
    assert state.failure == first


@pytest.mark.parametrize("kind", KINDS)
def test_a_success_has_no_failure(kind: TransactionKind) -> None:
    assert state_with_status(kind, Status.Succeeded).failure is None


def test_a_terminal_status_keeps_its_first_evidence() -> None:
    state = succeeded_payment()
    state.apply(approved(paid(), charged_back()), evidence(9 * SECOND, EvidenceKind.READ))
    assert state.evidence == evidence()


def test_succeeded_at_is_the_time_of_the_evidence() -> None:
    state = succeeded_payment()
    state.apply(approved(charged_back()), evidence(9 * SECOND))
    assert state.succeeded_at == T0 + SECOND


# --- arithmetic ---------------------------------------------------------------------------------


def sums(state: PaymentState) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    return state.paid, state.refunded, state.refundable, state.available


def money(*amounts: int | str) -> tuple[Decimal, ...]:
    return tuple(Decimal(amount) for amount in amounts)


def test_a_new_payment_has_nothing() -> None:
    assert sums(payment()) == money(0, 0, 0, 0)


def test_a_succeeded_payment_can_be_refunded_in_full() -> None:
    assert sums(succeeded_payment()) == money(10, 0, 10, 10)


def test_an_overpaid_payment_succeeded_and_can_be_refunded_in_full() -> None:
    state = fold(payment(), [approved(paid(amount="12.50"))])
    assert isinstance(state, PaymentState)
    assert state.status is Status.Succeeded
    assert sums(state) == money("12.50", 0, "12.50", "12.50")


@pytest.mark.parametrize("outcome", [approved(paid(amount="4")), pending(paid(amount="4"))])
def test_a_partly_paid_payment_is_pending_and_not_refundable(outcome: Outcome) -> None:
    state = payment()
    state.apply(outcome, evidence())
    assert state.status is Status.Pending
    assert sums(state) == money(4, 0, 0, 0)


def test_movements_add_up_to_success() -> None:
    state = payment()
    state.apply(pending(paid("a", "4.00")), evidence())
    state.apply(pending(paid("b", "6.00")), evidence(2 * SECOND))
    assert (state.status, state.paid) == (Status.Succeeded, Decimal(10))


def test_an_approval_without_movements_stays_pending() -> None:
    assert fold(payment(), [approved()]).status is Status.Pending


def test_a_chargeback_lowers_what_is_refundable_and_leaves_the_status() -> None:
    state = succeeded_payment(charged_back(amount="4.00"))
    assert state.status is Status.Succeeded
    assert sums(state) == money(10, 0, 6, 6)


def test_the_fee_of_a_chargeback_is_not_counted() -> None:
    assert succeeded_payment(charged_back(amount="6.00")).refundable == 4


def test_what_is_refundable_is_never_negative() -> None:
    state = succeeded_payment(charged_back("cb_1"), charged_back("cb_2"))
    assert sums(state) == money(10, 0, 0, 0)


def reversal(
    amount: str = "10.00", id: str = "rev_1", reverses: str | None = "cb_1", **fields: Any
) -> Fact:
    return fact(FactKind.CHARGEBACK_REVERSED, id, amount, reverses=reverses, **fields)


@pytest.mark.parametrize(
    ("facts", "refundable"),
    [
        ([charged_back(amount="4.00"), reversal("4.00")], "10.00"),
        ([charged_back(amount="4.00"), reversal("1.00")], "7.00"),
        ([charged_back(amount="4.00"), reversal("1.00"), reversal("2.00", "rev_2")], "9.00"),
        ([reversal("4.00"), charged_back(amount="4.00")], "10.00"),
        # Not more comes back than was taken, and nothing of another chargeback.
        ([charged_back(amount="4.00"), reversal("9.00")], "10.00"),
        ([charged_back("cb_1", "4.00"), charged_back("cb_2", "5.00"), reversal("4.00")], "5.00"),
        ([charged_back(amount="4.00"), reversal("4.00", reverses="cb_9")], "6.00"),
        ([charged_back(amount="4.00"), reversal("4.00", reverses=None)], "6.00"),
    ],
)
def test_a_reversal_gives_back_what_its_chargeback_took(facts: list[Fact], refundable: str) -> None:
    state = succeeded_payment(*facts)
    assert state.refundable == Decimal(refundable)
    assert state.charged_back == 10 - Decimal(refundable)
    assert state.status is Status.Succeeded


def test_a_reversal_makes_refunds_possible_again_and_is_a_visible_change() -> None:
    state = succeeded_payment(charged_back())
    assert state.check_refund(Decimal("10.00"), "EUR", "refund") is not None
    change = state.apply(approved(paid(), charged_back(), reversal()), evidence(9 * SECOND))
    assert change is Change.VISIBLE
    assert state.reserve("refund", Decimal("10.00"), "EUR") is None
    assert state.attention is None


def test_a_reversal_that_is_reported_twice_counts_once() -> None:
    state = succeeded_payment(charged_back(amount="4.00"), reversal("1.00"))
    state.apply(approved(reversal("1.00")), evidence(9 * SECOND))
    assert state.charged_back == 3


def test_a_chargeback_is_a_visible_change() -> None:
    state = succeeded_payment()
    assert state.apply(approved(paid(), charged_back()), evidence(9 * SECOND)) is Change.VISIBLE
    assert state.last_updated == T0 + 9 * SECOND


def test_a_known_movement_is_overwritten_not_added() -> None:
    state = succeeded_payment()
    state.apply(approved(paid(description="later", booked_on=date(2026, 1, 16))), evidence())
    assert state.paid == 10
    assert [f.description for f in state.facts_of(FactKind.PAID)] == ["later"]


def test_movements_are_listed_by_booking_day() -> None:
    first, second = date(2026, 1, 15), date(2026, 1, 16)
    facts = [paid("a", booked_on=None), paid("b", booked_on=second), paid("c", booked_on=first)]
    state = payment()
    state.apply(approved(*facts), evidence())
    assert [f.id for f in state.facts_of(FactKind.PAID)] == ["c", "b", "a"]


def test_facts_of_other_kinds_do_not_count_as_paid() -> None:
    state = fold(payment(), [approved(authorized(), charged_back())])
    assert isinstance(state, PaymentState)
    assert (state.status, state.paid) == (Status.Pending, Decimal(0))


def test_a_refund_succeeds_only_in_full() -> None:
    state = refund()
    state.apply(approved(fact(FactKind.REFUNDED, amount="4.00")), evidence())
    assert state.status is Status.Pending
    assert state.booked_refund() is None


def test_a_refund_returns_what_was_booked_for_its_payment() -> None:
    day = date(2026, 1, 20)
    state = refund()
    state.apply(approved(fact(FactKind.REFUNDED, "re_1", booked_on=day)), evidence())
    assert state.booked_refund() == BookedRefund(amount=Decimal(10), psp_id="psp_1", booked_on=day)


@pytest.mark.parametrize("status", [Status.Initiated, Status.Pending, Status.Failed])
def test_a_refund_that_did_not_succeed_books_nothing(status: Status) -> None:
    state = state_with_status(TransactionKind.REFUND, status)
    assert isinstance(state, RefundState)
    assert state.booked_refund() is None


# --- reservations of refunds --------------------------------------------------------------------


def booked(amount: str) -> BookedRefund:
    return BookedRefund(amount=Decimal(amount), psp_id="re_1", booked_on=None)


def test_reservations_count_against_what_is_available() -> None:
    state = succeeded_payment()
    assert state.reserve("r1", Decimal("6.00"), "EUR") is None
    assert (state.refundable, state.available) == money(10, 4)


def test_two_refunds_cannot_take_more_than_was_paid() -> None:
    state = succeeded_payment()
    assert state.reserve("r1", Decimal("6.00"), "EUR") is None
    refusal = state.reserve("r2", Decimal("6.00"), "EUR")
    assert refusal is not None
    assert refusal.code is PaymentErrorCode.InvalidAmount
    assert refusal.message == "Requested 6.00 EUR, refundable 4.00 EUR."
    assert set(state.reservations) == {"r1"}


def test_a_repeated_reservation_is_the_same_one() -> None:
    state = succeeded_payment()
    state.reserve("r1", Decimal("6.00"), "EUR")
    version = state.version
    assert state.reserve("r1", Decimal("6.00"), "EUR") is None
    assert (state.available, state.version) == (Decimal(4), version)


def test_a_reservation_repeated_after_its_refund_was_booked_reserves_nothing() -> None:
    state = succeeded_payment()
    state.reserve("r1", Decimal("6.00"), "EUR")
    state.close_reservation("r1", booked("6.00"), T0)
    assert state.reserve("r1", Decimal("6.00"), "EUR") is None
    assert (state.refunded, state.available) == money(6, 4)
    assert state.reservations == {}


def test_a_failed_refund_releases_its_reservation() -> None:
    state = succeeded_payment()
    state.reserve("r1", Decimal("10.00"), "EUR")
    assert state.close_reservation("r1", None, T0 + SECOND) is Change.INTERNAL
    assert sums(state) == money(10, 0, 10, 10)


def test_a_booked_refund_is_counted_once() -> None:
    state = succeeded_payment()
    state.reserve("r1", Decimal("6.00"), "EUR")
    assert state.close_reservation("r1", booked("6.00"), T0 + 2 * SECOND) is Change.VISIBLE
    assert state.close_reservation("r1", booked("6.00"), T0 + 3 * SECOND) is Change.NONE
    assert sums(state) == money(10, 6, 4, 4)
    assert state.last_updated == T0 + 2 * SECOND


def test_a_booked_refund_amount_only_decreases() -> None:
    state = succeeded_payment()
    state.close_reservation("r1", booked("5.00"), T0)
    assert state.close_reservation("r1", booked("6.00"), T0) is Change.NONE
    assert state.refunded == 5
    assert state.close_reservation("r1", booked("2.00"), T0) is Change.VISIBLE
    assert state.refunded == 2


def test_a_booked_refund_is_not_undone_by_a_late_failure() -> None:
    state = succeeded_payment()
    state.close_reservation("r1", booked("6.00"), T0)
    assert state.close_reservation("r1", None, T0) is Change.NONE
    assert state.refunded == 6


def test_a_chargeback_reduces_what_new_refunds_may_take() -> None:
    state = succeeded_payment()
    state.reserve("r1", Decimal("6.00"), "EUR")
    state.apply(approved(charged_back(amount="7.00")), evidence())
    assert (state.refundable, state.available) == money(3, 0)


def test_reserving_is_not_announced() -> None:
    state = succeeded_payment()
    before = state.last_updated
    state.reserve("r1", Decimal("6.00"), "EUR")
    assert state.last_updated == before


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.Succeeded])
def test_only_a_succeeded_payment_can_be_refunded(status: Status) -> None:
    state = state_with_status(TransactionKind.PAYMENT, status)
    assert isinstance(state, PaymentState)
    refusal = state.reserve("r1", Decimal("1.00"), "EUR")
    assert refusal is not None
    assert refusal.code is PaymentErrorCode.InvalidPreconditions


def test_a_refund_is_in_the_payments_currency() -> None:
    refusal = succeeded_payment().reserve("r1", Decimal("1.00"), "SEK")
    assert refusal is not None
    assert refusal.code is PaymentErrorCode.InvalidCurrency


# --- captures and cancels exclude each other ----------------------------------------------------


def refused_capture(state: PreauthState, amount: str = "10.00", by: str = "c1") -> PaymentErrorCode:
    refusal = state.reserve(by, Decimal(amount), "EUR")
    assert refusal is not None
    assert state.captured_by != by
    return refusal.code


def test_a_capture_holds_its_preauth() -> None:
    state = succeeded_preauth()
    assert state.reserve("c1", Decimal("10.00"), "EUR") is None
    assert (state.captured_by, state.captured) == ("c1", False)


def test_a_second_capture_is_refused() -> None:
    state = succeeded_preauth()
    state.reserve("c1", Decimal("10.00"), "EUR")
    assert refused_capture(state, by="c2") is PaymentErrorCode.InvalidPreconditions


def test_a_repeated_capture_is_the_same_one() -> None:
    state = succeeded_preauth()
    state.reserve("c1", Decimal("10.00"), "EUR")
    version = state.version
    assert state.reserve("c1", Decimal("10.00"), "EUR") is None
    assert state.version == version


def test_a_capture_repeated_after_its_success_is_still_granted() -> None:
    state = succeeded_preauth()
    state.reserve("c1", Decimal("10.00"), "EUR")
    state.close_reservation("c1", booked=True)
    assert state.reserve("c1", Decimal("10.00"), "EUR") is None
    assert refused_capture(state, by="c2") is PaymentErrorCode.InvalidPreconditions


def test_a_failed_capture_releases_the_reservation() -> None:
    state = succeeded_preauth()
    state.reserve("c1", Decimal("10.00"), "EUR")
    state.close_reservation("c1", booked=False)
    assert state.status is Status.Succeeded
    assert state.reserve("c2", Decimal("10.00"), "EUR") is None


def test_a_capture_that_succeeded_cannot_fail_later() -> None:
    state = succeeded_preauth()
    state.reserve("c1", Decimal("10.00"), "EUR")
    state.close_reservation("c1", booked=True)
    state.close_reservation("c1", booked=False)
    assert (state.captured_by, state.captured) == ("c1", True)


def test_another_payment_cannot_close_a_reservation() -> None:
    state = succeeded_preauth()
    state.reserve("c1", Decimal("10.00"), "EUR")
    state.close_reservation("c2", booked=False)
    assert state.captured_by == "c1"


def test_less_than_the_reservation_may_be_captured() -> None:
    assert succeeded_preauth().reserve("c1", Decimal("4.00"), "EUR") is None


def test_more_than_the_reservation_may_not_be_captured() -> None:
    assert refused_capture(succeeded_preauth(), "10.01") is PaymentErrorCode.InvalidAmount


def test_a_capture_is_in_the_preauths_currency() -> None:
    refusal = succeeded_preauth().reserve("c1", Decimal("10.00"), "SEK")
    assert refusal is not None
    assert refusal.code is PaymentErrorCode.InvalidCurrency


def test_a_preauth_without_a_reservation_has_nothing_to_capture() -> None:
    state = preauth()
    state.apply(approved(), evidence())
    assert refused_capture(state) is PaymentErrorCode.InvalidPreconditions


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.Succeeded])
def test_only_a_succeeded_preauth_can_be_captured(status: Status) -> None:
    state = state_with_status(TransactionKind.PREAUTH, status)
    assert isinstance(state, PreauthState)
    assert refused_capture(state) is PaymentErrorCode.InvalidPreconditions


def test_no_capture_while_a_void_is_running() -> None:
    state = succeeded_preauth()
    state.begin_void()
    assert refused_capture(state) is PaymentErrorCode.InvalidPreconditions


def test_captures_are_possible_again_after_a_refused_cancel() -> None:
    state = succeeded_preauth()
    state.begin_void()
    state.end_void()
    assert state.reserve("c1", Decimal("10.00"), "EUR") is None


@pytest.mark.parametrize("settled", [None, True])
def test_no_cancel_while_a_capture_reserves_or_has_taken_the_money(settled: bool | None) -> None:
    state = succeeded_preauth()
    state.reserve("c1", Decimal("10.00"), "EUR")
    if settled is not None:
        state.close_reservation("c1", settled)
    refusal = state.check_cancel()
    assert refusal is not None
    assert refusal.code is PaymentErrorCode.InvalidPreconditions


def test_a_cancel_is_possible_after_a_failed_capture() -> None:
    state = succeeded_preauth()
    state.reserve("c1", Decimal("10.00"), "EUR")
    state.close_reservation("c1", booked=False)
    assert state.check_cancel() is None


@pytest.mark.parametrize("status", [Status.Failed, Status.Expired])
def test_an_ended_preauth_cannot_be_cancelled(status: Status) -> None:
    state = state_with_status(TransactionKind.PREAUTH, status)
    assert isinstance(state, PreauthState)
    assert state.check_cancel() is not None


def test_a_repeated_cancel_is_not_refused() -> None:
    state = state_with_status(TransactionKind.PREAUTH, Status.Cancelled)
    assert isinstance(state, PreauthState)
    assert state.check_cancel() is None


def test_a_preauth_the_psp_has_not_answered_cannot_be_cancelled_yet() -> None:
    assert preauth().check_cancel() is not None


def test_an_open_session_can_be_cancelled_by_its_id() -> None:
    state = preauth()
    state.apply(redirect(), evidence())
    assert (state.check_cancel(), state.void_target) == (None, "cs_1")


def test_a_reservation_is_voided_by_its_own_id() -> None:
    state = preauth()
    state.apply(redirect(), evidence())
    state.apply(approved(authorized()), evidence())
    assert state.void_target == "auth_1"


# --- states of a preauth ------------------------------------------------------------------------


def test_a_redirect_leaves_the_preauth_initiated_with_its_session() -> None:
    state = preauth()
    assert state.apply(redirect(), evidence()) is Change.VISIBLE
    assert state.status is Status.Initiated
    assert (state.psp_session_id, state.psp_transaction_id) == ("cs_1", None)
    assert state.ends_at == EXPIRES


def test_an_approval_without_a_reservation_authorizes_nothing_and_is_final() -> None:
    state = preauth()
    state.apply(approved(), evidence())
    assert (state.status, state.expires_at) == (Status.Succeeded, None)
    assert state.authorized_amount == 0
    assert state.is_final


def test_the_really_authorized_amount_counts() -> None:
    state = succeeded_preauth("8.00")
    assert (state.status, state.authorized_amount) == (Status.Succeeded, Decimal(8))
    assert state.expires_at == EXPIRES


def test_an_uncaptured_reservation_ends_when_it_expires_and_a_captured_one_does_not() -> None:
    state = succeeded_preauth()
    assert (state.ends_at, state.is_final) == (EXPIRES, False)
    state.reserve("c1", Decimal("10.00"), "EUR")
    assert state.ends_at is None
    state.close_reservation("c1", booked=True)
    assert state.is_final


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", FINAL)
def test_an_ended_transaction_is_final(kind: TransactionKind, status: Status) -> None:
    if status in reachable(kind):
        state = state_with_status(kind, status)
        assert (state.ended, state.is_final, state.undecided) == (True, True, False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", UNDECIDED)
def test_an_undecided_transaction_is_not_final(kind: TransactionKind, status: Status) -> None:
    state = state_with_status(kind, status)
    assert (state.ended, state.is_final, state.undecided) == (False, False, True)


def test_a_succeeded_payment_waits_for_refunds_and_chargebacks() -> None:
    assert not succeeded_payment().is_final


# --- pending, attention, known reports ----------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_marked_pending_is_pending(kind: TransactionKind) -> None:
    state = new_state(kind)
    assert state.mark_pending(T0 + SECOND) is Change.VISIBLE
    assert (state.status, state.last_updated, state.answered) == (
        Status.Pending,
        T0 + SECOND,
        False,
    )


def test_a_redirect_marked_pending_stays_initiated() -> None:
    state = preauth()
    state.apply(redirect(), evidence())
    assert state.mark_pending(T0) is Change.NONE
    assert state.status is Status.Initiated


@pytest.mark.parametrize("kind", KINDS)
def test_a_decided_transaction_is_not_marked_pending(kind: TransactionKind) -> None:
    state = state_with_status(kind, Status.Succeeded)
    assert state.mark_pending(T0) is Change.NONE
    assert state.status is Status.Succeeded


def test_attention_is_flagged_once_per_text() -> None:
    state = payment()
    assert state.flag_attention("look") is Change.INTERNAL
    assert state.flag_attention("look") is Change.NONE
    assert (state.version, state.last_updated) == (1, T0)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unanswered_transaction_includes_no_report(kind: TransactionKind) -> None:
    assert not new_state(kind).already_includes(pending())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", REPORTED)
def test_a_folded_report_is_already_included(kind: TransactionKind, status: Status) -> None:
    if status in reachable(kind):
        state = state_with_status(kind, status)
        assert state.already_includes(report(kind, status))
        assert state.already_includes(pending())


def test_a_new_movement_is_not_already_included() -> None:
    assert not succeeded_payment().already_includes(approved(paid(), charged_back()))


def test_already_includes_changes_nothing() -> None:
    state = succeeded_payment()
    before = state.model_copy(deep=True)
    state.already_includes(approved(charged_back()))
    state.already_includes(declined())
    assert state == before


def test_an_outcome_without_news_still_marks_the_state_answered() -> None:
    state = payment()
    state.mark_pending(T0)
    version = state.version
    assert state.apply(Pending(psp_id=None), evidence()) is Change.INTERNAL
    assert state.answered
    assert state.version == version + 1


# --- time ---------------------------------------------------------------------------------------


def test_last_updated_moves_on_even_if_the_clock_stands() -> None:
    state = payment()
    state.apply(pending(), evidence(timedelta(0)))
    assert state.last_updated == T0 + TICK


def test_last_updated_moves_on_even_if_the_clock_goes_back() -> None:
    state = payment()
    state.apply(approved(paid()), evidence(-timedelta(days=1)))
    assert state.last_updated == T0 + TICK


def test_a_contradiction_does_not_move_last_updated() -> None:
    state = fold(payment(), [declined()])
    before = state.last_updated
    state.apply(approved(paid()), evidence(timedelta(days=1)))
    assert state.last_updated == before


# --- properties ---------------------------------------------------------------------------------

cents = st.integers(min_value=1, max_value=1500).map(lambda n: Decimal(n) / 100)
seconds = st.integers(min_value=-5, max_value=500).map(lambda n: timedelta(seconds=n))


@st.composite
def movements(draw: st.DrawFn, kind: FactKind) -> list[Fact]:
    amounts = draw(st.lists(cents, min_size=1, max_size=4))
    return [Fact(kind=kind, id=f"f{n}", amount=amount) for n, amount in enumerate(amounts)]


@st.composite
def chargebacks(draw: st.DrawFn) -> list[Fact]:
    amounts = draw(st.lists(cents, max_size=3))
    return [
        Fact(kind=FactKind.CHARGED_BACK, id=f"cb{n}", amount=amount)
        for n, amount in enumerate(amounts)
    ]


@st.composite
def reports(draw: st.DrawFn, facts: list[Fact]) -> list[Outcome]:
    """Draw reports that contain every fact at least once, in any order, split and repetition."""
    some = st.lists(st.sampled_from(facts), max_size=4).map(tuple)
    extra = draw(
        st.lists(
            st.one_of(
                st.builds(Pending, psp_id=st.just("psp_1"), facts=some),
                st.builds(Approved, psp_id=st.just("psp_1"), facts=some),
            ),
            max_size=5,
        )
    )
    each: list[Outcome] = [Approved(psp_id="psp_1", facts=(fact,)) for fact in facts]
    return draw(st.permutations([*each, *extra]))


@examples
@given(st.data())
def test_order_and_repetition_of_payment_reports_do_not_matter(data: st.DataObject) -> None:
    facts = data.draw(movements(FactKind.PAID)) + data.draw(chargebacks())
    state = payment()
    fold(state, data.draw(reports(facts)))
    total = sum((f.amount for f in facts if f.kind is FactKind.PAID), Decimal(0))
    back = sum((f.amount for f in facts if f.kind is FactKind.CHARGED_BACK), Decimal(0))
    assert state.paid == total
    assert state.total(FactKind.CHARGED_BACK) == back
    assert state.status is (Status.Succeeded if total >= 10 else Status.Pending)
    assert state.refundable == (max(total - back, Decimal(0)) if total >= 10 else 0)
    assert state.attention is None


@examples
@given(st.data())
def test_order_and_repetition_of_refund_reports_do_not_matter(data: st.DataObject) -> None:
    facts = data.draw(movements(FactKind.REFUNDED))
    state = refund()
    fold(state, data.draw(reports(facts)))
    total = sum((f.amount for f in facts), Decimal(0))
    assert state.refunded == total
    assert state.status is (Status.Succeeded if total >= 10 else Status.Pending)
    assert state.attention is None


@examples
@given(st.data())
def test_order_and_repetition_of_preauth_reports_do_not_matter(data: st.DataObject) -> None:
    news: list[Outcome] = [redirect(), pending(), approved(authorized())]
    again = data.draw(st.lists(st.sampled_from(news), max_size=5))
    state = preauth()
    fold(state, data.draw(st.permutations([*news, *again])))
    assert (state.status, state.authorized_amount) == (Status.Succeeded, Decimal(10))
    assert (state.psp_session_id, state.psp_transaction_id) == ("cs_1", "psp_1")
    assert state.attention is None


@examples
@given(st.data())
@pytest.mark.parametrize("status", FINAL)
@pytest.mark.parametrize("kind", [TransactionKind.PREAUTH, TransactionKind.PAYMENT])
def test_order_and_repetition_of_a_decline_do_not_matter(
    kind: TransactionKind, status: Status, data: st.DataObject
) -> None:
    news: list[Outcome] = [pending(), declined(status)]
    if kind is TransactionKind.PREAUTH:
        news.append(redirect())
    again = data.draw(st.lists(st.sampled_from(news), max_size=5))
    state = fold(new_state(kind), data.draw(st.permutations([*news, *again])))
    assert state.status is status
    assert (state.facts, state.attention) == ({}, None)


@st.composite
def any_reports(draw: st.DrawFn) -> list[Outcome]:
    """Draw any reports of a PSP, contradictions included."""
    kinds = st.sampled_from(FactKind)
    facts = st.lists(
        st.builds(Fact, kind=kinds, id=st.sampled_from("abc"), amount=cents), max_size=3
    ).map(tuple)
    ids = st.sampled_from(["psp_1", "psp_2", None])
    outcome = st.one_of(
        st.builds(Approved, psp_id=ids, facts=facts),
        st.builds(Pending, psp_id=ids, facts=facts),
        st.builds(declined, st.sampled_from(FINAL)),
        st.builds(redirect, seconds.map(lambda s: EXPIRES + s)),
    )
    return draw(st.lists(outcome, min_size=1, max_size=8))


@examples
@given(st.sampled_from(KINDS), any_reports(), seconds)
def test_version_and_time_grow_with_every_change_and_only_then(
    kind: TransactionKind, outcomes: list[Outcome], after: timedelta
) -> None:
    state = new_state(kind)
    for outcome in outcomes:
        before = state.model_copy(deep=True)
        change = state.apply(outcome, evidence(after))
        assert (state == before) is (change is Change.NONE)
        assert state.version == before.version + (change is not Change.NONE)
        assert (state.last_updated > before.last_updated) is (change is Change.VISIBLE)
        assert state.last_updated >= before.last_updated


@examples
@given(st.sampled_from(KINDS), any_reports())
def test_a_final_status_never_changes(kind: TransactionKind, outcomes: list[Outcome]) -> None:
    state = new_state(kind)
    for outcome in outcomes:
        before = state.status
        state.apply(outcome, evidence())
        assert before not in FINAL or state.status is before
        if before is Status.Succeeded and kind is not TransactionKind.PREAUTH:
            assert state.status is Status.Succeeded


@examples
@given(st.sampled_from(KINDS), any_reports())
def test_a_terminal_status_never_lacks_evidence(
    kind: TransactionKind, outcomes: list[Outcome]
) -> None:
    state = fold(new_state(kind), outcomes)
    assert state.undecided or state.evidence is not None


@examples
@given(st.sampled_from(KINDS), any_reports())
def test_the_last_folded_report_is_already_included(
    kind: TransactionKind, outcomes: list[Outcome]
) -> None:
    state = fold(new_state(kind), outcomes)
    assert state.already_includes(outcomes[-1])


@examples
@given(any_reports())
def test_the_sums_of_a_payment_are_always_consistent(outcomes: list[Outcome]) -> None:
    state = payment()
    fold(state, outcomes)
    assert Decimal(0) <= state.available <= state.refundable
    assert state.refunded + state.refundable <= max(state.paid, state.refunded)


requests = st.lists(st.tuples(st.sampled_from("abcdef"), cents), min_size=1, max_size=12)
endings = st.lists(st.sampled_from([None, True, False]), min_size=12, max_size=12)


@examples
@given(requests, endings)
def test_concurrent_refunds_never_exceed_what_was_paid(
    requested_refunds: list[tuple[str, Decimal]], ends: list[bool | None]
) -> None:
    state = succeeded_payment()
    for (by, amount), end in zip(requested_refunds, ends, strict=False):
        granted = state.reserve(by, amount, "EUR") is None
        if granted and by in state.reservations and end is not None:
            refund = booked(str(state.reservations[by])) if end else None
            state.close_reservation(by, refund, T0)
        assert sum(state.reservations.values(), state.refunded) <= state.paid
        assert not set(state.reservations) & set(state.refunds)


@examples
@given(requests, endings)
def test_version_grows_with_every_change_of_the_reservations(
    requested_refunds: list[tuple[str, Decimal]], ends: list[bool | None]
) -> None:
    state = succeeded_payment()
    for (by, amount), end in zip(requested_refunds, ends, strict=False):
        before = state.model_copy(deep=True)
        state.reserve(by, amount, "EUR")
        assert state == before or state.version == before.version + 1
        before = state.model_copy(deep=True)
        state.close_reservation(by, booked(str(amount)) if end else None, T0)
        assert state == before or state.version == before.version + 1


captures = st.lists(
    st.tuples(st.sampled_from(["reserve", "booked", "failed", "cancel"]), st.sampled_from("ab")),
    max_size=12,
)


@examples
@given(captures)
def test_a_reservation_is_captured_or_cancelled_never_both(steps: list[tuple[str, str]]) -> None:
    state = succeeded_preauth()
    taken: set[str] = set()
    for step, by in steps:
        if step == "reserve":
            state.reserve(by, Decimal("10.00"), "EUR")
        elif step == "cancel":
            if state.check_cancel() is None:
                state.begin_void()
        else:
            state.close_reservation(by, booked=step == "booked")
            taken |= {by} if state.captured and state.captured_by == by else set()
        assert not (state.cancelling and state.captured_by)
    assert len(taken) <= 1


@examples
@given(st.sampled_from(KINDS), any_reports())
def test_a_snapshot_round_trips(kind: TransactionKind, outcomes: list[Outcome]) -> None:
    state = fold(new_state(kind), outcomes)
    again = read_state(kind, state.model_dump_json())
    assert again == state
    assert again.model_dump_json() == state.model_dump_json()


def test_a_snapshot_with_all_fields_round_trips() -> None:
    state = payment(due_date=date(2026, 2, 19))
    chargeback = Fact(
        kind=FactKind.CHARGED_BACK,
        id="cb_1",
        amount=Decimal("1.10"),
        fee=Decimal("3.50"),
        reason=PaymentChargebackReason.InsufficientBalance,
        psp_reason_code="AM04",
        psp_reason_message="Account not covered",
    )
    state.apply(approved(paid(booked_on=date(2026, 2, 20)), chargeback), evidence())
    state.reserve("r1", Decimal("1.00"), "EUR")
    state.close_reservation("r1", booked("1.00"), T0)
    state.reserve("r2", Decimal("0.50"), "EUR")
    state.flag_attention("look")
    assert read_state("payment", state.model_dump_json()) == state


def test_a_preauths_snapshot_round_trips() -> None:
    state = preauth()
    state.apply(redirect(), evidence())
    state.apply(approved(authorized()), evidence())
    state.reserve("c1", Decimal("10.00"), "EUR")
    state.close_reservation("c1", booked=True)
    assert read_state("preauth", state.model_dump_json()) == state


def test_a_failure_is_dated_later_than_the_state_it_ends() -> None:
    state = payment()
    state.mark_pending(T0 + SECOND)
    state.apply(declined(), evidence(SECOND))
    assert state.failure is not None
    assert state.failure.received_at == state.last_updated > T0 + SECOND
