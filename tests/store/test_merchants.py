"""Merchants, tokens and settings."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from integrator.store import AlreadyExists, Merchant, NotFound, Store


async def test_a_merchant_is_found_by_id_and_by_settings(store: Store, merchant: Merchant) -> None:
    other = await store.add_merchant("acme-2", "stripe")
    assert len(merchant.psp_settings_id) == 24
    assert await store.merchant("demo") == merchant
    assert await store.merchants() == [other, merchant]
    assert await store.merchant_by_settings("sandbox", merchant.psp_settings_id) == merchant
    assert await store.merchant_by_settings("stripe", merchant.psp_settings_id) is None
    assert await store.merchant("unknown") is None


async def test_a_merchant_id_is_unique(store: Store, merchant: Merchant) -> None:
    with pytest.raises(AlreadyExists):
        await store.add_merchant("demo", "other")
    assert await store.merchant("demo") == merchant


@pytest.mark.parametrize("id", ["", "a/b", "Demo", "-a", "a b", "a" * 64, "a\n"])
async def test_a_merchant_id_is_a_slug(store: Store, id: str) -> None:
    with pytest.raises(ValueError, match="not a merchant id"):
        await store.add_merchant(id, "sandbox")


async def test_a_token_is_valid_until_revoked(store: Store, merchant: Merchant) -> None:
    token = await store.issue_token("demo", "billing")
    kept = await store.issue_token("demo", "second")
    assert token.startswith("itk_")
    assert len(token) == 4 + 43
    assert await store.merchant_by_token(token) == merchant
    assert await store.merchant_by_token(token + "x") is None

    [first, second] = await store.tokens("demo")
    assert (first.label, second.label) == ("billing", "second")
    assert await store.revoke_token("demo", first.id) is True
    assert await store.revoke_token("demo", first.id) is False
    assert await store.merchant_by_token(token) is None
    assert await store.merchant_by_token(kept) == merchant
    assert (await store.tokens("demo"))[0].revoked_at is not None


async def test_a_token_expires(store: Store, merchant: Merchant) -> None:
    now = datetime.now(UTC)
    ended = await store.issue_token("demo", "old", expires_at=now - timedelta(seconds=1))
    valid = await store.issue_token("demo", "new", expires_at=now + timedelta(hours=1))
    assert await store.merchant_by_token(ended) is None
    assert await store.merchant_by_token(valid) == merchant


async def test_the_last_use_of_a_token_is_recorded(store: Store, merchant: Merchant) -> None:
    token = await store.issue_token("demo", "billing")
    caller = await store.caller_by_token(token)
    assert caller is not None
    assert caller.merchant == merchant
    id = caller.credential_id
    now = datetime.now(UTC)
    await store.record_token_use({id: now, "unknown": now})
    await store.record_token_use({id: now - timedelta(hours=1)})
    [known] = await store.tokens("demo")
    assert (known.id, known.last_used_at) == (id, now)


async def test_webhook_hosts_belong_to_one_merchant(store: Store, merchant: Merchant) -> None:
    other = await store.add_merchant("other", "sandbox")
    await store.allow_webhook_hosts("demo", ["b.example", "a.example", "b.example"])
    changed = await store.merchant("demo")
    assert changed is not None
    assert changed.webhook_hosts == ("a.example", "b.example")
    assert await store.merchant("other") == other
    await store.allow_webhook_hosts("demo", [])
    assert await store.merchant("demo") == merchant
    with pytest.raises(NotFound):
        await store.allow_webhook_hosts("unknown", ["a.example"])


async def test_a_token_is_revoked_by_its_merchant_only(store: Store, merchant: Merchant) -> None:
    await store.add_merchant("other", "sandbox")
    token = await store.issue_token(merchant.id, "billing")
    [known] = await store.tokens(merchant.id)
    assert await store.revoke_token("other", known.id) is False
    assert await store.merchant_by_token(token) == merchant


async def test_a_given_token_can_be_stored_again(store: Store, merchant: Merchant) -> None:
    await store.add_merchant("other", "sandbox")
    assert await store.issue_token("demo", "seed", token="itk_given") == "itk_given"
    assert await store.issue_token("demo", "seed", token="itk_given") == "itk_given"
    [known] = await store.tokens("demo")
    with pytest.raises(AlreadyExists):
        await store.issue_token("other", "seed", token="itk_given")
    await store.revoke_token("demo", known.id)
    with pytest.raises(AlreadyExists):
        await store.issue_token("demo", "seed", token="itk_given")


async def test_a_token_needs_a_merchant_and_content(store: Store, merchant: Merchant) -> None:
    with pytest.raises(NotFound):
        await store.issue_token("unknown", "x")
    with pytest.raises(ValueError, match="empty"):
        await store.issue_token("demo", "x", token="")
    assert await store.tokens("demo") == []


async def test_the_token_itself_is_not_returned(store: Store, merchant: Merchant) -> None:
    token = await store.issue_token("demo", "billing")
    [known] = await store.tokens("demo")
    assert token not in repr(known)
    assert hashlib.sha256(token.encode()).hexdigest() not in repr(known)


async def test_settings_are_versioned(store: Store, merchant: Merchant) -> None:
    assert await store.settings("demo") is None
    assert await store.save_settings("demo", {"ApiKey": "one"}) == 1
    assert await store.save_settings("demo", {"ApiKey": "two", "Name": "Ä"}) == 2
    assert await store.settings("demo") == {"ApiKey": "two", "Name": "Ä"}
    with pytest.raises(NotFound):
        await store.save_settings("unknown", {})


async def test_concurrent_settings_get_distinct_versions(store: Store, merchant: Merchant) -> None:
    saves = (store.save_settings("demo", {"n": str(n)}) for n in range(8))
    assert sorted(await asyncio.gather(*saves)) == list(range(1, 9))


async def test_settings_are_those_of_the_account_in_use_at_the_time(store: Store) -> None:
    await store.add_merchant("demo", "sandbox")
    await store.save_settings("demo", {"ApiKey": "a1"}, "acc_a")
    account_a_time = datetime.now(UTC)
    await store.save_settings("demo", {"ApiKey": "a2"}, "acc_a")
    await store.save_settings("demo", {"ApiKey": "b1"}, "acc_b")
    assert await store.settings("demo") == {"ApiKey": "b1"}
    assert await store.settings("demo", account_a_time) == {"ApiKey": "a2"}
    assert await store.settings("demo", datetime.now(UTC)) == {"ApiKey": "b1"}


async def test_settings_of_an_unknown_account_are_replaced_by_the_latest(store: Store) -> None:
    await store.add_merchant("demo", "sandbox")
    await store.save_settings("demo", {"ApiKey": "one"})
    begun = datetime.now(UTC)
    await store.save_settings("demo", {"ApiKey": "two"}, "acc_a")
    assert await store.settings("demo", begun) == {"ApiKey": "two"}
