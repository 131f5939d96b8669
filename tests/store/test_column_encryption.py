"""Every agreement's data has a key of its own; with the key the data is gone."""

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
from integrator.store.erasure import Erasure
from integrator.store.rotation import SEALED
from integrator.store.tables import data_keys, transactions
from tests.store.builders import change, kept_request
from tests.store.encryption_helpers import (
    all_blobs,
    as_before_data_keys,
    blob_columns,
    by_data_key,
    carved,
    connected,
    opened,
)
from tests.store.factories import MIA, TARGET, TOM, Person, live, notify, transaction_of

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
    """A second process on the same database."""
    async with Store(url, cipher) as store:
        yield store


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=1)


async def readable(url: str, ring: KeyRing, person: Person) -> set[Any]:
    """Where the person's secrets can be read by whoever has the database and the ring."""
    plain = opened(await all_blobs(url), ring)
    return {place for place, text in plain.items() for word in person.secrets if word in text}


# --- sealing --------------------------------------------------------------------------------------


def test_every_column_of_blobs_is_known() -> None:
    assert {(sealed.table.name, sealed.column.name) for sealed in SEALED} == blob_columns()


async def test_what_is_an_agreements_is_sealed_with_its_key(
    url: str, store: Store, merchant: Merchant, cipher: KeyRing
) -> None:
    await live(store, merchant, MIA)
    blobs = await all_blobs(url)
    assert by_data_key(blobs) == PERSONAL
    by_ring = [place for place in blobs if place[:2] in PERSONAL and blobs[place][:1] == b"\1"]
    # Their transaction was not known when they came.
    assert {place[-1] for place in by_ring} == {"mia-early", "mia-parked"}
    plain = opened(blobs, cipher)
    assert set(plain) == set(blobs)
    assert plain["transactions", "webhook_target", "demo", "mia-1"] == TARGET.encode()


async def test_everything_reads_back(store: Store, merchant: Merchant) -> None:
    await live(store, merchant, MIA)
    row = await store.transaction("demo", "mia-1")
    agreement = await store.agreement("demo", "mia")
    assert row is not None
    assert row.private is not None
    assert row.private["redirect"] == {"url": f"https://psp.example/{MIA.name}"}
    assert agreement is not None
    assert agreement.instrument == row.private["instrument"]
    assert (agreement.usable, agreement.erased, row.erased) == (True, False, False)
    assert (await kept_request(store, "demo", "mia-2"))["payerData"] == {"lastName": MIA.name}
    assert await store.webhook_target("demo", "mia-2") == TARGET
    waiting = await store.undelivered_notifications(soon())
    assert [notice.headers for notice in waiting] == [{"X-Customer": MIA.name}] * 3


async def test_a_refund_belongs_to_its_payments_agreement(store: Store, merchant: Merchant) -> None:
    await live(store, merchant, MIA)
    refund = await store.transaction("demo", "mia-3")
    assert refund is not None
    assert refund.agreement_id == "mia"


async def test_a_key_of_another_agreement_does_not_open(
    url: str, store: Store, merchant: Merchant
) -> None:
    await live(store, merchant, MIA)
    await live(store, merchant, TOM)
    mias = select(data_keys.c.wrapped).where(data_keys.c.agreement_id == "mia").scalar_subquery()
    async with connected(url) as connection:
        await connection.execute(update(data_keys).values(wrapped=mias))
    assert (await kept_request(store, "demo", "mia-1"))["payerData"] == {"lastName": MIA.name}
    with pytest.raises(DecryptionError):
        await kept_request(store, "demo", "tom-1")


async def test_a_blob_of_the_same_agreement_opens_in_its_own_place_only(
    url: str, store: Store, merchant: Merchant
) -> None:
    await live(store, merchant, MIA)
    row = transactions.alias()
    first = select(row.c.request).where(row.c.transaction_id == "mia-1").scalar_subquery()
    async with connected(url) as connection:
        await connection.execute(update(transactions).values(request=first))
    await kept_request(store, "demo", "mia-1")
    with pytest.raises(DecryptionError):
        await kept_request(store, "demo", "mia-2")


async def test_concurrent_first_uses_make_one_key(
    url: str, store: Store, worker: Store, merchant: Merchant
) -> None:
    """A key that lost the race must have sealed nothing."""
    for person in (MIA, TOM, Person("eva", "Eva", "AT611904300234573201")):
        names = [str(n) for n in range(16)]
        await asyncio.gather(
            *(
                (store, worker)[int(name) % 2].open_transaction(
                    transaction_of(merchant, person, name)
                )
                for name in names
            )
        )
        for name in names:
            request = await kept_request(store, "demo", f"{person.agreement}-{name}")
            assert request["payerData"] == {"lastName": person.name}
    async with connected(url) as connection:
        assert await connection.scalar(select(func.count()).select_from(data_keys)) == 3


