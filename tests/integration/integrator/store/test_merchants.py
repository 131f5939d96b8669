"""Merchants, tokens and settings."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from integrator.store import AlreadyExists, Merchant, NotFound, Store


async def test_a_merchant_is_found_by_id_and_by_settings(store: Store, merchant: Merchant) -> None:
    other = await store.merchants.add("acme-2", "stripe")
    assert len(merchant.psp_settings_id) == 24
    assert await store.merchants.get("demo") == merchant
    assert await store.merchants.list_all() == [other, merchant]
    assert (
        await store.merchants.find_by_settings_id("sandbox", merchant.psp_settings_id) == merchant
    )
    assert await store.merchants.find_by_settings_id("stripe", merchant.psp_settings_id) is None
    assert await store.merchants.get("unknown") is None


async def test_a_merchant_id_is_unique(store: Store, merchant: Merchant) -> None:
    with pytest.raises(AlreadyExists):
        await store.merchants.add("demo", "other")
    assert await store.merchants.get("demo") == merchant


@pytest.mark.parametrize("id", ["", "a/b", "Demo", "-a", "a b", "a" * 64, "a\n"])
async def test_a_merchant_id_is_a_slug(store: Store, id: str) -> None:
    with pytest.raises(ValueError, match="not a merchant id"):
        await store.merchants.add(id, "sandbox")


async def test_a_token_is_valid_until_revoked(store: Store, merchant: Merchant) -> None:
    token = await store.api_tokens.issue("demo", "billing")
    kept = await store.api_tokens.issue("demo", "second")
    assert token.startswith("itk_")
    assert len(token) == 4 + 43
    assert await store.api_tokens.find_merchant(token) == merchant
    assert await store.api_tokens.find_merchant(token + "x") is None

    [first, second] = await store.api_tokens.list_by_merchant("demo")
    assert (first.label, second.label) == ("billing", "second")
    assert await store.api_tokens.revoke("demo", first.id) is True
    assert await store.api_tokens.revoke("demo", first.id) is False
    assert await store.api_tokens.find_merchant(token) is None
    assert await store.api_tokens.find_merchant(kept) == merchant
    assert (await store.api_tokens.list_by_merchant("demo"))[0].revoked_at is not None


async def test_a_token_expires(store: Store, merchant: Merchant) -> None:
    now = datetime.now(UTC)
    ended = await store.api_tokens.issue("demo", "old", expires_at=now - timedelta(seconds=1))
    valid = await store.api_tokens.issue("demo", "new", expires_at=now + timedelta(hours=1))
    assert await store.api_tokens.find_merchant(ended) is None
    assert await store.api_tokens.find_merchant(valid) == merchant


async def test_the_last_use_of_a_token_is_recorded(store: Store, merchant: Merchant) -> None:
    token = await store.api_tokens.issue("demo", "billing")
    caller = await store.callers.find_by_token(token)
    assert caller is not None
    assert caller.merchant == merchant
    id = caller.credential_id
    now = datetime.now(UTC)
    await store.api_tokens.record_use({id: now, "unknown": now})
    await store.api_tokens.record_use({id: now - timedelta(hours=1)})
    [known] = await store.api_tokens.list_by_merchant("demo")
    assert (known.id, known.last_used_at) == (id, now)


async def test_webhook_hosts_belong_to_one_merchant(store: Store, merchant: Merchant) -> None:
    other = await store.merchants.add("other", "sandbox")
    await store.merchants.set_webhook_hosts("demo", ["b.example", "a.example", "b.example"])
    changed = await store.merchants.get("demo")
    assert changed is not None
    assert changed.webhook_hosts == ("a.example", "b.example")
    assert await store.merchants.get("other") == other
    await store.merchants.set_webhook_hosts("demo", [])
    assert await store.merchants.get("demo") == merchant
    with pytest.raises(NotFound):
        await store.merchants.set_webhook_hosts("unknown", ["a.example"])


async def test_a_token_is_revoked_by_its_merchant_only(store: Store, merchant: Merchant) -> None:
    await store.merchants.add("other", "sandbox")
    token = await store.api_tokens.issue(merchant.id, "billing")
    [known] = await store.api_tokens.list_by_merchant(merchant.id)
    assert await store.api_tokens.revoke("other", known.id) is False
    assert await store.api_tokens.find_merchant(token) == merchant


async def test_a_given_token_can_be_stored_again(store: Store, merchant: Merchant) -> None:
    await store.merchants.add("other", "sandbox")
    assert await store.api_tokens.issue("demo", "seed", token="itk_given") == "itk_given"
    assert await store.api_tokens.issue("demo", "seed", token="itk_given") == "itk_given"
    [known] = await store.api_tokens.list_by_merchant("demo")
    with pytest.raises(AlreadyExists):
        await store.api_tokens.issue("other", "seed", token="itk_given")
    await store.api_tokens.revoke("demo", known.id)
    with pytest.raises(AlreadyExists):
        await store.api_tokens.issue("demo", "seed", token="itk_given")


async def test_a_token_needs_a_merchant_and_content(store: Store, merchant: Merchant) -> None:
    with pytest.raises(NotFound):
        await store.api_tokens.issue("unknown", "x")
    with pytest.raises(ValueError, match="empty"):
        await store.api_tokens.issue("demo", "x", token="")
    assert await store.api_tokens.list_by_merchant("demo") == []


async def test_the_token_itself_is_not_returned(store: Store, merchant: Merchant) -> None:
    token = await store.api_tokens.issue("demo", "billing")
    [known] = await store.api_tokens.list_by_merchant("demo")
    assert token not in repr(known)
    assert hashlib.sha256(token.encode()).hexdigest() not in repr(known)


async def test_settings_are_versioned(store: Store, merchant: Merchant) -> None:
    assert await store.merchants.get_settings("demo") is None
    assert await store.merchants.save_settings("demo", {"ApiKey": "one"}) == 1
    assert await store.merchants.save_settings("demo", {"ApiKey": "two", "Name": "Ä"}) == 2
    assert await store.merchants.get_settings("demo") == {"ApiKey": "two", "Name": "Ä"}
    with pytest.raises(NotFound):
        await store.merchants.save_settings("unknown", {})


async def test_concurrent_settings_get_distinct_versions(store: Store, merchant: Merchant) -> None:
    saves = (store.merchants.save_settings("demo", {"n": str(n)}) for n in range(8))
    assert sorted(await asyncio.gather(*saves)) == list(range(1, 9))


async def test_settings_are_those_of_the_account_in_use_at_the_time(store: Store) -> None:
    await store.merchants.add("demo", "sandbox")
    await store.merchants.save_settings("demo", {"ApiKey": "a1"}, "acc_a")
    account_a_time = datetime.now(UTC)
    await store.merchants.save_settings("demo", {"ApiKey": "a2"}, "acc_a")
    await store.merchants.save_settings("demo", {"ApiKey": "b1"}, "acc_b")
    assert await store.merchants.get_settings("demo") == {"ApiKey": "b1"}
    assert await store.merchants.get_settings("demo", account_a_time) == {"ApiKey": "a2"}
    assert await store.merchants.get_settings("demo", datetime.now(UTC)) == {"ApiKey": "b1"}


async def test_settings_of_an_unknown_account_are_replaced_by_the_latest(store: Store) -> None:
    await store.merchants.add("demo", "sandbox")
    await store.merchants.save_settings("demo", {"ApiKey": "one"})
    begun = datetime.now(UTC)
    await store.merchants.save_settings("demo", {"ApiKey": "two"}, "acc_a")
    assert await store.merchants.get_settings("demo", begun) == {"ApiKey": "two"}
