"""A small campaign on a separate stack: no violation under faults."""

import pytest
from rich.console import Console

from devtools.campaign.config import Config
from devtools.campaign.report import print_report
from devtools.campaign.run import run
from tests.support.temporal import temporal_binary

pytestmark = pytest.mark.e2e

CONFIG = Config(transactions=150, seed=1, minutes=8, quiescence_seconds=240, fault_rounds=1)
MIN_FAULT_KINDS = 12
"""Minimum number of kinds of faults with an effect: some may meet no call."""


@pytest.mark.timeout(900)
def test_a_small_campaign_has_no_violations() -> None:
    temporal_binary()
    result = run(CONFIG)
    print_report(result, Console(width=120))
    assert result.clean, dict(result.counts)
    assert not result.unfinished
    assert len(result.injected) >= MIN_FAULT_KINDS
