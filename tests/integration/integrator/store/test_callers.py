"""The combined lookup of caller and requested transaction equals the separate reads."""

from datetime import UTC, datetime, timedelta

import pytest

from integrator.store import Caller, Merchant, NewAgreement, RequestedTransaction, Store
from tests.integration.integrator.store.builders import new_transaction, record_update

CARD = {"psp_ref": "pm_1", "bearer": {"CardNumber": "**** 4242"}}


@pytest.fixture
async def signed_up(store: Store, merchant: Merchant) -> Merchant:
    """Return a merchant whose preauth `t1` opened the agreement `mia`, which `t2` charges."""
    agreement = NewAgreement("mia", "CreditCard")
    new = new_transaction(merchant, kind="preauth", agreement_id="mia", agreement=agreement)
    await store.transactions.add(new)
    await store.transactions.save_private(merchant.id, "t1", instrument=CARD)
    await store.transactions.record(record_update(merchant, activate_agreement=True))
    await store.transactions.add(new_transaction(merchant, "t2", agreement_id="mia"))
    return merchant


async def test_a_token_lookup_returns_the_requested_transaction(
    store: Store, signed_up: Merchant
) -> None:
    token = await store.api_tokens.issue(signed_up.id, "billing")
    for id in ("t1", "t2"):
        row = await store.transactions.get(signed_up.id, id)
        assert row is not None
        caller = await store.callers.find_by_token(token, id)
        assert caller is not None
        assert caller.merchant == signed_up
        assert caller.requested == RequestedTransaction(row, CARD)


async def test_a_client_lookup_returns_the_requested_transaction(
    store: Store, signed_up: Merchant
) -> None:
    id, _ = await store.oauth_clients.add(signed_up.id, "platform")
    row = await store.transactions.get(signed_up.id, "t2")
    assert row is not None
    assert await store.callers.find_by_client(id, "t2") == Caller(
        signed_up, id, RequestedTransaction(row, CARD)
    )
    assert await store.callers.find_by_client(id) == Caller(signed_up, id)


async def test_a_transaction_without_an_agreement_has_no_instrument(
    store: Store, merchant: Merchant
) -> None:
    await store.transactions.add(new_transaction(merchant, agreement_id=None))
    caller = await store.callers.find_by_token(
        await store.api_tokens.issue(merchant.id, "billing"), "t1"
    )
    assert caller is not None
    assert caller.requested is not None
    assert caller.requested.instrument is None


async def test_transactions_of_another_merchant_are_not_returned(
    store: Store, signed_up: Merchant
) -> None:
    await store.merchants.add("other", "sandbox")
    token = await store.api_tokens.issue("other", "billing")
    client, _ = await store.oauth_clients.add("other", "platform")
    for caller in (
        await store.callers.find_by_token(token, "t1"),
        await store.callers.find_by_client(client, "t1"),
        await store.callers.find_by_token(token, "nothing"),
    ):
        assert caller is not None
        assert caller.merchant.id == "other"
        assert caller.requested is None


async def test_the_instrument_of_an_erased_agreement_is_gone(
    store: Store, signed_up: Merchant
) -> None:
    await store.erasure.erase_agreement(signed_up.id, "mia")
    caller = await store.callers.find_by_token(
        await store.api_tokens.issue(signed_up.id, "billing"), "t1"
    )
    assert caller is not None
    assert caller.requested is not None
    assert caller.requested.transaction.erased
    assert caller.requested.instrument is None


async def test_invalid_credentials_return_nothing(store: Store, signed_up: Merchant) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    expired = await store.api_tokens.issue(signed_up.id, "old", expires_at=past)
    revoked = await store.api_tokens.issue(signed_up.id, "lost")
    for token in await store.api_tokens.list_by_merchant(signed_up.id):
        await store.api_tokens.revoke(signed_up.id, token.id)
    client, _ = await store.oauth_clients.add(signed_up.id, "platform")
    await store.oauth_clients.revoke(signed_up.id, client)
    assert await store.callers.find_by_token(expired, "t1") is None
    assert await store.callers.find_by_token(revoked, "t1") is None
    assert await store.callers.find_by_token("unknown", "t1") is None
    assert await store.callers.find_by_client(client, "t1") is None
