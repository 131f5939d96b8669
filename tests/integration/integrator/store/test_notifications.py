"""Stored notifications."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from integrator.store import ConstraintViolated, Merchant, NotFound, Store
from tests.integration.integrator.store.builders import new_notification


def _soon() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=1)


async def test_a_notification_reads_back(store: Store, merchant: Merchant) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    new = new_notification(merchant, received_at=at)
    id, created = await store.notifications.add(new)
    row = await store.notifications.get(id)
    assert created
    assert row is not None
    assert (row.raw, row.headers, row.psp_ids) == (new.raw, new.headers, new.psp_ids)
    assert (row.state, row.outcome, row.attempts) == ("stored", None, 0)
    assert row.received_at == at
    assert await store.notifications.get(id + 1) is None


async def test_an_event_is_stored_once(store: Store, merchant: Merchant) -> None:
    new = new_notification(merchant)
    stored = await asyncio.gather(*(store.notifications.add(new) for _ in range(10)))
    assert len({id for id, _ in stored}) == 1
    assert sorted(created for _, created in stored) == [False] * 9 + [True]

    id, created = await store.notifications.add(new_notification(merchant, raw=b"changed"))
    row = await store.notifications.get(id)
    assert not created
    assert row is not None
    assert row.raw == new.raw


async def test_event_ids_belong_to_the_psp_settings(store: Store, merchant: Merchant) -> None:
    other = await store.merchants.add("other", "sandbox")
    first = await store.notifications.add(new_notification(merchant))
    second = await store.notifications.add(new_notification(other))
    assert first[0] != second[0]
    assert (first[1], second[1]) == (True, True)


async def test_the_state_and_outcome_are_stored(store: Store, merchant: Merchant) -> None:
    id, _ = await store.notifications.add(new_notification(merchant, transaction_id="t1"))
    await store.notifications.set_state(id, "parked", "no such transaction yet")
    await store.notifications.set_state(id, "signalled")
    row = await store.notifications.get(id)
    assert row is not None
    assert (row.state, row.outcome, row.attempts) == ("signalled", None, 2)
    assert row.transaction_id == "t1"
    await store.notifications.set_state(id, "applied", transaction_id="t2")
    row = await store.notifications.get(id)
    assert row is not None
    assert row.transaction_id == "t2"
    with pytest.raises(NotFound):
        await store.notifications.set_state(id + 1, "applied")
    with pytest.raises(ConstraintViolated):
        await store.notifications.set_state(id, "lost")  # type: ignore[arg-type]


async def test_signalled_does_not_replace_applied(store: Store, merchant: Merchant) -> None:
    id, _ = await store.notifications.add(new_notification(merchant))
    await store.notifications.set_state(id, "applied", transaction_id="t1")
    await store.notifications.set_state(id, "signalled", transaction_id="t1")
    row = await store.notifications.get(id)
    assert row is not None
    assert row.state == "applied"


async def test_pending_notifications_are_listed_oldest_first(
    store: Store, merchant: Merchant
) -> None:
    ids = []
    for event in ("e1", "e2", "e3", "e4"):
        id, _ = await store.notifications.add(new_notification(merchant, event))
        ids.append(id)
    await store.notifications.set_state(ids[0], "parked")
    await store.notifications.set_state(ids[1], "applied")

    pending = await store.notifications.list_pending(_soon(), 10)
    assert [row.id for row in pending] == [ids[2], ids[3], ids[0]]
    assert [row.id for row in await store.notifications.list_pending(_soon(), 1)] == [ids[2]]
    past = datetime.now(UTC) - timedelta(minutes=1)
    assert await store.notifications.list_pending(past, 10) == []


async def test_parked_notifications_are_found_by_psp_and_transaction_ids(
    store: Store, merchant: Merchant
) -> None:
    other = await store.merchants.add("other", "sandbox")
    mentions = {"e1": ("pay_1", "ses_1"), "e2": ("PAY_1",), "e3": ("pay_10",), "e4": ("payx1",)}
    for event, psp_ids in mentions.items():
        new = new_notification(merchant, event, psp_ids=psp_ids, transaction_id=f"t-{event}")
        id, _ = await store.notifications.add(new)
        await store.notifications.set_state(id, "parked")
    await store.notifications.add(new_notification(merchant, "not parked"))
    id, _ = await store.notifications.add(new_notification(other, "of another"))
    await store.notifications.set_state(id, "parked")

    async def events(*psp_ids: str, transaction_id: str | None = None) -> list[str]:
        rows = await store.notifications.list_parked(
            merchant.id, psp_ids, transaction_id=transaction_id
        )
        return [row.event_id for row in rows]

    assert await events("pay_1") == ["e1"]
    assert await events("ses_1", "pay_10") == ["e1", "e3"]
    assert await events("pay") == []
    assert await events("%") == []
    assert await events() == []
    assert await events("ses_1", transaction_id="t-e2") == ["e1", "e2"]
    assert await events(transaction_id="t-e4") == ["e4"]


@pytest.mark.parametrize("psp_id", ['a"b', "ü", "a\\b", "a%b", "a_b", "a'b"])
async def test_psp_ids_with_special_characters_are_found(
    store: Store, merchant: Merchant, psp_id: str
) -> None:
    id, _ = await store.notifications.add(new_notification(merchant, psp_ids=(psp_id,)))
    await store.notifications.set_state(id, "parked")
    assert [row.id for row in await store.notifications.list_parked("demo", [psp_id])] == [id]
