"""Failures that Stripe stores under a key: creations go on with the next key, money never does."""

from typing import Any

import pytest

from integrator.psp.errors import OutcomeUnknown
from integrator.psp.types import Approved, Charge, RedirectRequired
from tests.integration.integrator.psp import builders
from tests.integration.integrator.psp.stripe.conftest import StripeMerchant

STORED = {"kind": "error", "stored": True}


def sent_keys(merchant: StripeMerchant, prefix: str) -> list[str]:
    """Return the keys of the POST requests, without the call's own key."""
    keys = [
        request.headers["Idempotency-Key"]
        for request in merchant.transport.requests
        if request.method == "POST"
    ]
    return [key.removeprefix(prefix) for key in keys]


async def store_failure(merchant: StripeMerchant, **fault: Any) -> None:
    await merchant.call_control("faults", **{**STORED, "count": 1, **fault})


async def create_charge(merchant: StripeMerchant) -> Charge:
    return builders.charge("10.00", instrument=await merchant.create_stored_card(), key="k")


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_payment_is_created_with_the_next_key(
    stripe_merchant: StripeMerchant, when: str
) -> None:
    merchant = stripe_merchant
    call = await create_charge(merchant)
    await store_failure(merchant, operations=["creation"], when=when)
    # Only the repetition shows that the failure is stored.
    with pytest.raises(OutcomeUnknown):
        await merchant.connection.charge(call)
    assert sent_keys(merchant, "k") == ["/create"]
    merchant.transport.requests.clear()
    first = await merchant.connection.charge(call)
    assert isinstance(first, Approved)
    assert sent_keys(merchant, "k") == ["/create", "/create/2", "/confirm"]
    assert await merchant.connection.charge(call) == first
    assert await merchant.list_bookings(call.reference) == [("charge", "10.00")]
    assert await merchant.connection.fetch_payment(builders.lookup(call.reference)) == first


async def test_several_stored_failures_lead_to_one_payment(
    stripe_merchant: StripeMerchant,
) -> None:
    merchant = stripe_merchant
    call = await create_charge(merchant)
    # The repetition of the first key is a hit as well.
    await store_failure(merchant, operations=["creation"], count=3)
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            await merchant.connection.charge(call)
    first = await merchant.connection.charge(call)
    assert isinstance(first, Approved)
    for _ in range(2):
        merchant.transport.requests.clear()
        assert await merchant.connection.charge(call) == first
        assert sent_keys(merchant, "k") == ["/create", "/create/2", "/create/3", "/confirm"]
    assert await merchant.list_bookings(call.reference) == [("charge", "10.00")]


async def test_a_failure_that_is_not_stored_keeps_its_key(stripe_merchant: StripeMerchant) -> None:
    merchant = stripe_merchant
    call = await create_charge(merchant)
    await store_failure(merchant, operations=["creation"], count=2, stored=False)
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            await merchant.connection.charge(call)
    assert isinstance(await merchant.connection.charge(call), Approved)
    assert sent_keys(merchant, "k") == ["/create"] * 3 + ["/confirm"]


async def test_the_chain_ends(stripe_merchant: StripeMerchant) -> None:
    merchant = stripe_merchant
    call = await create_charge(merchant)
    await store_failure(merchant, operations=["creation"], count=None)
    for _ in range(7):
        with pytest.raises(OutcomeUnknown):
            await merchant.connection.charge(call)
    merchant.transport.requests.clear()
    with pytest.raises(OutcomeUnknown):
        await merchant.connection.charge(call)
    assert sent_keys(merchant, "k") == ["/create", *(f"/create/{n}" for n in (2, 3, 4, 5))]


async def test_a_step_that_moves_money_keeps_its_key(stripe_merchant: StripeMerchant) -> None:
    merchant = stripe_merchant
    card = await merchant.create_stored_card()
    call = builders.authorize("10.00", initial=False, instrument=card, key="k")
    outcome = await merchant.connection.authorize(call)
    assert isinstance(outcome, Approved)
    capture = builders.capture("10.00", authorization_id=outcome.psp_id or "", key="c")
    await store_failure(merchant, operations=["capture"])
    merchant.transport.requests.clear()
    for _ in range(3):
        with pytest.raises(OutcomeUnknown):
            await merchant.connection.capture(capture)
    assert set(sent_keys(merchant, "c")) == {""}
    assert await merchant.list_bookings(capture.reference) == []


@pytest.mark.parametrize("call", [builders.authorize(key="k"), builders.debit(key="k")])
async def test_pages_and_mandates_are_created_with_the_next_key(
    stripe_merchant: StripeMerchant, call: Any
) -> None:
    merchant = stripe_merchant
    await store_failure(merchant, operations=["creation"])
    with pytest.raises(OutcomeUnknown):
        await merchant.connection.authorize(call)
    first = await merchant.connection.authorize(call)
    assert isinstance(first, Approved | RedirectRequired)
    assert await merchant.connection.authorize(call) == first
    assert {key for key in sent_keys(merchant, "k") if key.endswith("/2")}
