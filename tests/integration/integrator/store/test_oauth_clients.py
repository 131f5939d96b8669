"""OAuth clients."""

from datetime import UTC, datetime, timedelta

import pytest

from integrator.store import Caller, Merchant, NotFound, Store


async def test_a_client_is_valid_until_revoked(store: Store, merchant: Merchant) -> None:
    id, secret = await store.oauth_clients.add("demo", "platform")
    kept, kept_secret = await store.oauth_clients.add("demo", "second")
    assert await store.callers.find_by_client(id) == Caller(merchant, id)
    assert await store.oauth_clients.authenticate(id, secret) == merchant
    assert await store.oauth_clients.authenticate(id, kept_secret) is None
    assert await store.oauth_clients.authenticate(id, "") is None
    assert await store.oauth_clients.revoke("demo", id) is True
    assert await store.oauth_clients.revoke("demo", id) is False
    assert await store.callers.find_by_client(id) is None
    assert await store.oauth_clients.authenticate(id, secret) is None
    assert await store.oauth_clients.authenticate(kept, kept_secret) == merchant
    first, second = await store.oauth_clients.list_by_merchant("demo")
    assert (first.id, first.label, first.merchant_id) == (id, "platform", "demo")
    assert first.revoked_at is not None
    assert second.revoked_at is None


@pytest.mark.parametrize("id", ["", "unknown", "\x00", "0" * 24, "ü" * 24, "'; --", "0" * 10_000])
async def test_unknown_client_ids_return_nothing(store: Store, merchant: Merchant, id: str) -> None:
    assert await store.callers.find_by_client(id) is None
    assert await store.oauth_clients.authenticate(id, "") is None


async def test_a_client_needs_a_merchant(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.oauth_clients.add("unknown", "x")


async def test_the_last_use_of_a_client_is_recorded(store: Store, merchant: Merchant) -> None:
    id, _ = await store.oauth_clients.add("demo", "platform")
    now = datetime.now(UTC)
    await store.oauth_clients.record_use({id: now, "unknown": now})
    await store.oauth_clients.record_use({id: now - timedelta(hours=1)})
    [known] = await store.oauth_clients.list_by_merchant("demo")
    assert known.last_used_at == now