async def test_a_first_use_that_fails_leaves_no_key(
    url: str, store: Store, merchant: Merchant
) -> None:
    refused = transaction_of(merchant, MIA, "1", requested_amount=Decimal("NaN"))
    with pytest.raises(Exception, match="not a finite Decimal"):
        await store.open_transaction(refused)
    async with connected(url) as connection:
        assert await connection.scalar(select(func.count()).select_from(data_keys)) == 0
    await store.open_transaction(transaction_of(merchant, MIA, "1"))
    assert (await kept_request(store, "demo", "mia-1"))["payerData"] == {"lastName": MIA.name}


async def test_rows_older_than_data_keys_stay_readable_and_writable(
    url: str, store: Store, merchant: Merchant, cipher: KeyRing
) -> None:
    await live(store, merchant, MIA)
    await as_before_data_keys(url, cipher)
    assert by_data_key(await all_blobs(url)) == set()
    row = await store.transaction("demo", "mia-1")
    agreement = await store.agreement("demo", "mia")
    assert row is not None
    assert agreement is not None
    assert row.private is not None
    assert agreement.instrument == row.private["instrument"]
    assert (await kept_request(store, "demo", "mia-2"))["payerData"] == {"lastName": MIA.name}
    assert await store.webhook_target("demo", "mia-2") == TARGET
    assert len(await store.undelivered_notifications(soon())) == 3
    await store.save_private("demo", "mia-1", redirect={"url": "https://psp.example/2"})
    row = await store.transaction("demo", "mia-1")
    assert row is not None
    assert row.private == {
        "instrument": agreement.instrument,
        "redirect": {"url": "https://psp.example/2"},
    }
    assert by_data_key(await all_blobs(url)) == {("transactions", "private")}


async def test_a_notification_learns_its_agreement_with_its_transaction(
    store: Store, merchant: Merchant
) -> None:
    await live(store, merchant, MIA)
    id = await notify(store, merchant, MIA, "unknown")
    await store.set_notification(id, "applied", transaction_id="mia-2")
    row = await store.notification(id)
    assert row is not None
    assert (row.agreement_id, row.headers) == ("mia", {"X-Customer": MIA.name})


# --- erasure --------------------------------------------------------------------------------------


async def test_nothing_personal_is_readable_after_an_erasure(
    url: str, store: Store, merchant: Merchant, cipher: KeyRing
) -> None:
    await live(store, merchant, MIA)
    await live(store, merchant, TOM)
    before = await readable(url, cipher, TOM)
    assert {place[:2] for place in await readable(url, cipher, MIA)} == PERSONAL
    await store.erase_agreement("demo", "mia")
    assert await readable(url, cipher, MIA) == set()
    assert await readable(url, cipher, TOM) == before


async def test_neither_are_rows_older_than_data_keys(
    url: str, store: Store, merchant: Merchant, cipher: KeyRing
) -> None:
    await live(store, merchant, MIA)
    await live(store, merchant, TOM)
    await as_before_data_keys(url, cipher)
    before = await readable(url, cipher, TOM)
    await store.erase_agreement("demo", "mia")
    assert await readable(url, cipher, MIA) == set()
    assert await readable(url, cipher, TOM) == before
    assert await store.webhook_target("demo", "mia-2") == TARGET
    await store.save_private("demo", "mia-2", instrument={"IBAN": MIA.iban})
    assert await readable(url, cipher, MIA) == set()


async def test_neither_are_traces_in_the_file(
    sqlite_url: str, tmp_path: Path, cipher: KeyRing
) -> None:
    async with Store(sqlite_url, cipher) as store, Store(sqlite_url, cipher) as other:
        merchant = await store.add_merchant("demo", "sandbox")
        for person in (MIA, TOM):
            await live(store, merchant, person)
        await other.transaction("demo", "mia-1")
        blobs = await all_blobs(sqlite_url)
        mias = {place: len(blob) for place, blob in blobs.items() if "mia" in str(place)}

        def traces() -> set[Any]:
            content = b"".join(file.read_bytes() for file in sorted(tmp_path.iterdir()))
            return set(carved(content, mias, cipher))

        assert traces() == set(mias)
        await store.erase_agreement("demo", "mia")
        # What was deleted is still in the log and in the gaps of the pages.
        assert ("data_keys", "wrapped", "demo", "mia") in traces()
        assert await store.compact() is True
        assert {place[1] for place in traces()} == {"webhook_target", "sealed_snapshot"}
        await live(other, merchant, Person("eva", "Eva", "AT611904300234573201"))


