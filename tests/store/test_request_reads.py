"""What a request and a PSP call read at once is what the single reads say."""

import pytest

from integrator.store import Merchant, NewAgreement, NotFound, PspCallData, RequestLookup, Store
from tests.store.builders import IBAN, change, new_transaction

CARD = {"psp_ref": "pm_1", "bearer": {"CardNumber": "**** 4242"}}
SETTINGS = {"ApiKey": "s3cret"}


@pytest.fixture
async def signed_up(store: Store, merchant: Merchant) -> Merchant:
    """A merchant with settings and a usable agreement `mia`, opened by preauth `t1`."""
    await store.save_settings(merchant.id, SETTINGS, "acc_1")
    agreement = NewAgreement("mia", "CreditCard")
    new = new_transaction(merchant, kind="preauth", agreement_id="mia", agreement=agreement)
    await store.open_transaction(new)
    await store.save_private(merchant.id, "t1", instrument=CARD)
    await store.record(change(merchant, activate_agreement=True))
    return merchant


async def test_a_new_request_knows_settings_and_agreement(
    store: Store, signed_up: Merchant
) -> None:
    known = await store.known(signed_up.id, "t2", "mia")
    assert known == RequestLookup(None, SETTINGS, await store.agreement(signed_up.id, "mia"))
    assert known.agreement is not None
    assert known.agreement.instrument == CARD
    assert await store.known(signed_up.id, "t2", None) == RequestLookup(None, SETTINGS)
    assert await store.known(signed_up.id, "t2", "nobody") == RequestLookup(None, SETTINGS)


async def test_a_repeated_request_knows_its_transaction(store: Store, signed_up: Merchant) -> None:
    known = await store.known(signed_up.id, "t1", "mia")
    assert known == RequestLookup(await store.transaction(signed_up.id, "t1"))


async def test_a_merchant_without_settings_has_none(store: Store, merchant: Merchant) -> None:
    assert await store.known(merchant.id, "t1", "mia") == RequestLookup(None)


async def test_an_order_has_everything_of_a_call(store: Store, signed_up: Merchant) -> None:
    await store.open_transaction(new_transaction(signed_up, "t2", agreement_id="mia"))
    row = await store.transaction(signed_up.id, "t2")
    assert row is not None
    request = {"initialBearer": {"IBAN": IBAN}}
    assert await store.order(signed_up.id, "t2") == PspCallData(row, request, SETTINGS, CARD)


async def test_an_order_without_an_agreement_has_no_instrument(
    store: Store, signed_up: Merchant
) -> None:
    await store.open_transaction(new_transaction(signed_up, "t2", agreement_id=None))
    assert (await store.order(signed_up.id, "t2")).instrument is None


async def test_an_order_uses_the_account_of_its_transaction(
    store: Store, signed_up: Merchant
) -> None:
    await store.save_settings(signed_up.id, {"ApiKey": "another"}, "acc_2")
    assert (await store.order(signed_up.id, "t1")).settings == SETTINGS
    assert (await store.known(signed_up.id, "t2", None)).settings == {"ApiKey": "another"}


async def test_nothing_personal_is_left_of_an_erased_order(
    store: Store, signed_up: Merchant
) -> None:
    await store.open_transaction(new_transaction(signed_up, "t2", agreement_id="mia"))
    await store.erase_agreement(signed_up.id, "mia")
    order = await store.order(signed_up.id, "t2")
    assert order.transaction.erased
    assert (order.request, order.instrument) == (None, None)


async def test_an_order_of_nothing_is_not_found(store: Store, merchant: Merchant) -> None:
    with pytest.raises(NotFound):
        await store.order(merchant.id, "t1")
