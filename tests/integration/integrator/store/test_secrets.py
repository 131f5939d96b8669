"""A reader or writer of the database gets no secrets and cannot move blobs."""

from pathlib import Path

import pytest
from sqlalchemy import Table, update

from integrator.crypto.keys import DecryptionError, KeyRing
from integrator.store import Merchant, NewAgreement, Store
from integrator.store.engine import open_engine
from integrator.store.tables import agreements, notifications, psp_settings, transactions
from tests.integration.integrator.store.builders import (
    IBAN,
    new_notification,
    new_transaction,
    record_update,
)

API_KEY = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"


async def _fill(store: Store, merchant: Merchant) -> None:
    await store.merchants.save_settings(merchant.id, {"ApiKey": API_KEY})
    for n in ("1", "2"):
        await store.transactions.add(
            new_transaction(
                merchant,
                f"t{n}",
                kind="preauth",
                agreement_id=f"a{n}",
                agreement=NewAgreement(f"a{n}", "Debit"),
            )
        )
        await store.transactions.save_private(merchant.id, f"t{n}", instrument={"IBAN": IBAN})
        await store.transactions.record(
            record_update(
                merchant, f"t{n}", status="Succeeded", evidence="e", activate_agreement=True
            )
        )
        await store.notifications.add(new_notification(merchant, f"e{n}"))


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


async def test_the_database_files_show_no_secret(
    sqlite_url: str, tmp_path: Path, cipher: KeyRing
) -> None:
    async with Store(sqlite_url, cipher) as store:
        merchant = await store.merchants.add("demo", "sandbox")
        token = await store.api_tokens.issue("demo", "billing")
        await _fill(store, merchant)
        files = _files(tmp_path)
    content = b"".join(files.values())
    assert {"store.db", "store.db-wal"} <= set(files)
    assert b"sandbox" in content
    for secret in (IBAN, API_KEY, token, "s3cret", "initialBearer"):
        assert secret.encode() not in content


async def _swap(url: str, table: Table, column: str, key: str) -> None:
    """Copy the blob of the row with the highest key to every row."""
    engine = open_engine(url)
    source = table.alias()
    highest = (
        source.select()
        .with_only_columns(source.c[column])
        .order_by(source.c[key].desc())
        .limit(1)
        .scalar_subquery()
    )
    async with engine.execution_options(writes=True).begin() as connection:
        await connection.execute(update(table).values({column: highest}))
    await engine.dispose()


@pytest.mark.parametrize("column", ["request", "private"])
async def test_a_blob_of_another_transaction_cannot_be_decrypted(
    url: str, store: Store, merchant: Merchant, column: str
) -> None:
    await _fill(store, merchant)
    await _swap(url, transactions, column, "transaction_id")
    read = store.transactions.get_psp_call_data if column == "request" else store.transactions.get
    assert await read("demo", "t2") is not None
    with pytest.raises(DecryptionError):
        await read("demo", "t1")


async def test_a_blob_of_another_column_cannot_be_decrypted(
    url: str, store: Store, merchant: Merchant
) -> None:
    await _fill(store, merchant)
    engine = open_engine(url)
    async with engine.execution_options(writes=True).begin() as connection:
        await connection.execute(update(transactions).values(private=transactions.c.request))
    await engine.dispose()
    with pytest.raises(DecryptionError):
        await store.transactions.get("demo", "t1")


async def test_an_instrument_of_another_agreement_cannot_be_decrypted(
    url: str, store: Store, merchant: Merchant
) -> None:
    await _fill(store, merchant)
    await _swap(url, agreements, "instrument", "agreement_id")
    with pytest.raises(DecryptionError):
        await store.agreements.get("demo", "a1")


@pytest.mark.parametrize("column", ["raw", "headers"])
async def test_a_body_of_another_notification_cannot_be_decrypted(
    url: str, store: Store, merchant: Merchant, column: str
) -> None:
    await _fill(store, merchant)
    await _swap(url, notifications, column, "id")
    id, _ = await store.notifications.add(new_notification(merchant, "e1"))
    with pytest.raises(DecryptionError):
        await store.notifications.get(id)


async def test_settings_of_another_merchant_cannot_be_decrypted(
    url: str, store: Store, merchant: Merchant
) -> None:
    await store.merchants.add("zeta", "sandbox")
    await store.merchants.save_settings("demo", {"ApiKey": "demo's"})
    await store.merchants.save_settings("zeta", {"ApiKey": "zeta's"})
    await _swap(url, psp_settings, "sealed_values", "merchant_id")
    assert await store.merchants.get_settings("zeta") == {"ApiKey": "zeta's"}
    with pytest.raises(DecryptionError):
        await store.merchants.get_settings("demo")


async def test_the_representation_of_rows_shows_no_secret(store: Store, merchant: Merchant) -> None:
    await _fill(store, merchant)
    id, _ = await store.notifications.add(new_notification(merchant, "e1"))
    rows = [
        new_transaction(merchant),
        new_notification(merchant),
        await store.transactions.get("demo", "t1"),
        await store.agreements.get("demo", "a1"),
        await store.notifications.get(id),
    ]
    assert IBAN not in repr(rows)
    assert "s3cret" not in repr(rows)


async def test_a_sample_shows_whether_the_keys_decrypt_the_store(
    url: str, store: Store, merchant: Merchant
) -> None:
    await _fill(store, merchant)
    checks = {sample.column: sample for sample in await store.keys.verify(per_column=1)}
    assert {"data_keys.wrapped", "psp_settings.sealed_values"} <= set(checks)
    assert {(sample.read, sample.unreadable) for sample in checks.values()} == {(1, 0)}
    async with Store(url, KeyRing({"other": bytes(32)})) as other_store:
        unreadable = {
            sample.column for sample in await other_store.keys.verify() if sample.unreadable
        }
    assert {"data_keys.wrapped", "psp_settings.sealed_values"} <= unreadable