async def test_the_books_stay(store: Store, merchant: Merchant) -> None:
    await live(store, merchant, MIA)
    before = await store.list_transactions("demo")
    await store.erase_agreement("demo", "mia")
    after = await store.list_transactions("demo")
    assert [row.erased for row in after] == [True] * 3
    assert [row.private for row in after] == [None] * 3
    kept = ("transaction_id", "status", "requested_amount", "evidence", "snapshot", "version")
    for old, new in zip(before, after, strict=True):
        assert [getattr(old, name) for name in kept] == [getattr(new, name) for name in kept]
        assert await store.webhook_target("demo", new.transaction_id) == TARGET
        with pytest.raises(Erased):
            await kept_request(store, "demo", new.transaction_id)
    agreement = await store.agreement("demo", "mia")
    assert agreement is not None
    assert (agreement.erased, agreement.usable, agreement.instrument) == (True, False, None)


async def test_an_erasure_bites_at_once_in_every_process(
    url: str, store: Store, worker: Store, merchant: Merchant, cipher: KeyRing
) -> None:
    await live(store, merchant, MIA)
    agreement = await worker.agreement("demo", "mia")
    assert agreement is not None
    assert agreement.instrument is not None
    await worker.save_private("demo", "mia-2", redirect={"url": MIA.name})
    await store.erase_agreement("demo", "mia")
    agreement = await worker.agreement("demo", "mia")
    row = await worker.transaction("demo", "mia-2")
    assert agreement is not None
    assert row is not None
    assert (agreement.instrument, row.private) == (None, None)
    with pytest.raises(Erased):
        await kept_request(worker, "demo", "mia-2")
    # What it had in its hands does not come back.
    await worker.save_private("demo", "mia-1", instrument={"IBAN": MIA.iban})
    won = change(merchant, "mia-1", version=2, status="Succeeded", evidence="e")
    assert await worker.record(change(merchant, "mia-1", version=2, activate_agreement=True))
    assert await worker.record(won)
    agreement = await worker.agreement("demo", "mia")
    assert agreement is not None
    assert (agreement.usable, agreement.instrument) == (False, None)
    assert await readable(url, cipher, MIA) == set()


async def test_an_erased_agreement_takes_no_money_but_gives_it_back(
    url: str, store: Store, merchant: Merchant, cipher: KeyRing
) -> None:
    await live(store, merchant, MIA)
    await store.erase_agreement("demo", "mia")
    with pytest.raises(Erased):
        await store.open_transaction(transaction_of(merchant, MIA, "4"))
    again = NewAgreement("mia", "Debit")
    with pytest.raises(Erased):
        await store.open_transaction(
            transaction_of(merchant, MIA, "5", kind="preauth", agreement=again)
        )
    assert await store.transaction("demo", "mia-4") is None
    repeated, created = await store.open_transaction(transaction_of(merchant, MIA, "2"))
    assert (repeated.transaction_id, created) == ("mia-2", False)
    refund = transaction_of(
        merchant, MIA, "6", kind="refund", agreement_id=None, related_id="mia-2"
    )
    row, created = await store.open_transaction(refund)
    assert (row.erased, created) == (True, True)
    assert await store.webhook_target("demo", "mia-6") == TARGET
    assert await readable(url, cipher, MIA) == set()


async def test_a_late_notification_is_kept_until_it_is_dealt_with(
    url: str, store: Store, merchant: Merchant, cipher: KeyRing
) -> None:
    await live(store, merchant, MIA)
    await store.erase_agreement("demo", "mia")
    id = await notify(store, merchant, MIA, "late", "mia-2", "mia")
    assert await store.erase_late_notifications(soon()) == 0
    row = await store.notification(id)
    assert row is not None
    assert MIA.name.encode() in row.raw
    await store.set_notification(id, "applied")
    assert await store.erase_late_notifications(datetime.now(UTC) - timedelta(minutes=1)) == 0
    assert await store.erase_late_notifications(soon()) == 1
    row = await store.notification(id)
    assert row is not None
    assert (row.erased, row.raw, row.headers, row.state) == (True, b"", None, "applied")
    assert await store.erase_late_notifications(soon()) == 0
    assert await readable(url, cipher, MIA) == set()


async def test_erased_notifications_are_listed_like_others(
    store: Store, merchant: Merchant
) -> None:
    await live(store, merchant, MIA)
    await store.erase_agreement("demo", "mia")
    waiting = await store.undelivered_notifications(soon())
    assert [(row.erased, row.raw) for row in waiting] == [(True, b"")] * 3


