"""The combined reads of a request and of a PSP call equal the separate reads."""

import pytest

from integrator.store import Merchant, NewAgreement, NotFound, PspCallData, RequestLookup, Store
from tests.integration.integrator.store.builders import IBAN, new_transaction, record_update

CARD = {"psp_ref": "pm_1", "bearer": {"CardNumber": "**** 4242"}}
SETTINGS = {"ApiKey": "s3cret"}


@pytest.fixture
async def signed_up(store: Store, merchant: Merchant) -> Merchant:
    """Return a merchant with settings and a usable agreement `mia`, opened by preauth `t1`."""
    await store.merchants.save_settings(merchant.id, SETTINGS, "acc_1")
    agreement = NewAgreement("mia", "CreditCard")
    new = new_transaction(merchant, kind="preauth", agreement_id="mia", agreement=agreement)
    await store.transactions.add(new)
    await store.transactions.save_private(merchant.id, "t1", instrument=CARD)
    await store.transactions.record(record_update(merchant, activate_agreement=True))
    return merchant


async def test_a_new_request_reads_settings_and_agreement(
    store: Store, signed_up: Merchant
) -> None:
    lookup = await store.transactions.look_up_request(signed_up.id, "t2", "mia")
    assert lookup == RequestLookup(None, SETTINGS, await store.agreements.get(signed_up.id, "mia"))
    assert lookup.agreement is not None
    assert lookup.agreement.instrument == CARD
    assert await store.transactions.look_up_request(signed_up.id, "t2", None) == RequestLookup(
        None, SETTINGS
    )
    assert await store.transactions.look_up_request(signed_up.id, "t2", "unknown") == RequestLookup(
        None, SETTINGS
    )


async def test_a_repeated_request_reads_its_transaction(store: Store, signed_up: Merchant) -> None:
    lookup = await store.transactions.look_up_request(signed_up.id, "t1", "mia")
    assert lookup == RequestLookup(await store.transactions.get(signed_up.id, "t1"))


async def test_a_merchant_without_settings_has_none(store: Store, merchant: Merchant) -> None:
    assert await store.transactions.look_up_request(merchant.id, "t1", "mia") == RequestLookup(None)


async def test_call_data_is_complete(store: Store, signed_up: Merchant) -> None:
    await store.transactions.add(new_transaction(signed_up, "t2", agreement_id="mia"))
    row = await store.transactions.get(signed_up.id, "t2")
    assert row is not None
    request = {"initialBearer": {"IBAN": IBAN}}
    assert await store.transactions.get_psp_call_data(signed_up.id, "t2") == PspCallData(
        row, request, SETTINGS, CARD
    )


async def test_call_data_without_an_agreement_has_no_instrument(
    store: Store, signed_up: Merchant
) -> None:
    await store.transactions.add(new_transaction(signed_up, "t2", agreement_id=None))
    assert (await store.transactions.get_psp_call_data(signed_up.id, "t2")).instrument is None


async def test_call_data_uses_the_account_of_its_transaction(
    store: Store, signed_up: Merchant
) -> None:
    await store.merchants.save_settings(signed_up.id, {"ApiKey": "another"}, "acc_2")
    assert (await store.transactions.get_psp_call_data(signed_up.id, "t1")).settings == SETTINGS
    assert (await store.transactions.look_up_request(signed_up.id, "t2", None)).settings == {
        "ApiKey": "another"
    }


async def test_call_data_of_an_erased_agreement_has_no_personal_data(
    store: Store, signed_up: Merchant
) -> None:
    await store.transactions.add(new_transaction(signed_up, "t2", agreement_id="mia"))
    await store.erasure.erase_agreement(signed_up.id, "mia")
    call_data = await store.transactions.get_psp_call_data(signed_up.id, "t2")
    assert call_data.transaction.erased
    assert (call_data.request, call_data.instrument) == (None, None)


async def test_call_data_of_an_unknown_transaction_is_not_found(
    store: Store, merchant: Merchant
) -> None:
    with pytest.raises(NotFound):
        await store.transactions.get_psp_call_data(merchant.id, "t1")
