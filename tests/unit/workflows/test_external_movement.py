"""External movements in the pure state machine."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrator.contract.enums import PaymentErrorCode, PublicPaymentProviderRole
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Approved, Declined, Fact, FactKind
from integrator.transactions.workflow_inputs import read_state
from workflows.state import (
    BookedRefund,
    Change,
    Evidence,
    EvidenceKind,
    ExternalCapture,
    ExternalMovement,
    MovementStatus,
    PaymentState,
    PreauthState,
    Refusal,
)

T0 = datetime(2026, 1, 15, 9, tzinfo=UTC)
LATER = T0 + timedelta(hours=1)
TEN = Decimal("10.00")


def common() -> dict[str, Any]:
    return {
        "transaction_id": "20260115-65a7f1c2c2d3e4f506172a02",
        "external_id": "e" * 24,
        "role": PublicPaymentProviderRole.CreditCard,
        "currency": "EUR",
        "requested_amount": TEN,
        "last_updated": T0,
    }


def evidence() -> Evidence:
    return Evidence(kind=EvidenceKind.ANSWER, source="test", at=T0)


def succeeded_payment() -> PaymentState:
    state = PaymentState(**common())
    fact = Fact(kind=FactKind.PAID, id="ch_1", amount=TEN)
    state.apply(Approved(psp_id="ch_1", facts=(fact,)), evidence())
    return state


def authorized_preauth() -> PreauthState:
    state = PreauthState(**common())
    fact = Fact(
        kind=FactKind.AUTHORIZED, id="auth_1", amount=TEN, expires_at=T0 + timedelta(days=7)
    )
    state.apply(Approved(psp_id="auth_1", facts=(fact,)), evidence())
    return state


def refund(
    amount: str = "4.00",
    status: MovementStatus = MovementStatus.BOOKED,
    psp_id: str = "re_1",
    currency: str = "EUR",
) -> ExternalMovement:
    return ExternalMovement(
        psp_id=psp_id,
        amount=Decimal(amount),
        currency=currency,
        status=status,
        booked_on=date(2026, 1, 16),
    )


def capture(
    amount: str = "10.00", status: MovementStatus = MovementStatus.BOOKED, psp_id: str = "ch_1"
) -> ExternalMovement:
    return refund(amount, status, psp_id)


def booked(amount: str, psp_id: str) -> BookedRefund:
    return BookedRefund(amount=Decimal(amount), psp_id=psp_id, booked_on=None)


def is_precondition(refusal: Refusal | None) -> bool:
    return refusal is not None and refusal.code is PaymentErrorCode.InvalidPreconditions


class TestRefunds:
    def test_one_counts_like_our_own_and_is_visible(self) -> None:
        state = succeeded_payment()
        assert state.record_external_movement(refund(), LATER) is Change.VISIBLE
        assert state.refunds == {
            "psp:re_1": BookedRefund(
                amount=Decimal("4.00"), psp_id="re_1", booked_on=date(2026, 1, 16)
            )
        }
        assert (state.refunded, state.refundable, state.available) == (
            Decimal("4.00"),
            Decimal("6.00"),
            Decimal("6.00"),
        )
        assert state.last_updated == LATER
        assert state.attention is None

    def test_it_is_booked_once(self) -> None:
        state = succeeded_payment()
        state.record_external_movement(refund(), LATER)
        version = state.version
        assert state.ignores_movement(refund())
        assert state.record_external_movement(refund(), LATER) is Change.NONE
        assert (state.version, state.refunded) == (version, Decimal("4.00"))

    def test_our_own_refund_is_not_recorded_as_external(self) -> None:
        state = succeeded_payment()
        state.close_reservation("r1", booked("4.00", "re_1"), T0)
        assert state.record_external_movement(refund(), LATER) is Change.NONE
        assert state.refunded == Decimal("4.00")

    def test_a_refund_recorded_as_external_before_its_own_result_counts_once(self) -> None:
        state = succeeded_payment()
        state.reserve("r1", Decimal("4.00"), "EUR")
        state.record_external_movement(refund(), LATER)
        state.close_reservation("r1", booked("4.00", "re_1"), LATER)
        assert set(state.refunds) == {"r1"}
        assert (state.refunded, state.available) == (Decimal("4.00"), Decimal("6.00"))

    def test_an_open_one_reserves_its_amount(self) -> None:
        state = succeeded_payment()
        assert (
            state.record_external_movement(refund(status=MovementStatus.OPEN), LATER)
            is Change.INTERNAL
        )
        assert (state.refunded, state.available) == (Decimal(0), Decimal("6.00"))
        assert state.ignores_movement(refund(status=MovementStatus.OPEN))
        assert state.record_external_movement(refund(), LATER) is Change.VISIBLE
        assert (state.refunded, state.reservations) == (Decimal("4.00"), {})

    def test_one_that_was_booked_and_failed_is_removed(self) -> None:
        state = succeeded_payment()
        state.record_external_movement(refund(), LATER)
        failed = refund(status=MovementStatus.FAILED)
        assert not state.ignores_movement(failed)
        assert state.record_external_movement(failed, LATER + timedelta(days=3)) is Change.VISIBLE
        assert (state.refunded, state.refundable) == (Decimal(0), Decimal("10.00"))
        assert state.attention is not None
        assert state.ignores_movement(failed)

    def test_one_that_failed_releases_its_reservation(self) -> None:
        state = succeeded_payment()
        state.record_external_movement(refund(status=MovementStatus.OPEN), LATER)
        assert (
            state.record_external_movement(refund(status=MovementStatus.FAILED), LATER)
            is Change.INTERNAL
        )
        assert state.available == TEN
        assert state.ignores_movement(refund(status=MovementStatus.FAILED))

    def test_more_than_is_left_is_booked_and_asks_for_attention(self) -> None:
        state = succeeded_payment()
        state.reserve("r1", Decimal("8.00"), "EUR")
        assert state.record_external_movement(refund("4.00"), LATER) is Change.VISIBLE
        assert (state.refunded, state.available) == (Decimal("4.00"), Decimal(0))
        assert state.attention is not None

    def test_another_currency_flags_attention(self) -> None:
        state = succeeded_payment()
        assert state.record_external_movement(refund(currency="DKK"), LATER) is Change.INTERNAL
        assert state.refunded == 0
        assert state.attention is not None
        assert state.ignores_movement(refund(currency="DKK"))

    def test_an_undecided_payment_stores_the_refund_for_later(self) -> None:
        state = PaymentState(**common())
        state.record_external_movement(refund(), LATER)
        assert (state.refundable, state.attention) == (Decimal(0), None)
        fact = Fact(kind=FactKind.PAID, id="ch_1", amount=TEN)
        state.apply(Approved(psp_id="ch_1", facts=(fact,)), evidence())
        assert state.refundable == Decimal("6.00")

    def test_new_refunds_are_refused_beyond_what_it_left(self) -> None:
        state = succeeded_payment()
        state.record_external_movement(refund("4.00"), LATER)
        refusal = state.check_refund(Decimal("6.01"), "EUR", "r1")
        assert refusal is not None
        assert refusal.code is PaymentErrorCode.InvalidAmount
        assert state.check_refund(Decimal("6.00"), "EUR", "r1") is None


class TestCaptures:
    def test_one_takes_the_reservation_and_must_be_announced(self) -> None:
        state = authorized_preauth()
        assert state.record_external_movement(capture(), LATER) is Change.VISIBLE
        assert (state.captured_by, state.captured) == ("psp:ch_1", True)
        assert state.last_updated == LATER
        assert state.ends_at is None
        assert state.is_final
        assert is_precondition(state.check_cancel())

    def test_it_is_recorded_once(self) -> None:
        state = authorized_preauth()
        state.record_external_movement(capture(), LATER)
        assert state.ignores_movement(capture())

    def test_a_payment_of_the_same_amount_stands_for_it(self) -> None:
        state = authorized_preauth()
        state.record_external_movement(capture("6.00"), LATER)
        assert state.external_capture_id("p1") is None
        for _ in range(2):
            assert state.reserve("p1", Decimal("6.00"), "EUR") is None
        assert (state.captured_by, state.captured) == ("p1", True)
        assert state.external_capture_id("p1") == "ch_1"
        assert is_precondition(state.reserve("p2", Decimal("6.00"), "EUR"))
        assert state.external_capture_id("p2") is None
        assert state.ignores_movement(capture("6.00"))

    @pytest.mark.parametrize("amount", ["5.99", "10.00", "10.01"])
    def test_a_payment_of_another_amount_is_refused(self, amount: str) -> None:
        state = authorized_preauth()
        state.record_external_movement(capture("6.00"), LATER)
        assert is_precondition(state.reserve("p1", Decimal(amount), "EUR"))
        assert state.captured_by == "psp:ch_1"

    def test_a_payment_that_failed_releases_it(self) -> None:
        state = authorized_preauth()
        state.record_external_movement(capture(), LATER)
        state.reserve("p1", TEN, "EUR")
        state.close_reservation("p1", booked=False)
        assert state.reserve("p2", TEN, "EUR") is None
        assert state.external_capture_id("p2") == "ch_1"

    def test_a_payment_that_succeeded_keeps_it(self) -> None:
        state = authorized_preauth()
        state.record_external_movement(capture(), LATER)
        state.reserve("p1", TEN, "EUR")
        version = state.version
        state.close_reservation("p1", booked=True)
        assert (state.captured_by, state.version) == ("p1", version)

    def test_an_open_one_blocks_other_captures(self) -> None:
        state = authorized_preauth()
        assert (
            state.record_external_movement(capture(status=MovementStatus.OPEN), LATER)
            is Change.INTERNAL
        )
        assert is_precondition(state.reserve("p1", TEN, "EUR"))
        assert state.ends_at is None
        assert (
            state.record_external_movement(capture(status=MovementStatus.FAILED), LATER)
            is Change.INTERNAL
        )
        assert state.reserve("p1", TEN, "EUR") is None

    def test_our_own_open_capture_takes_precedence(self) -> None:
        state = authorized_preauth()
        state.reserve("p1", TEN, "EUR")
        assert state.ignores_movement(capture())
        state.close_reservation("p1", booked=False)
        assert state.record_external_movement(capture(), LATER) is Change.VISIBLE

    def test_one_besides_our_own_flags_attention(self) -> None:
        state = authorized_preauth()
        state.reserve("p1", TEN, "EUR")
        state.close_reservation("p1", booked=True)
        assert state.record_external_movement(capture(), LATER) is Change.INTERNAL
        assert state.attention is not None
        assert state.captured_by == "p1"
        assert state.ignores_movement(capture())

    def test_one_on_a_cancelled_preauth_flags_attention(self) -> None:
        state = authorized_preauth()
        state.apply(Declined(status=Status.Cancelled), evidence())
        assert state.record_external_movement(capture(), LATER) is Change.INTERNAL
        assert (state.status, state.captured_by) == (Status.Cancelled, None)
        assert state.attention is not None

    def test_an_undecided_preauth_ignores_the_capture_until_a_look_up(self) -> None:
        assert PreauthState(**common()).ignores_movement(capture())

    def test_another_currency_flags_attention(self) -> None:
        state = authorized_preauth()
        state.record_external_movement(refund("10.00", psp_id="ch_1", currency="DKK"), LATER)
        assert (state.captured_by, state.attention is None) == (None, False)


def test_a_snapshot_from_before_external_captures_is_read() -> None:
    old = authorized_preauth().model_dump_json(exclude={"adopted"})
    state = read_state("preauth", old)
    assert isinstance(state, PreauthState)
    assert state.adopted is None
    state.record_external_movement(capture(), LATER)
    again = read_state("preauth", state.model_dump_json())
    assert isinstance(again, PreauthState)
    assert again.adopted == ExternalCapture(psp_id="ch_1", amount=TEN)


MOVEMENTS = st.builds(
    refund,
    amount=st.sampled_from(["1.00", "2.50", "4.00"]),
    psp_id=st.sampled_from(["re_1", "re_2", "re_3"]),
    status=st.sampled_from([MovementStatus.OPEN, MovementStatus.BOOKED]),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(MOVEMENTS, max_size=8))
def test_every_external_refund_counts_once_however_often_reported(
    movements: list[ExternalMovement],
) -> None:
    state = succeeded_payment()
    first: dict[str, Decimal] = {}
    for movement in movements:
        state.record_external_movement(movement, LATER)
        if movement.status is MovementStatus.BOOKED:
            first.setdefault(movement.psp_id, movement.amount)
    assert state.refunded == sum(first.values(), Decimal(0))
    assert {by.removeprefix("psp:") for by in state.refunds} == set(first)
    assert not set(state.refunds) & set(state.reservations)
