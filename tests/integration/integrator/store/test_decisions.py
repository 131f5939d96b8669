"""The audit log of operators' decisions."""

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
from tests.integration.integrator.store.factories import MIA, create_agreement_data

FAILED = NewDecision(
    merchant_id="demo",
    kind="failed",
    decided_by="ada",
    reason=f"the bank says that {MIA.name} has no account",
    transaction_id="mia-2",
    status_before="Pending",
)


def unmatched_movement(merchant: Merchant, **overrides: str) -> NewUnmatchedMovement:
    return NewUnmatchedMovement(
        psp_settings_id=merchant.psp_settings_id,
        psp_id="pay_9",
        kind="payment",
        amount=Decimal("5.00"),
        currency="EUR",
        reference=None,
        parent_psp_id=None,
        owner_id=overrides.get("owner_id"),
        booked_at=datetime.now(UTC),
    )


async def test_a_decision_is_stored_with_its_outcome(store: Store, merchant: Merchant) -> None:
    await create_agreement_data(store, merchant, MIA)
    id = await store.decisions.add(FAILED)
    (row, *_) = await store.decisions.list_newest("demo", "mia-2")
    assert (row.id, row.outcome, row.reason) == (id, "asked", FAILED.reason)
    await store.decisions.record_outcome(
        id, "refused", status_after="Succeeded", refusal="It succeeded."
    )
    (row, earlier) = await store.decisions.list_newest("demo", "mia-2")
    assert (row.outcome, row.refusal) == ("refused", "It succeeded.")
    assert (row.status_before, row.status_after) == ("Pending", "Succeeded")
    assert earlier.decided_at <= row.decided_at
    assert FAILED.reason not in repr(row) + repr(FAILED)


async def test_a_decision_needs_an_existing_subject(store: Store, merchant: Merchant) -> None:
    with pytest.raises(NotFound):
        await store.decisions.add(FAILED)
    with pytest.raises(NotFound):
        await store.decisions.record_outcome("unknown", "done")
    with pytest.raises(ConstraintViolated):
        await store.decisions.add(replace(FAILED, transaction_id=None))


async def test_a_reason_is_erased_with_its_agreement(store: Store, merchant: Merchant) -> None:
    await create_agreement_data(store, merchant, MIA)
    await store.decisions.add(FAILED)
    await store.erasure.erase_agreement("demo", "mia")
    rows = await store.decisions.list_newest("demo", "mia-2")
    assert [row.reason for row in rows] == [None, None]
    assert [row.decided_by for row in rows] == ["ada", "operator"]


async def test_a_reason_after_the_erasure_is_kept_until_the_next_one(
    store: Store, merchant: Merchant
) -> None:
    await create_agreement_data(store, merchant, MIA)
    await store.erasure.erase_agreement("demo", "mia")
    await store.decisions.add(replace(FAILED, reason="the bank's letter of 3 May"))
    (row, *_) = await store.decisions.list_newest("demo", "mia-2")
    assert row.reason == "the bank's letter of 3 May"
    await store.erasure.erase_agreement("demo", "mia")
    (row, *_) = await store.decisions.list_newest("demo", "mia-2")
    assert row.reason is None


async def test_an_unmatched_movement_is_resolved_once(store: Store, merchant: Merchant) -> None:
    await create_agreement_data(store, merchant, MIA)
    await store.unmatched_movements.add(unmatched_movement(merchant, owner_id="mia-2"))
    assert [row.psp_id for row in await store.unmatched_movements.list_open("demo")] == ["pay_9"]
    settings_id = merchant.psp_settings_id
    decision = replace(FAILED, transaction_id=None, psp_settings_id=settings_id, psp_id="pay_9")
    await store.decisions.add(replace(decision, kind="acknowledge"))
    assert await store.unmatched_movements.resolve(settings_id, "pay_9")
    assert not await store.unmatched_movements.resolve(settings_id, "pay_9")
    assert await store.unmatched_movements.list_open() == []
    # Its parent is a transaction of the agreement.
    await store.erasure.erase_agreement("demo", "mia")
    assert [row.reason for row in await store.decisions.list_newest("demo")] == [None, None]
