"""Books of a payment whose chargebacks come back, in every order and repetition of the reports."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.contract.enums import PublicPaymentProviderRole
from integrator.psp.types import Approved, Fact, FactKind, Pending, Succession
from workflows.state import Change, Evidence, EvidenceKind, PaymentState

T0 = datetime(2026, 1, 15, 9, tzinfo=UTC)
PAID = Decimal("119.00")
ZERO = Decimal(0)
examples = settings(deadline=None, max_examples=200)


def payment() -> PaymentState:
    return PaymentState(
        transaction_id="20260115-65a7f1c2c2d3e4f506172a02",
        external_id="e" * 24,
        role=PublicPaymentProviderRole.CreditCard,
        currency="EUR",
        requested_amount=PAID,
        last_updated=T0,
    )


def fact(kind: FactKind, id: str, amount: str, **fields: object) -> Fact:
    return Fact(kind=kind, id=id, amount=Decimal(amount), **fields)


def withdrawn(id: str, amount: str = "119.00", supersedes: tuple[str, ...] = ()) -> Fact:
    return fact(FactKind.CHARGED_BACK, id, amount, supersedes=supersedes)


def reinstated(id: str, of: str, amount: str = "119.00") -> Fact:
    return fact(FactKind.CHARGEBACK_REVERSED, id, amount, reverses=of)


CHARGE = fact(FactKind.PAID, "ch_1", "119.00")


def fold(*reports: Sequence[Fact]) -> PaymentState:
    state = payment()
    for number, facts in enumerate(reports, 1):
        at = T0 + timedelta(minutes=number)
        evidence = Evidence(kind=EvidenceKind.NOTIFICATION, source=f"evt_{number}", at=at)
        state.apply(Approved(psp_id="ch_1", facts=tuple(facts)), evidence)
    return state


def test_a_chargeback_won_and_another_lost_take_the_payment_once() -> None:
    lost = withdrawn("txn_3")
    state = fold([CHARGE, withdrawn("txn_1"), reinstated("txn_2", "txn_1"), lost])
    assert (state.paid, state.charged_back, state.refundable) == (PAID, PAID, ZERO)


def test_a_withdrawal_of_which_a_part_comes_back_takes_the_rest() -> None:
    state = fold([CHARGE, withdrawn("txn_1"), reinstated("txn_2", "txn_1", "40.00")])
    assert state.charged_back == Decimal("79.00")
    assert state.refundable == Decimal("40.00")


def test_money_that_comes_back_is_refundable_and_announced() -> None:
    state = fold([CHARGE, withdrawn("txn_1")])
    assert state.check_refund(PAID, "EUR", "refund") is not None
    evidence = Evidence(kind=EvidenceKind.READ, source="fetch_payment", at=T0 + timedelta(days=9))
    outcome = Approved(psp_id="ch_1", facts=(reinstated("txn_2", "txn_1"),))
    assert state.apply(outcome, evidence) is Change.VISIBLE
    assert state.check_refund(PAID, "EUR", "refund") is None
    assert state.apply(outcome, evidence) is Change.NONE


@st.composite
def claims(draw: st.DrawFn) -> list[Fact]:
    """Return the withdrawals of several claims, each with reversals of a part or of all."""
    facts = []
    for number in range(draw(st.integers(1, 4))):
        amount = draw(st.integers(1, 11_900))
        facts.append(withdrawn(f"w{number}", str(Decimal(amount) / 100)))
        rest = amount
        for part in range(draw(st.integers(0, 3))):
            back = draw(st.integers(0, rest))
            rest -= back
            if back:
                facts.append(
                    reinstated(f"r{number}.{part}", f"w{number}", str(Decimal(back) / 100))
                )
    return facts


@examples
@given(claims(), st.data())
def test_order_repetition_and_grouping_of_reports_do_not_change_the_books(
    facts: list[Fact], data: st.DataObject
) -> None:
    expected = fold([CHARGE, *facts])
    repeated = data.draw(st.lists(st.sampled_from(facts), max_size=6))
    shuffled = data.draw(st.permutations([CHARGE, *facts, *repeated]))
    size = data.draw(st.integers(1, len(shuffled)))
    reports = [shuffled[begin : begin + size] for begin in range(0, len(shuffled), size)]
    state = fold(*reports)
    assert state.facts == expected.facts
    assert (state.charged_back, state.refundable) == (expected.charged_back, expected.refundable)
    assert (state.status, state.attention) == (Status.Succeeded, None)
    withdrawn_sum = sum((f.amount for f in facts if f.kind is FactKind.CHARGED_BACK), Decimal(0))
    returned = sum((f.amount for f in facts if f.kind is not FactKind.CHARGED_BACK), Decimal(0))
    assert state.charged_back == withdrawn_sum - returned
    assert PaymentState.model_validate_json(state.model_dump_json()) == state


@examples
@given(st.permutations(["old", "new", "back", "paid"]))
def test_a_movement_under_a_new_id_replaces_the_fact_under_the_former_one(order: list[str]) -> None:
    facts = {
        "old": withdrawn("du_1", "130.00"),
        "new": withdrawn("txn_1", "119.00", supersedes=("du_1",)),
        "back": reinstated("txn_2", "txn_1", "40.00"),
        "paid": CHARGE,
    }
    state = fold(*([facts[name]] for name in order))
    assert set(state.facts) == {"ch_1", "txn_1", "txn_2"}
    assert set(state.fact_sources) == {"ch_1", "txn_1", "txn_2"}
    assert (state.charged_back, state.attention) == (Decimal("79.00"), None)


def test_a_superseded_payment_does_not_count_towards_success() -> None:
    half = fact(FactKind.PAID, "old", "60.00")
    renamed = fact(FactKind.PAID, "new", "60.00", supersedes=("old",))
    state = payment()
    evidence = Evidence(kind=EvidenceKind.READ, source="fetch_payment", at=T0)
    state.apply(Pending(psp_id="ch_1", facts=(half,)), evidence)
    state.apply(Approved(psp_id="ch_1", facts=(renamed,)), evidence)
    assert (state.status, state.paid) == (Status.Pending, Decimal("60.00"))


OLD_SNAPSHOT = """
{"kind": "payment", "transaction_id": "20260115-65a7f1c2c2d3e4f506172a02", "external_id": "e",
 "role": 1, "currency": "EUR", "requested_amount": "119.00", "status": 3,
 "psp_transaction_id": "ch_1", "answered": true, "approved": true, "version": 4,
 "last_updated": "2026-01-15T09:00:00Z", "told_by": {}, "attempts": {},
 "facts": {"ch_1": {"kind": "paid", "id": "ch_1", "amount": "119.00"},
           "du_1": {"kind": "charged_back", "id": "du_1", "amount": "119.00", "fee": "15.00"}}}
