"""Plan of a campaign: the same for the same seed, and with every variation."""

from collections import Counter
from dataclasses import replace

from devtools.campaign.config import Config, from_environment
from devtools.campaign.fault_schedule import FAULT_KINDS
from devtools.campaign.malformed_signals import MALFORMATIONS
from devtools.campaign.operator_faults import ACTIVITY_OPERATIONS, WORKFLOW_OPERATIONS
from devtools.campaign.run import draw_plan
from devtools.campaign.scenario import ENDINGS, PlannedPayment

CONFIG = Config(transactions=2000, seed=5)


def payments() -> list[PlannedPayment]:
    return [payment for preauth in draw_plan(CONFIG)[0] for payment in preauth.payments]


def test_the_same_seed_gives_the_same_plan() -> None:
    assert draw_plan(CONFIG) == draw_plan(CONFIG)
    assert draw_plan(CONFIG) != draw_plan(replace(CONFIG, seed=6))


def test_a_plan_has_the_requested_size() -> None:
    assert sum(preauth.transaction_count for preauth in draw_plan(CONFIG)[0]) >= CONFIG.transactions


def test_every_kind_of_fault_is_scheduled_during_traffic() -> None:
    schedule = draw_plan(CONFIG)[1]
    assert {injection.kind for injection in schedule} == set(FAULT_KINDS)
    assert len(FAULT_KINDS) >= 40
    assert [injection.after_transactions for injection in schedule] == sorted(
        injection.after_transactions for injection in schedule
    )
    assert all(0 < injection.after_transactions < CONFIG.transactions for injection in schedule)


def test_a_limited_kind_occurs_no_more_often_than_that() -> None:
    schedule = draw_plan(replace(CONFIG, fault_rounds=7))[1]
    counts = Counter(injection.kind for injection in schedule)
    for name, kind in FAULT_KINDS.items():
        assert counts[name] == (7 if kind.limit is None else kind.limit), name


def test_every_operation_and_malformation_is_a_kind_of_fault() -> None:
    targets = {(kind.group, kind.target) for kind in FAULT_KINDS.values()}
    assert {name for group, name in targets if group == "workflow"} == set(WORKFLOW_OPERATIONS)
    assert {name for group, name in targets if group == "activity"} == set(ACTIVITY_OPERATIONS)
    assert {name for group, name in targets if group == "signal"} == set(MALFORMATIONS)


def test_every_amount_ending_is_charged() -> None:
    assert {f"{payment.amount}"[-2:] for payment in payments()} >= set(ENDINGS)


def test_every_request_pattern_occurs() -> None:
    preauths, _ = draw_plan(CONFIG)
    all_payments = payments()
    actions = {"pay", "confirm", "fail", "cancel", "abandon", "none"}
    assert {preauth.checkout_action for preauth in preauths} == actions
    assert {preauth.cancel for preauth in preauths} == {"no", "alone", "race"}
    assert max(payment.pattern.copies for payment in all_payments) == 10
    assert any(payment.pattern.conflicting_repeat for payment in all_payments)
    assert any(payment.concurrent_refunds for payment in all_payments)
    assert any(preauth.upgrades for preauth in preauths)
    assert {payment.role for payment in all_payments} == {"CreditCard", "Debit"}


def test_refunds_are_planned_only_for_payments_that_succeed() -> None:
    assert all(payment.expected == {"Succeeded"} for payment in payments() if payment.refunds)


def test_the_environment_sets_the_size() -> None:
    env = {"CAMPAIGN_N": "10", "CAMPAIGN_SEED": "3", "CAMPAIGN_MINUTES": "2"}
    config = from_environment(env)
    assert (config.transactions, config.seed, config.minutes) == (10, 3, 2.0)
    assert from_environment({}).transactions == 2000
