"""Test change notifications to a target that is temporarily unavailable."""

import pytest

from tests.e2e.stack.environment import TIMEOUT_SECONDS, announcement, assert_ledgers_match
from tests.e2e.stack.scenarios import REFUSALS, RETRY_AFTER_SECONDS, Background

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refused_webhook_is_retried(background: Background, refusal: str) -> None:
    result, attempts = background.deliveries[refusal].result(TIMEOUT_SECONDS)
    assert (result.first, result.last) == ("Pending", "Succeeded")
    assert [attempt.status for attempt in attempts] == [int(refusal[:3]), 200]
    assert result.webhooks == [announcement("payment", result.id)]


def test_the_receivers_retry_after_is_honoured(background: Background) -> None:
    _, (refused, accepted) = background.deliveries["503 with Retry-After"].result(TIMEOUT_SECONDS)
    assert accepted.received_at - refused.received_at >= RETRY_AFTER_SECONDS


def test_changes_while_billwerk_is_unavailable_are_merged_and_the_last_is_announced(
    background: Background,
) -> None:
    result, attempts = background.changed_meanwhile.result(TIMEOUT_SECONDS)
    assert [entry.kind for entry in result.ledger] == ["charge", "chargeback"]
    assert_ledgers_match(result, "payment")
    assert [attempt.status for attempt in attempts][:2] == [500, 200]
    assert 1 <= len(result.webhooks) <= 2
    assert result.webhooks[-1] == announcement("payment", result.id)