"""


@pytest.mark.parametrize("supersedes", [(), ("du_1",)])
def test_a_stored_chargeback_of_an_earlier_version_is_read_and_comes_back(
    supersedes: tuple[str, ...],
) -> None:
    state = PaymentState.model_validate_json(OLD_SNAPSHOT)
    assert (state.charged_back, state.refundable) == (PAID, ZERO)
    assert not state.successors
    of = "txn_1" if supersedes else "du_1"
    facts = [reinstated("txn_2", of)]
    if supersedes:
        facts.append(withdrawn("txn_1", supersedes=supersedes))
    evidence = Evidence(kind=EvidenceKind.READ, source="fetch_payment", at=T0 + timedelta(days=1))
    state.apply(Approved(psp_id="ch_1", facts=tuple(facts)), evidence)
    assert (state.charged_back, state.refundable) == (ZERO, PAID)


@pytest.mark.parametrize("outcome", [Approved, Pending])
def test_a_succession_is_a_visible_change_once(outcome: type[Approved | Pending]) -> None:
    state = fold([CHARGE])
    report = outcome(psp_id=None, succession=Succession(former_id="md_1", new_id="md_2"))
    evidence = Evidence(kind=EvidenceKind.NOTIFICATION, source="evt", at=T0 + timedelta(days=1))
    assert state.apply(report, evidence) is Change.VISIBLE
    assert state.successors == {"md_1": "md_2"}
    assert state.apply(report, evidence) is Change.NONE
    assert (state.status, state.attention) == (Status.Succeeded, None)
