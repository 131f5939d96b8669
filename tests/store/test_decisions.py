"""The audit of what people decided."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from integrator.store import (
    ConstraintViolated,
    Merchant,
    NewDecision,
    NewUnmatchedMovement,
    NotFound,
    Store,
)
from tests.store.factories import MIA, live

FAILED = NewDecision(
    merchant_id="demo",
    kind="failed",
    decided_by="ada",
    reason=f"the bank says that {MIA.name} has no account",
    transaction_id="mia-2",
    status_before="Pending",
)


def stray(merchant: Merchant, **given: str) -> NewUnmatchedMovement:
    return NewUnmatchedMovement(
        psp_settings_id=merchant.psp_settings_id,
        psp_id="pay_9",
        kind="payment",
        amount=Decimal("5.00"),
        currency="EUR",
        reference=None,
        parent_psp_id=None,
        owner_id=given.get("owner_id"),
        booked_at=datetime.now(UTC),
    )


async def test_a_decision_is_kept_with_what_came_of_it(store: Store, merchant: Merchant) -> None:
    await live(store, merchant, MIA)
    id = await store.open_decision(FAILED)
    (row, *_) = await store.decisions("demo", "mia-2")
    assert (row.id, row.outcome, row.reason) == (id, "asked", FAILED.reason)
    await store.close_decision(id, "refused", status_after="Succeeded", refusal="It succeeded.")
    (row, earlier) = await store.decisions("demo", "mia-2")
    assert (row.outcome, row.refusal) == ("refused", "It succeeded.")
    assert (row.status_before, row.status_after) == ("Pending", "Succeeded")
    assert earlier.decided_at <= row.decided_at
    assert FAILED.reason not in repr(row) + repr(FAILED)


async def test_only_what_exists_is_decided_on(store: Store, merchant: Merchant) -> None:
    with pytest.raises(NotFound):
        await store.open_decision(FAILED)
    with pytest.raises(NotFound):
        await store.close_decision("nobody's", "done")
    with pytest.raises(ConstraintViolated):
        await store.open_decision(replace(FAILED, transaction_id=None))


async def test_a_reason_is_erased_with_its_agreement(store: Store, merchant: Merchant) -> None:
    await live(store, merchant, MIA)
    await store.open_decision(FAILED)
    await store.erase_agreement("demo", "mia")
    rows = await store.decisions("demo", "mia-2")
    assert [row.reason for row in rows] == [None, None]
    assert [row.decided_by for row in rows] == ["ada", "operator"]


async def test_a_reason_given_after_the_erasure_stays_until_the_next(
    store: Store, merchant: Merchant
) -> None:
    await live(store, merchant, MIA)
    await store.erase_agreement("demo", "mia")
    await store.open_decision(replace(FAILED, reason="the bank's letter of 3 May"))
    (row, *_) = await store.decisions("demo", "mia-2")
    assert row.reason == "the bank's letter of 3 May"
    await store.erase_agreement("demo", "mia")
    (row, *_) = await store.decisions("demo", "mia-2")
    assert row.reason is None


async def test_a_stray_is_dealt_with_once(store: Store, merchant: Merchant) -> None:
    await live(store, merchant, MIA)
    await store.add_stray(stray(merchant, owner_id="mia-2"))
    assert [row.psp_id for row in await store.unplaced("demo")] == ["pay_9"]
    settings_id = merchant.psp_settings_id
    decided = replace(FAILED, transaction_id=None, psp_settings_id=settings_id, psp_id="pay_9")
    await store.open_decision(replace(decided, kind="acknowledge"))
    assert await store.resolve_stray(settings_id, "pay_9")
    assert not await store.resolve_stray(settings_id, "pay_9")
    assert await store.unplaced() == []
    # It was made on a transaction of hers.
    await store.erase_agreement("demo", "mia")
    assert [row.reason for row in await store.decisions("demo")] == [None, None]
