"""Encryption with data keys: one per agreement, destroyed by an erasure."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from integrator.crypto.keys import DecryptionError, KeyRing
from integrator.store import Erased, Merchant, NewAgreement, Store
from integrator.store.data_keys import DataKeys
from integrator.store.erasure import Erasure
from integrator.store.keys import ENCRYPTED_COLUMNS
from integrator.store.tables import data_keys, transactions
from tests.integration.integrator.store.builders import record_update, stored_request
from tests.integration.integrator.store.encryption_helpers import (
    blob_columns,
    columns_of_data_keys,
    decrypt_blobs,
    read_blobs,
    recover_blobs,
    remove_data_keys,
    write_connection,
)
from tests.integration.integrator.store.factories import (
    MIA,
    TARGET,
    TOM,
    Person,
    create_agreement_data,
    store_notification_for,
    transaction_for,
)

PERSONAL = {
    ("transactions", "request"),
    ("transactions", "private"),
    ("agreements", "instrument"),
    ("notifications", "raw"),
    ("notifications", "headers"),
    ("decisions", "reason"),
}


@pytest.fixture
async def worker(url: str, cipher: KeyRing) -> AsyncIterator[Store]:
    """Return a second store on the same database, as another process has."""
    async with Store(url, cipher) as store:
        yield store


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=1)


async def readable_secrets(url: str, ring: KeyRing, person: Person) -> set[Any]:
    """Return the contexts of blobs from which the database and the ring reveal secrets."""
    plain = decrypt_blobs(await read_blobs(url), ring)
    return {context for context, text in plain.items() for word in person.secrets if word in text}


# --- encryption ----------------------------------------------------------------------------------


def test_every_blob_column_is_registered() -> None:
    assert {
        (column.table.name, column.column.name) for column in ENCRYPTED_COLUMNS
    } == blob_columns()


async def test_data_of_an_agreement_is_encrypted_with_its_key(
    url: str, store: Store, merchant: Merchant, cipher: KeyRing
) -> None:
    await create_agreement_data(store, merchant, MIA)
    blobs = await read_blobs(url)
    assert columns_of_data_keys(blobs) == PERSONAL
    by_ring = [
        context for context in blobs if context[:2] in PERSONAL and blobs[context][:1] == b"\1"
    ]
    # Their transaction was not known when they arrived.
    assert {context[-1] for context in by_ring} == {"mia-early", "mia-parked"}
    plain = decrypt_blobs(blobs, cipher)
    assert set(plain) == set(blobs)
    assert plain["transactions", "webhook_target", "demo", "mia-1"] == TARGET.encode()


async def test_encrypted_data_reads_back(store: Store, merchant: Merchant) -> None:
    await create_agreement_data(store, merchant, MIA)
    row = await store.transactions.get("demo", "mia-1")
    agreement = await store.agreements.get("demo", "mia")
    assert row is not None
    assert row.private is not None
    assert row.private["redirect"] == {"url": f"https://psp.example/{MIA.name}"}
    assert agreement is not None
    assert agreement.instrument == row.private["instrument"]
    assert (agreement.usable, agreement.erased, row.erased) == (True, False, False)
    assert (await stored_request(store, "demo", "mia-2"))["payerData"] == {"lastName": MIA.name}
    assert await store.transactions.get_webhook_target("demo", "mia-2") == TARGET
    pending = await store.notifications.list_pending(soon())
    assert [row.headers for row in pending] == [{"X-Customer": MIA.name}] * 3


async def test_a_refund_belongs_to_the_agreement_of_its_payment(
    store: Store, merchant: Merchant
) -> None:
    await create_agreement_data(store, merchant, MIA)
    refund = await store.transactions.get("demo", "mia-3")
    assert refund is not None
    assert refund.agreement_id == "mia"


async def test_the_key_of_another_agreement_cannot_decrypt(
    url: str, store: Store, merchant: Merchant
) -> None:
    await create_agreement_data(store, merchant, MIA)
    await create_agreement_data(store, merchant, TOM)
    mias = select(data_keys.c.wrapped).where(data_keys.c.agreement_id == "mia").scalar_subquery()
    async with write_connection(url) as connection:
        await connection.execute(update(data_keys).values(wrapped=mias))
    assert (await stored_request(store, "demo", "mia-1"))["payerData"] == {"lastName": MIA.name}
    with pytest.raises(DecryptionError):
        await stored_request(store, "demo", "tom-1")


async def test_a_blob_copied_to_another_row_cannot_be_decrypted(
    url: str, store: Store, merchant: Merchant
) -> None:
    await create_agreement_data(store, merchant, MIA)
    row = transactions.alias()
    first = select(row.c.request).where(row.c.transaction_id == "mia-1").scalar_subquery()
    async with write_connection(url) as connection:
        await connection.execute(update(transactions).values(request=first))
    await stored_request(store, "demo", "mia-1")
    with pytest.raises(DecryptionError):
        await stored_request(store, "demo", "mia-2")


async def test_concurrent_first_uses_create_one_key(
    url: str, store: Store, worker: Store, merchant: Merchant
) -> None:
    """A key that lost the race must not have encrypted anything."""
    for person in (MIA, TOM, Person("eva", "Eva", "AT611904300234573201")):
        names = [str(n) for n in range(16)]
        await asyncio.gather(
            *(
                (store, worker)[int(name) % 2].transactions.add(
                    transaction_for(merchant, person, name)
                )
                for name in names
            )
        )
        for name in names:
            request = await stored_request(store, "demo", f"{person.agreement}-{name}")
            assert request["payerData"] == {"lastName": person.name}
    async with write_connection(url) as connection:
        assert await connection.scalar(select(func.count()).select_from(data_keys)) == 3


async def test_a_first_use_that_fails_leaves_no_key(
    url: str, store: Store, merchant: Merchant
) -> None:
    invalid = transaction_for(merchant, MIA, "1", requested_amount=Decimal("NaN"))
    with pytest.raises(Exception, match="not a finite Decimal"):
        await store.transactions.add(invalid)
    async with write_connection(url) as connection:
        assert await connection.scalar(select(func.count()).select_from(data_keys)) == 0
    await store.transactions.add(transaction_for(merchant, MIA, "1"))
    assert (await stored_request(store, "demo", "mia-1"))["payerData"] == {"lastName": MIA.name}


async def test_rows_older_than_data_keys_stay_readable_and_writable(
    url: str, store: Store, merchant: Merchant, cipher: KeyRing
) -> None:
    await create_agreement_data(store, merchant, MIA)
    await remove_data_keys(url, cipher)
    assert columns_of_data_keys(await read_blobs(url)) == set()
    row = await store.transactions.get("demo", "mia-1")
    agreement = await store.agreements.get("demo", "mia")
    assert row is not None
    assert agreement is not None
    assert row.private is not None
    assert agreement.instrument == row.private["instrument"]
    assert (await stored_request(store, "demo", "mia-2"))["payerData"] == {"lastName": MIA.name}
    assert await store.transactions.get_webhook_target("demo", "mia-2") == TARGET
    assert len(await store.notifications.list_pending(soon())) == 3
    await store.transactions.save_private(
        "demo", "mia-1", redirect={"url": "https://psp.example/2"}
    )
    row = await store.transactions.get("demo", "mia-1")
    assert row is not None
    assert row.private == {
        "instrument": agreement.instrument,
        "redirect": {"url": "https://psp.example/2"},
    }
    assert columns_of_data_keys(await read_blobs(url)) == {("transactions", "private")}


async def test_a_notification_gets_the_agreement_of_its_transaction(
    store: Store, merchant: Merchant
) -> None:
    await create_agreement_data(store, merchant, MIA)
    id = await store_notification_for(store, merchant, MIA, "unknown")
    await store.notifications.set_state(id, "applied", transaction_id="mia-2")
    row = await store.notifications.get(id)
    assert row is not None
    assert (row.agreement_id, row.headers) == ("mia", {"X-Customer": MIA.name})


# --- erasure --------------------------------------------------------------------------------------


async def test_nothing_personal_is_readable_after_an_erasure(
    url: str, store: Store, merchant: Merchant, cipher: KeyRing
) -> None:
    await create_agreement_data(store, merchant, MIA)
    await create_agreement_data(store, merchant, TOM)
    before = await readable_secrets(url, cipher, TOM)
    assert {context[:2] for context in await readable_secrets(url, cipher, MIA)} == PERSONAL
    await store.erasure.erase_agreement("demo", "mia")
    assert await readable_secrets(url, cipher, MIA) == set()
    assert await readable_secrets(url, cipher, TOM) == before


async def test_rows_older_than_data_keys_are_erased_too(
    url: str, store: Store, merchant: Merchant, cipher: KeyRing
) -> None:
    await create_agreement_data(store, merchant, MIA)
    await create_agreement_data(store, merchant, TOM)
    await remove_data_keys(url, cipher)
    before = await readable_secrets(url, cipher, TOM)
    await store.erasure.erase_agreement("demo", "mia")
    assert await readable_secrets(url, cipher, MIA) == set()
    assert await readable_secrets(url, cipher, TOM) == before
    assert await store.transactions.get_webhook_target("demo", "mia-2") == TARGET
    await store.transactions.save_private("demo", "mia-2", instrument={"IBAN": MIA.iban})
    assert await readable_secrets(url, cipher, MIA) == set()


async def test_no_traces_are_left_in_the_sqlite_file(
    sqlite_url: str, tmp_path: Path, cipher: KeyRing
) -> None:
    async with Store(sqlite_url, cipher) as store, Store(sqlite_url, cipher) as other:
        merchant = await store.merchants.add("demo", "sandbox")
        for person in (MIA, TOM):
            await create_agreement_data(store, merchant, person)
        await other.transactions.get("demo", "mia-1")
        blobs = await read_blobs(sqlite_url)
        mias = {context: len(blob) for context, blob in blobs.items() if "mia" in str(context)}

        def traces() -> set[Any]:
            content = b"".join(file.read_bytes() for file in sorted(tmp_path.iterdir()))
            return set(recover_blobs(content, mias, cipher))

        assert traces() == set(mias)
        await store.erasure.erase_agreement("demo", "mia")
        # Deleted content is still in the write-ahead log and in free parts of pages.
        assert ("data_keys", "wrapped", "demo", "mia") in traces()
        assert await store.erasure.compact() is True
        assert {context[1] for context in traces()} == {"webhook_target", "sealed_snapshot"}
        await create_agreement_data(other, merchant, Person("eva", "Eva", "AT611904300234573201"))


async def test_an_erasure_keeps_the_ledger(store: Store, merchant: Merchant) -> None:
    await create_agreement_data(store, merchant, MIA)
    before = await store.transaction_search.list_newest("demo")
    await store.erasure.erase_agreement("demo", "mia")
    after = await store.transaction_search.list_newest("demo")
    assert [row.erased for row in after] == [True] * 3
    assert [row.private for row in after] == [None] * 3
    kept = ("transaction_id", "status", "requested_amount", "evidence", "snapshot", "version")
    for old, new in zip(before, after, strict=True):
        assert [getattr(old, name) for name in kept] == [getattr(new, name) for name in kept]
        assert await store.transactions.get_webhook_target("demo", new.transaction_id) == TARGET
        with pytest.raises(Erased):
            await stored_request(store, "demo", new.transaction_id)
    agreement = await store.agreements.get("demo", "mia")
    assert agreement is not None
    assert (agreement.erased, agreement.usable, agreement.instrument) == (True, False, None)


async def test_an_erasure_takes_effect_at_once_in_every_process(
    url: str, store: Store, worker: Store, merchant: Merchant, cipher: KeyRing
) -> None:
    await create_agreement_data(store, merchant, MIA)
    agreement = await worker.agreements.get("demo", "mia")
    assert agreement is not None
    assert agreement.instrument is not None
    await worker.transactions.save_private("demo", "mia-2", redirect={"url": MIA.name})
    await store.erasure.erase_agreement("demo", "mia")
    agreement = await worker.agreements.get("demo", "mia")
    row = await worker.transactions.get("demo", "mia-2")
    assert agreement is not None
    assert row is not None
    assert (agreement.instrument, row.private) == (None, None)
    with pytest.raises(Erased):
        await stored_request(worker, "demo", "mia-2")
    # A write of data that was read before the erasure is ignored.
    await worker.transactions.save_private("demo", "mia-1", instrument={"IBAN": MIA.iban})
    won = record_update(merchant, "mia-1", version=2, status="Succeeded", evidence="e")
    assert await worker.transactions.record(
        record_update(merchant, "mia-1", version=2, activate_agreement=True)
    )
    assert await worker.transactions.record(won)
    agreement = await worker.agreements.get("demo", "mia")
    assert agreement is not None
    assert (agreement.usable, agreement.instrument) == (False, None)
    assert await readable_secrets(url, cipher, MIA) == set()


async def test_an_erased_agreement_accepts_refunds_only(
    url: str, store: Store, merchant: Merchant, cipher: KeyRing
) -> None:
    await create_agreement_data(store, merchant, MIA)
    await store.erasure.erase_agreement("demo", "mia")
    with pytest.raises(Erased):
        await store.transactions.add(transaction_for(merchant, MIA, "4"))
    again = NewAgreement("mia", "Debit")
    with pytest.raises(Erased):
        await store.transactions.add(
            transaction_for(merchant, MIA, "5", kind="preauth", agreement=again)
        )
    assert await store.transactions.get("demo", "mia-4") is None
    repeated, created = await store.transactions.add(transaction_for(merchant, MIA, "2"))
    assert (repeated.transaction_id, created) == ("mia-2", False)
    refund = transaction_for(
        merchant, MIA, "6", kind="refund", agreement_id=None, related_id="mia-2"
    )
    row, created = await store.transactions.add(refund)
    assert (row.erased, created) == (True, True)
    assert await store.transactions.get_webhook_target("demo", "mia-6") == TARGET
    assert await readable_secrets(url, cipher, MIA) == set()


async def test_a_late_notification_is_kept_until_it_is_processed(
    url: str, store: Store, merchant: Merchant, cipher: KeyRing
) -> None:
    await create_agreement_data(store, merchant, MIA)
    await store.erasure.erase_agreement("demo", "mia")
    id = await store_notification_for(store, merchant, MIA, "late", "mia-2", "mia")
    assert await store.erasure.erase_late_notifications(soon()) == 0
    row = await store.notifications.get(id)
    assert row is not None
    assert MIA.name.encode() in row.raw
    await store.notifications.set_state(id, "applied")
    assert (
        await store.erasure.erase_late_notifications(datetime.now(UTC) - timedelta(minutes=1)) == 0
    )
    assert await store.erasure.erase_late_notifications(soon()) == 1
    row = await store.notifications.get(id)
    assert row is not None
    assert (row.erased, row.raw, row.headers, row.state) == (True, b"", None, "applied")
    assert await store.erasure.erase_late_notifications(soon()) == 0
    assert await readable_secrets(url, cipher, MIA) == set()


async def test_erased_notifications_are_listed_like_others(
    store: Store, merchant: Merchant
) -> None:
    await create_agreement_data(store, merchant, MIA)
    await store.erasure.erase_agreement("demo", "mia")
    pending = await store.notifications.list_pending(soon())
    assert [(row.erased, row.raw) for row in pending] == [(True, b"")] * 3


async def test_an_interrupted_erasure_can_be_repeated(
    url: str,
    store: Store,
    merchant: Merchant,
    cipher: KeyRing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await create_agreement_data(store, merchant, MIA)
    await remove_data_keys(url, cipher)

    async def crash(*_: object) -> None:
        raise RuntimeError("power failure")

    with monkeypatch.context() as patch:
        patch.setattr(Erasure, "_erase_transaction", crash)
        with pytest.raises(RuntimeError):
            await store.erasure.erase_agreement("demo", "mia")
    with pytest.raises(Erased):
        await stored_request(store, "demo", "mia-1")
    assert await store.transactions.get_webhook_target("demo", "mia-1") == TARGET
    assert await readable_secrets(url, cipher, MIA) != set()
    await store.erasure.erase_agreement("demo", "mia")
    assert await readable_secrets(url, cipher, MIA) == set()
    scope = await store.erasure.get_scope("demo", "mia")
    assert scope is not None
    assert (scope.transactions, scope.notifications, scope.unread) == (3, 0, 0)


async def test_an_erasure_with_wrong_keys_destroys_nothing(
    url: str, store: Store, merchant: Merchant, cipher: KeyRing
) -> None:
    await create_agreement_data(store, merchant, MIA)
    await remove_data_keys(url, cipher)
    async with Store(url, KeyRing({"other": bytes(32)})) as other_store:
        with pytest.raises(DecryptionError):
            await other_store.erasure.erase_agreement("demo", "mia")
    assert (await stored_request(store, "demo", "mia-1"))["payerData"] == {"lastName": MIA.name}


async def test_the_erasure_scope_is_counted(store: Store, merchant: Merchant) -> None:
    await create_agreement_data(store, merchant, MIA)
    await create_agreement_data(store, merchant, TOM)
    scope = await store.erasure.get_scope("demo", "mia")
    assert scope is not None
    assert (scope.transactions, scope.undecided) == (3, 1)
    assert (scope.notifications, scope.unread, scope.erased_at) == (3, 3, None)
    assert await store.erasure.get_scope("demo", "unknown") is None
    assert await store.erasure.get_scope("unknown", "mia") is None
    await store.erasure.erase_agreement("demo", "mia")
    scope = await store.erasure.get_scope("demo", "mia")
    assert scope is not None
    assert scope.erased_at is not None


async def test_an_erasure_with_concurrent_writers_is_complete(
    url: str, store: Store, worker: Store, merchant: Merchant, cipher: KeyRing
) -> None:
    await create_agreement_data(store, merchant, MIA)
    await create_agreement_data(store, merchant, TOM)

    async def write(writer: Store, person: Person, n: int) -> bool:
        try:
            await writer.transactions.add(transaction_for(merchant, person, f"w{n}"))
        except Erased:
            return False
        key = ("demo", f"{person.agreement}-w{n}")
        await writer.transactions.save_private(*key, instrument={"IBAN": person.iban})
        await writer.transactions.record(record_update(merchant, key[1]))
        await store_notification_for(writer, merchant, person, f"w{n}", key[1], person.agreement)
        return True

    async def erase() -> None:
        await asyncio.sleep(0.02)
        await worker.erasure.erase_agreement("demo", "mia")

    writes = [
        write(writer, person, n * 2 + second)
        for n in range(20)
        for person in (MIA, TOM)
        for second, writer in enumerate((store, worker))
    ]
    *results, _ = await asyncio.gather(*writes, erase())
    await store.erasure.erase_agreement("demo", "mia")
    left = await readable_secrets(url, cipher, MIA)
    late = {context[-1] for context in left}
    # They arrived after the key was destroyed and are still to be applied.
    assert {context[0] for context in left} <= {"notifications"}
    for row in await store.notifications.list_pending(soon(), 1000):
        if row.event_id in late:
            await store.notifications.set_state(row.id, "applied")
    await store.erasure.erase_late_notifications(soon())
    assert await readable_secrets(url, cipher, MIA) == set()
    for n in range(40):
        assert (await stored_request(store, "demo", f"tom-w{n}"))["payerData"] == {
            "lastName": TOM.name
        }
    assert len(results) == 80


async def test_no_key_is_destroyed_while_in_use(postgres_url: str, cipher: KeyRing) -> None:
    async with Store(postgres_url, cipher) as store:
        merchant = await store.merchants.add("demo", "sandbox")
        await create_agreement_data(store, merchant, MIA)
        async with write_connection(postgres_url) as writer:
            data_cipher = await DataKeys(store._session).cipher_for_agreement(writer, "demo", "mia")
            assert data_cipher is not None
            erasing = asyncio.create_task(store.erasure.erase_agreement("demo", "mia"))
            await asyncio.sleep(0.2)
            assert not erasing.done()
        await erasing
    assert await readable_secrets(postgres_url, cipher, MIA) == set()
