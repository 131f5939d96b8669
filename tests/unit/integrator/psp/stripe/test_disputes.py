"""Chargebacks and reversals from the balance transactions of Stripe's disputes."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from integrator.contract.enums import PaymentChargebackReason as Reason
from integrator.psp.errors import ProtocolError
from integrator.psp.stripe import mapping
from integrator.psp.stripe.disputes import chargeback_facts
from integrator.psp.stripe.wire import Charge, Dispute, PaymentIntent
from integrator.psp.types import Approved, Fact, FactKind
from tests.integration.integrator.psp.stripe import objects

BACK, RETURNED = FactKind.CHARGED_BACK, FactKind.CHARGEBACK_REVERSED
DAY = 86_400


def entry(amount: int, day: int = 1, **values: Any) -> dict[str, Any]:
    at = {"created": objects.CREATED + day * DAY}
    return objects.balance_transaction(amount, **{**at, **values})


def dispute(status: str, *entries: dict[str, Any], **values: Any) -> Dispute:
    return Dispute.model_validate(objects.dispute(status, *entries, **values))


def facts_of(*disputes: Dispute) -> list[tuple[FactKind, str, str, str | None]]:
    facts = chargeback_facts(disputes)
    return [(fact.kind, fact.id, str(fact.amount), fact.reverses) for fact in facts]


def charged_back(facts: tuple[Fact, ...]) -> Decimal:
    """Return what is withdrawn less what came back."""
    signs = {BACK: 1, RETURNED: -1}
    return sum((signs.get(fact.kind, 0) * fact.amount for fact in facts), Decimal(0))


WITHDRAWN = (BACK, "txn_-11900", "119.00", None)


@pytest.mark.parametrize(
    "status",
    ["needs_response", "under_review", "lost", "won", "warning_closed", "prevented", "brand_new"],
)
def test_a_withdrawal_counts_whatever_the_status(status: str) -> None:
    assert facts_of(dispute(status, entry(-11900))) == [WITHDRAWN]


@pytest.mark.parametrize("status", ["warning_needs_response", "needs_response", "won", "prevented"])
def test_a_dispute_without_movements_charges_nothing_back(status: str) -> None:
    assert facts_of(dispute(status)) == []


def test_a_lost_dispute_without_movements_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert facts_of(dispute("lost")) == []
    assert "dp_1 is lost, but lists no withdrawal" in caplog.text


@pytest.mark.parametrize(
    ("entries", "is_logged"),
    [
        ((entry(-11900),), False),
        ((entry(-11900, id="txn_1"), entry(-2000, 2, id="txn_2")), True),
        ((entry(-11900, id="txn_1"), entry(11900, 2), entry(-11900, 3, id="txn_2")), False),
    ],
)
def test_more_withdrawn_than_claimed_is_logged(
    entries: tuple[dict[str, Any], ...], is_logged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    facts_of(dispute("lost", *entries, amount=11900))
    assert ("has withdrawn 139.00 EUR, more than is claimed" in caplog.text) == is_logged


def test_a_won_dispute_returns_its_money() -> None:
    won = dispute("won", entry(-11900, fee=2000), entry(11900, 60, fee=-2000))
    assert facts_of(won) == [WITHDRAWN, (RETURNED, "txn_11900", "119.00", "txn_-11900")]
    withdrawal, reversal = chargeback_facts([won])
    assert (withdrawal.fee, reversal.fee) == (Decimal("20.00"), None)
    assert (withdrawal.booked_on, reversal.booked_on) == (date(2026, 1, 16), date(2026, 3, 16))


def test_a_dispute_lost_after_a_refund_takes_the_rest() -> None:
    facts = chargeback_facts([dispute("lost", entry(-11900), entry(4000, 60))])
    assert charged_back(facts) == Decimal("79.00")


def test_of_two_disputes_one_is_won_and_one_lost() -> None:
    first = dispute("won", entry(-11900, id="txn_1"), entry(11900, 9, id="txn_2"), id="du_1")
    second = dispute("lost", entry(-11900, 20, id="txn_3"), id="du_2")
    facts = chargeback_facts([first, second])
    assert charged_back(facts) == Decimal("119.00")
    assert [fact.reverses for fact in facts] == [None, "txn_1", None]


def test_the_claim_is_not_the_movement() -> None:
    claimed = dispute("lost", entry(-11900), amount=13000)
    assert facts_of(claimed) == [WITHDRAWN]


def test_money_that_is_withdrawn_again_is_a_new_chargeback() -> None:
    entries = [
        entry(-11900, 1, id="txn_1"),
        entry(11900, 30, id="txn_2"),
        entry(-11900, 60, id="txn_3"),
        entry(11900, 90, id="txn_4"),
    ]
    for order in (entries, entries[::-1]):
        facts = chargeback_facts([dispute("under_review", *order)])
        assert [(fact.id, fact.reverses) for fact in facts] == [
            ("txn_1", None),
            ("txn_2", "txn_1"),
            ("txn_3", None),
            ("txn_4", "txn_3"),
        ]


def test_earlier_facts_do_not_depend_on_later_entries() -> None:
    entries = [entry(-7900, 1), entry(-4000, 2), entry(4000, 3), entry(7900, 4)]
    complete = chargeback_facts([dispute("won", *entries)])
    for known in range(len(entries) + 1):
        assert chargeback_facts([dispute("won", *entries[:known])]) == complete[:known]


def test_one_reinstatement_of_two_withdrawals_is_split() -> None:
    split = dispute("won", entry(-7900, 1), entry(-4000, 2), entry(11900, 3))
    assert facts_of(split)[2:] == [
        (RETURNED, "txn_11900", "79.00", "txn_-7900"),
        (RETURNED, "txn_11900/2", "40.00", "txn_-4000"),
    ]


@pytest.mark.parametrize(
    "entries",
    [[entry(4000)], [entry(-4000, 1), entry(11900, 2)], [entry(11900, 1), entry(-11900, 2)]],
)
def test_more_returned_than_withdrawn_is_an_error(entries: list[dict[str, Any]]) -> None:
    with pytest.raises(ProtocolError, match="more than it had withdrawn"):
        chargeback_facts([dispute("won", *entries)])


@pytest.mark.parametrize(
    "values",
    [
        {"fee": -2000},
        {"fee": None},
        {"fee": "2000"},
        {"fee": 20.5},
        {"fee": [1]},
        {"created": "yesterday"},
        {"created": None},
        {"exchange_rate": "abc"},
        {"exchange_rate": -1},
        {"reporting_category": 7},
        {"type": {}},
    ],
)
def test_bookkeeping_never_decides_whether_money_is_read(values: dict[str, Any]) -> None:
    assert facts_of(dispute("lost", entry(-11900, **values))) == [WITHDRAWN]


@pytest.mark.parametrize(
    "values",
    [{"amount": None}, {"amount": -1}, {"status": None}, {"status": 3}, {"reason": 4}],
)
def test_the_claim_never_decides_whether_money_is_read(values: dict[str, Any]) -> None:
    read = Dispute.model_validate(objects.dispute("lost", entry(-11900)) | values)
    assert facts_of(read) == [WITHDRAWN]


def test_null_movements_are_none() -> None:
    values = objects.dispute("needs_response") | {"balance_transactions": None}
    assert facts_of(Dispute.model_validate(values)) == []


def test_a_fee_is_no_withdrawal() -> None:
    fees = [
        entry(-2000, id="txn_fee", type="stripe_fee"),
        entry(-2000, id="txn_fee_2", reporting_category="fee"),
        entry(0, id="txn_zero"),
    ]
    assert facts_of(dispute("lost", entry(-11900), *fees)) == [WITHDRAWN]


def test_a_withdrawal_supersedes_what_former_versions_reported() -> None:
    withdrawal, reversal = chargeback_facts([dispute("won", entry(-11900), entry(11900, 60))])
    assert (withdrawal.supersedes, reversal.supersedes) == (("dp_1",), ())


def test_the_reason_is_mapped() -> None:
    debit = dispute("lost", entry(-11900), reason="insufficient_funds")
    [fact] = chargeback_facts([debit])
    assert (fact.reason, fact.psp_reason_code) == (Reason.InsufficientBalance, "insufficient_funds")


def usd(amount: int, day: int = 1, rate: Any = None) -> dict[str, Any]:
    return entry(amount, day, currency="usd", exchange_rate=rate, fee=2000)


@pytest.mark.parametrize(
    ("status", "entries", "expected"),
    [
        ("lost", [usd(-12900)], ["119.00"]),
        ("lost", [usd(-12900, rate=1.084)], ["119.00"]),
        ("lost", [usd(-8564, rate=1.084)], ["79.00"]),
        ("won", [usd(-12900), usd(12900, 2)], ["119.00", "119.00"]),
        ("won", [usd(-12900, rate=1.084), usd(13328, 2, 1.12)], ["119.00", "119.00"]),
        ("won", [usd(-12900), usd(12500, 2)], ["119.00", "119.00"]),
        ("lost", [usd(-12900, rate=1.084), usd(4480, 2, 1.12)], ["119.00", "40.00"]),
    ],
)
def test_movements_on_a_balance_in_another_currency(
    status: str, entries: list[dict[str, Any]], expected: list[str]
) -> None:
    facts = chargeback_facts([dispute(status, *entries)])
    assert [str(fact.amount) for fact in facts] == expected
    assert {fact.currency for fact in facts} == {"EUR"}
    assert facts[0].fee is None


@pytest.mark.parametrize(
    ("status", "entries"),
    [
        ("lost", [usd(-12900), usd(4480, 2)]),
        ("lost", [usd(-12900), usd(-4480, 2)]),
        ("lost", [usd(-5950, rate=0.5)]),
        ("lost", [entry(-12900, currency="jpy", exchange_rate=160)]),
    ],
)
def test_an_uncertain_conversion_is_an_error(status: str, entries: list[dict[str, Any]]) -> None:
    amount = {"amount": 11000}
    with pytest.raises(ProtocolError, match="cannot be converted to EUR"):
        chargeback_facts([dispute(status, *entries, **amount)])


@pytest.mark.parametrize("rate", [160, 1.6])
def test_a_claim_is_recognised_across_numbers_of_decimals(rate: float) -> None:
    taken = dispute("lost", entry(-19040, currency="jpy", exchange_rate=rate))
    assert [fact[2] for fact in facts_of(taken)] == ["119.00"]


FOREIGN: list[dict[str, Any]] = [
    {"currency": "usd", "amount": 13000},
    {"charge": "ch_2"},
    {"payment_intent": "pi_2"},
    {"charge": {"id": "ch_2", "object": "charge"}},
    {"balance_transactions": [entry(-11900, source="ch_2")]},
]


@pytest.mark.parametrize("values", FOREIGN)
def test_a_dispute_of_another_charge_is_an_error(values: dict[str, Any]) -> None:
    foreign = Dispute.model_validate(objects.dispute("lost", entry(-11900)) | values)
    intent = PaymentIntent.model_validate(objects.intent())
    with pytest.raises(ProtocolError):
        mapping.payment_outcome(intent, [foreign])
    with pytest.raises(ProtocolError):
        mapping.charge_outcome(Charge.model_validate(objects.charge()), [foreign])


@pytest.mark.parametrize("source", ["dp_1", "ch_1", {"id": "dp_1", "object": "dispute"}, None])
def test_a_dispute_of_the_charge_has_its_identity(source: Any) -> None:
    own = dispute("lost", entry(-11900, source=source))
    intent = PaymentIntent.model_validate(objects.intent())
    outcome = mapping.payment_outcome(intent, [own])
    assert isinstance(outcome, Approved)
    paid, taken = outcome.facts
    assert (paid.currency, paid.reference) == ("EUR", objects.REFERENCE)
    assert (taken.currency, taken.parent_psp_id) == ("EUR", "pi_1")
