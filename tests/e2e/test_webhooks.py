"""Change notifications to a platform that does not take them at once."""

import pytest

from tests.e2e.platform import HANG_SECONDS, announcement, assert_same_books
from tests.e2e.scenarios import REFUSALS, RETRY_AFTER_SECONDS, Background

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refused_webhook_comes_again(background: Background, refusal: str) -> None:
    seen, attempts = background.deliveries[refusal].result(HANG_SECONDS)
    assert (seen.first, seen.last) == ("Pending", "Succeeded")
    assert [attempt.status for attempt in attempts] == [int(refusal[:3]), 200]
    assert seen.webhooks == [announcement("payment", seen.id)]


def test_the_receivers_wish_to_wait_is_honoured(background: Background) -> None:
    _, (refused, taken) = background.deliveries["503 with Retry-After"].result(HANG_SECONDS)
    assert taken.at - refused.at >= RETRY_AFTER_SECONDS


def test_changes_while_the_platform_is_down_are_folded_and_the_last_is_announced(
    background: Background,
) -> None:
    seen, attempts = background.changed_meanwhile.result(HANG_SECONDS)
    assert [entry.kind for entry in seen.ledger] == ["charge", "chargeback"]
    assert_same_books(seen, "payment")
    assert [attempt.status for attempt in attempts][:2] == [500, 200]
    assert 1 <= len(seen.webhooks) <= 2
    assert seen.webhooks[-1] == announcement("payment", seen.id)
