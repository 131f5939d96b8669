"""Who calls and what it asks about, read at once, is what the single reads say."""

from datetime import UTC, datetime, timedelta

import pytest

from integrator.store import Caller, Merchant, NewAgreement, RequestedTransaction, Store
from tests.store.builders import change, new_transaction

CARD = {"psp_ref": "pm_1", "bearer": {"CardNumber": "**** 4242"}}


@pytest.fixture
async def signed_up(store: Store, merchant: Merchant) -> Merchant:
    """A merchant whose preauth `t1` opened the agreement `mia`, which `t2` charges."""
    agreement = NewAgreement("mia", "CreditCard")
    new = new_transaction(merchant, kind="preauth", agreement_id="mia", agreement=agreement)
    await store.open_transaction(new)
    await store.save_private(merchant.id, "t1", instrument=CARD)
    await store.record(change(merchant, activate_agreement=True))
    await store.open_transaction(new_transaction(merchant, "t2", agreement_id="mia"))
    return merchant


async def test_a_token_brings_the_transaction_asked_about(
    store: Store, signed_up: Merchant
) -> None:
    token = await store.issue_token(signed_up.id, "billing")
    for id in ("t1", "t2"):
        row = await store.transaction(signed_up.id, id)
        assert row is not None
        found = await store.caller_by_token(token, id)
        assert found is not None
        assert found.merchant == signed_up
        assert found.asked == RequestedTransaction(row, CARD)


async def test_a_client_brings_the_transaction_asked_about(
    store: Store, signed_up: Merchant
) -> None:
    id, _ = await store.add_client(signed_up.id, "platform")
    row = await store.transaction(signed_up.id, "t2")
    assert row is not None
    assert await store.caller_by_client(id, "t2") == Caller(
        signed_up, id, RequestedTransaction(row, CARD)
    )
    assert await store.caller_by_client(id) == Caller(signed_up, id)


async def test_a_transaction_without_an_agreement_has_no_instrument(
    store: Store, merchant: Merchant
) -> None:
    await store.open_transaction(new_transaction(merchant, agreement_id=None))
    found = await store.caller_by_token(await store.issue_token(merchant.id, "billing"), "t1")
    assert found is not None
    assert found.asked is not None
    assert found.asked.instrument is None


async def test_what_another_merchant_has_is_not_there(store: Store, signed_up: Merchant) -> None:
    await store.add_merchant("stranger", "sandbox")
    token = await store.issue_token("stranger", "billing")
    client, _ = await store.add_client("stranger", "platform")
    for found in (
        await store.caller_by_token(token, "t1"),
        await store.caller_by_client(client, "t1"),
        await store.caller_by_token(token, "nothing"),
    ):
        assert found is not None
        assert found.merchant.id == "stranger"
        assert found.asked is None


async def test_the_instrument_of_an_erased_agreement_is_gone(
    store: Store, signed_up: Merchant
) -> None:
    await store.erase_agreement(signed_up.id, "mia")
    found = await store.caller_by_token(await store.issue_token(signed_up.id, "billing"), "t1")
    assert found is not None
    assert found.asked is not None
    assert found.asked.transaction.erased
    assert found.asked.instrument is None


async def test_whoever_may_not_call_learns_nothing(store: Store, signed_up: Merchant) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    ended = await store.issue_token(signed_up.id, "old", expires_at=past)
    revoked = await store.issue_token(signed_up.id, "lost")
    for token in await store.tokens(signed_up.id):
        await store.revoke_token(signed_up.id, token.id)
    client, _ = await store.add_client(signed_up.id, "platform")
    await store.revoke_client(signed_up.id, client)
    assert await store.caller_by_token(ended, "t1") is None
    assert await store.caller_by_token(revoked, "t1") is None
    assert await store.caller_by_token("unknown", "t1") is None
    assert await store.caller_by_client(client, "t1") is None
