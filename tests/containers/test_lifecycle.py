"""From nothing to a paid payment, and on: one deployment that lives through all tests in order."""

import pytest

from tests.containers.demo import play_demo
from tests.containers.deployment import Deployment
from tests.containers.merchants import Merchant, add_merchant

JOBS = {"temporal-schema", "temporal-namespace", "migrate"}


@pytest.fixture(scope="module")
def merchant(deployment: Deployment) -> Merchant:
    return add_merchant(deployment, "demo")


def test_everything_starts_from_nothing(deployment: Deployment) -> None:
    deployment.up("sandbox")
    states = {c["Service"]: (c["State"], c["Health"]) for c in deployment.containers()}
    assert {states.pop(job) for job in JOBS} == {("exited", "")}
    assert set(states.values()) == {("running", "healthy")}, states


def test_demo_through_the_proxy(deployment: Deployment, merchant: Merchant) -> None:
    results = play_demo(deployment, merchant)
    assert [result for result in results if not result.passed] == []
    assert len(results) == 17
