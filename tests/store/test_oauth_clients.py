"""OAuth clients."""

from datetime import UTC, datetime, timedelta

import pytest

from integrator.store import Caller, Merchant, NotFound, Store


async def test_a_client_is_valid_until_revoked(store: Store, merchant: Merchant) -> None:
    id, secret = await store.add_client("demo", "platform")
    kept, kept_secret = await store.add_client("demo", "second")
    assert await store.caller_by_client(id) == Caller(merchant, id)
    assert await store.authenticate_client(id, secret) == merchant
    assert await store.authenticate_client(id, kept_secret) is None
    assert await store.authenticate_client(id, "") is None
    assert await store.revoke_client("demo", id) is True
    assert await store.revoke_client("demo", id) is False
    assert await store.caller_by_client(id) is None
    assert await store.authenticate_client(id, secret) is None
    assert await store.authenticate_client(kept, kept_secret) == merchant
    first, second = await store.clients("demo")
    assert (first.id, first.label, first.merchant_id) == (id, "platform", "demo")
    assert first.revoked_at is not None
    assert second.revoked_at is None


@pytest.mark.parametrize("id", ["", "unknown", "\x00", "0" * 24, "ü" * 24, "'; --", "0" * 10_000])
async def test_unknown_client_ids_return_nothing(store: Store, merchant: Merchant, id: str) -> None:
    assert await store.caller_by_client(id) is None
    assert await store.authenticate_client(id, "") is None


async def test_a_client_needs_a_merchant(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.add_client("unknown", "x")


async def test_the_last_use_of_a_client_is_recorded(store: Store, merchant: Merchant) -> None:
    id, _ = await store.add_client("demo", "platform")
    now = datetime.now(UTC)
    await store.record_client_use({id: now, "unknown": now})
    await store.record_client_use({id: now - timedelta(hours=1)})
    [known] = await store.clients("demo")
    assert known.last_used_at == now
