"""A small campaign on a separate stack: no violation under faults."""

import pytest
from rich.console import Console

from devtools.campaign.config import Config
from devtools.campaign.fault_schedule import FAULT_KINDS
from devtools.campaign.report import print_report
from devtools.campaign.run import run
from tests.support.temporal import temporal_binary

pytestmark = pytest.mark.e2e

# What an operator does in Temporal has a table of its own, tests/e2e/operations; together with the
# faults below it belongs to the campaign itself.
GROUPS = ("psp", "kill", "pause", "target")
KINDS = frozenset(name for name, kind in FAULT_KINDS.items() if kind.group in GROUPS)
CONFIG = Config(
    transactions=200,
    seed=1,
    minutes=4,
    quiescence_seconds=240,
    fault_rounds=1,
    fault_kinds=KINDS,
    key_seconds=86_400,
)
MIN_FAULT_KINDS = 12
"""Minimum number of kinds of faults with an effect: some may meet no call."""


@pytest.mark.timeout(540)
def test_a_small_campaign_has_no_violations() -> None:
    temporal_binary()
    result = run(CONFIG)
    print_report(result, Console(width=120))
    assert result.clean, dict(result.counts)
    assert not result.unfinished
    assert len(result.injected) >= MIN_FAULT_KINDS
