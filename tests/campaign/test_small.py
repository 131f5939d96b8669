"""A small campaign on a stack of its own: everything breaks, and money is exact."""

import pytest
from rich.console import Console

from devtools.campaign.config import Config
from devtools.campaign.report import show
from devtools.campaign.run import run
from tests.support.temporal import temporal_binary

pytestmark = pytest.mark.e2e

CONFIG = Config(transactions=200, seed=1, minutes=4, quiet_seconds=150, rounds=1)
MOST_KINDS = 12
"""So many kinds of faults at least must have struck: a fault may find nobody to strike."""


@pytest.mark.timeout(360)
def test_money_is_exact_whatever_breaks() -> None:
    temporal_binary()
    result = run(CONFIG)
    show(result, Console(width=120))
    assert result.clean, dict(result.counts)
    assert not result.unquiet
    assert len(result.injected) >= MOST_KINDS
