"""The plan of a campaign: the same for the same seed, and varied enough."""

from dataclasses import replace

from devtools.campaign.config import Config, from_environment
from devtools.campaign.fault_schedule import KINDS
from devtools.campaign.run import plans
from devtools.campaign.scenario import ENDINGS, Payment

CONFIG = Config(transactions=2000, seed=5)


def payments() -> list[Payment]:
    return [payment for life in plans(CONFIG)[0] for payment in life.payments]


def test_the_same_seed_makes_the_same_plan() -> None:
    assert plans(CONFIG) == plans(CONFIG)
    assert plans(CONFIG) != plans(replace(CONFIG, seed=6))


def test_a_plan_is_as_large_as_asked_for() -> None:
    assert sum(life.transactions for life in plans(CONFIG)[0]) >= CONFIG.transactions


def test_every_kind_of_fault_is_planned_and_comes_while_there_is_traffic() -> None:
    strikes = plans(CONFIG)[1]
    assert {strike.kind for strike in strikes} == set(KINDS)
    assert len(KINDS) >= 12
    assert [strike.at for strike in strikes] == sorted(strike.at for strike in strikes)
    assert all(0 < strike.at < CONFIG.transactions for strike in strikes)


def test_every_amount_ending_is_charged() -> None:
    assert {f"{payment.amount}"[-2:] for payment in payments()} >= set(ENDINGS)


def test_every_way_of_asking_comes_about() -> None:
    lives, _ = plans(CONFIG)
    made = payments()
    visits = {"pay", "confirm", "fail", "cancel", "abandon", "none"}
    assert {life.visit for life in lives} == visits
    assert {life.cancel for life in lives} == {"no", "alone", "race"}
    assert max(payment.manner.copies for payment in made) == 10
    assert any(payment.manner.clash for payment in made)
    assert any(payment.together for payment in made)
    assert any(life.upgrades for life in lives)
    assert {payment.role for payment in made} == {"CreditCard", "Debit"}


def test_refunds_are_asked_only_of_payments_that_succeed() -> None:
    assert all(payment.expected == {"Succeeded"} for payment in payments() if payment.refunds)


def test_the_environment_sets_the_size() -> None:
    env = {"CAMPAIGN_N": "10", "CAMPAIGN_SEED": "3", "CAMPAIGN_MINUTES": "2"}
    config = from_environment(env)
    assert (config.transactions, config.seed, config.minutes) == (10, 3, 2.0)
    assert from_environment({}).transactions == 2000