async def test_an_interrupted_erasure_can_be_repeated(
    url: str,
    store: Store,
    merchant: Merchant,
    cipher: KeyRing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await live(store, merchant, MIA)
    await as_before_data_keys(url, cipher)

    async def crash(*_: object) -> None:
        raise RuntimeError("the power is gone")

    with monkeypatch.context() as patch:
        patch.setattr(Erasure, "_erase_transaction", crash)
        with pytest.raises(RuntimeError):
            await store.erase_agreement("demo", "mia")
    with pytest.raises(Erased):
        await kept_request(store, "demo", "mia-1")
    assert await store.webhook_target("demo", "mia-1") == TARGET
    assert await readable(url, cipher, MIA) != set()
    await store.erase_agreement("demo", "mia")
    assert await readable(url, cipher, MIA) == set()
    found = await store.holdings("demo", "mia")
    assert found is not None
    assert (found.transactions, found.notifications, found.unread) == (3, 0, 0)


async def test_keys_that_do_not_fit_destroy_nothing(
    url: str, store: Store, merchant: Merchant, cipher: KeyRing
) -> None:
    await live(store, merchant, MIA)
    await as_before_data_keys(url, cipher)
    async with Store(url, KeyRing({"other": bytes(32)})) as stranger:
        with pytest.raises(DecryptionError):
            await stranger.erase_agreement("demo", "mia")
    assert (await kept_request(store, "demo", "mia-1"))["payerData"] == {"lastName": MIA.name}


async def test_what_is_kept_is_counted(store: Store, merchant: Merchant) -> None:
    await live(store, merchant, MIA)
    await live(store, merchant, TOM)
    found = await store.holdings("demo", "mia")
    assert found is not None
    assert (found.transactions, found.undecided) == (3, 1)
    assert (found.notifications, found.unread, found.erased_at) == (3, 3, None)
    assert await store.holdings("demo", "nobody") is None
    assert await store.holdings("nobody", "mia") is None
    await store.erase_agreement("demo", "mia")
    found = await store.holdings("demo", "mia")
    assert found is not None
    assert found.erased_at is not None


async def test_an_erasure_amid_writers_leaves_nothing_and_disturbs_nobody(
    url: str, store: Store, worker: Store, merchant: Merchant, cipher: KeyRing
) -> None:
    await live(store, merchant, MIA)
    await live(store, merchant, TOM)

    async def write(writer: Store, person: Person, n: int) -> bool:
        try:
            await writer.open_transaction(transaction_of(merchant, person, f"w{n}"))
        except Erased:
            return False
        key = ("demo", f"{person.agreement}-w{n}")
        await writer.save_private(*key, instrument={"IBAN": person.iban})
        await writer.record(change(merchant, key[1]))
        await notify(writer, merchant, person, f"w{n}", key[1], person.agreement)
        return True

    async def erase() -> None:
        await asyncio.sleep(0.02)
        await worker.erase_agreement("demo", "mia")

    writes = [
        write(writer, person, n * 2 + second)
        for n in range(20)
        for person in (MIA, TOM)
        for second, writer in enumerate((store, worker))
    ]
    *wrote, _ = await asyncio.gather(*writes, erase())
    await store.erase_agreement("demo", "mia")
    left = await readable(url, cipher, MIA)
    late = {place[-1] for place in left}
    # They came after the key was gone, and wait for being applied.
    assert {place[0] for place in left} <= {"notifications"}
    for notice in await store.undelivered_notifications(soon(), 1000):
        if notice.event_id in late:
            await store.set_notification(notice.id, "applied")
    await store.erase_late_notifications(soon())
    assert await readable(url, cipher, MIA) == set()
    for n in range(40):
        assert (await kept_request(store, "demo", f"tom-w{n}"))["payerData"] == {
            "lastName": TOM.name
        }
    assert len(wrote) == 80


async def test_no_key_is_destroyed_while_it_is_being_used(
    postgres_url: str, cipher: KeyRing
) -> None:
    async with Store(postgres_url, cipher) as store:
        merchant = await store.add_merchant("demo", "sandbox")
        await live(store, merchant, MIA)
        async with connected(postgres_url) as writer:
            vault = await store._vault_for(writer, "demo", "mia")
            assert vault is not None
            erasing = asyncio.create_task(store.erase_agreement("demo", "mia"))
            await asyncio.sleep(0.2)
            assert not erasing.done()
        await erasing
    assert await readable(postgres_url, cipher, MIA) == set()
