"""Batches of a PSP's events: stored once each, erased one by one."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import create_async_engine

from integrator.crypto.keys import KeyRing
from integrator.jobs.late_erasure import LateErasure
from integrator.operations import attention
from integrator.operations.checks.database import check_backlog
from integrator.psp.errors import NotificationRejected
from integrator.psp.gocardless import ADAPTER
from integrator.psp.gocardless.settings import GoCardlessSettings
from integrator.psp.toolkit.notifications import unreadable_event
from integrator.psp.types import NotificationEvent
from integrator.store import Merchant, NotificationRow, Store
from integrator.store.notifications import UNREADABLE_KEPT
from integrator.store.tables import notification_messages, notifications
from integrator.transactions.notification_delivery import (
    NotificationDelivery,
    NotificationMessage,
    StoredEvent,
)
from tests.integration.integrator.psp.gocardless.objects import SECRET, event, signature, webhook
from tests.integration.integrator.store.builders import new_transaction, record_update

SETTINGS = GoCardlessSettings.model_validate(
    {"AccessToken": "sandbox_unit", "WebhookSecret": SECRET}
)
PERSONS = ("mia", "tom", "eva")


def batch_of(size: int) -> bytes:
    return webhook(
        *(
            event("confirmed", id=f"EV{number}", links={"payment": f"PM{number}"})
            | {"resource_metadata": {}}
            for number in range(size)
        )
    )


async def receive(
    store: Store, merchant: Merchant, body: bytes, *, keep_raw: bool = True
) -> list[StoredEvent]:
    """Store a batch like the API; without `raw` its events are those of an older adapter."""
    headers = signature(body)
    events = list(ADAPTER.parse_notification(SETTINGS, headers, body, datetime.now(UTC)))
    if not keep_raw:
        events = [event.model_copy(update={"raw": None}) for event in events]
    message = NotificationMessage(merchant, "notification", body, headers)
    # No transaction is signalled here, so that no client is needed.
    return await NotificationDelivery(store, None).store_events(message, events)  # type: ignore[arg-type]


async def read(store: Store, stored: StoredEvent) -> NotificationRow:
    row = await store.notifications.get(stored.id)
    assert row is not None
    return row


async def count(url: str, table: Any) -> int:
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        rows: int = (await connection.execute(select(func.count()).select_from(table))).scalar_one()
    await engine.dispose()
    return rows


@pytest.fixture
async def payments(store: Store, merchant: Merchant) -> None:
    """Payments of three persons, PM0 to PM2 at the PSP."""
    for number, person in enumerate(PERSONS):
        id = f"{person}-1"
        await store.transactions.add(
            new_transaction(merchant, id, agreement_id=person, psp="sandbox")
        )
        await store.transactions.record(
            record_update(merchant, id, psp_transaction_id=f"PM{number}")
        )


async def test_each_event_is_read_back_alone(store: Store, merchant: Merchant) -> None:
    stored = await receive(store, merchant, batch_of(250))
    assert [one.is_new for one in stored] == [True] * 250
    for one in stored[::50]:
        row = await read(store, one)
        assert (row.headers, row.state, row.event_id) == (None, "stored", one.event.event_id)
        assert list(ADAPTER.read_event(row.raw)) == [one.event.model_copy(update={"raw": None})]


async def test_the_message_is_stored_once_without_its_content(
    url: str, store: Store, merchant: Merchant
) -> None:
    body = batch_of(3)
    first = await receive(store, merchant, body)
    second = await receive(store, merchant, body)
    assert [one.id for one in second] == [one.id for one in first]
    assert [one.is_new for one in second] == [False] * 3
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        row = (await connection.execute(select(notification_messages))).mappings().one()
    await engine.dispose()
    assert (row["events"], row["unreadable"], row["size"]) == (3, 0, len(body))
    assert len(row["headers"]) < 1000


async def test_a_batch_with_known_and_repeated_events_is_stored(
    url: str, store: Store, merchant: Merchant
) -> None:
    [known] = await receive(store, merchant, batch_of(1))
    twice = webhook(*(json.loads(batch_of(2))["events"] * 2))
    stored = await receive(store, merchant, twice)
    assert [one.is_new for one in stored] == [False, True, False, False]
    assert stored[0].id == stored[2].id == known.id
    assert await count(url, notifications) == 2


async def test_a_large_batch_is_stored_in_few_statements(
    url: str, store: Store, merchant: Merchant
) -> None:
    statements: list[str] = []
    engine = store.notifications._session._engine.sync_engine
    sqlalchemy_event.listen(
        engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2])
    )
    await receive(store, merchant, batch_of(1200))
    writes = [one for one in statements if one.startswith("INSERT INTO notifications ")]
    assert len(writes) == 3
    assert len(statements) < 20
    assert await count(url, notifications) == 1200


async def test_a_batch_takes_the_space_of_its_events(sqlite_url: str, cipher: KeyRing) -> None:
    path = Path(sqlite_url.removeprefix("sqlite+aiosqlite:///"))
    body = batch_of(250)
    async with Store(sqlite_url, cipher) as store:
        merchant = await store.merchants.add("demo", "sandbox")
        await receive(store, merchant, body)
    with sqlite3.connect(path) as connection:
        [[stored]] = connection.execute(
            "SELECT SUM(LENGTH(raw) + COALESCE(LENGTH(headers), 0)) FROM notifications"
        )
    connection.close()
    assert stored < 1.5 * len(body)


async def test_an_unreadable_entry_is_kept_sealed_and_counted(
    url: str, store: Store, merchant: Merchant
) -> None:
    odd = {"id": ["EV7"], "secret": "Mia Muster"}
    body = json.dumps({"events": [odd, *json.loads(batch_of(2))["events"]]}).encode()
    stored = await receive(store, merchant, body)
    assert [one.event.event_id for one in stored] == ["EV0", "EV1"]
    since = datetime.now(UTC) - timedelta(minutes=5)
    [unreadable] = await store.notifications.list_unreadable(since)
    assert (unreadable.merchant_id, unreadable.count) == ("demo", 1)
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        statement = select(notifications.c.id, notifications.c.raw).where(
            notifications.c.outcome == "unreadable"
        )
        [(id, raw)] = (await connection.execute(statement)).all()
    await engine.dispose()
    assert b"Mia" not in raw
    row = await store.notifications.get(id)
    assert row is not None
    assert json.loads(row.raw) == odd
    pending = await store.notifications.list_pending(datetime.now(UTC) + timedelta(hours=1))
    assert {one.event_id for one in pending} == {"EV0", "EV1"}


async def test_an_unreadable_entry_is_shown_and_erased_after_30_days(
    store: Store, merchant: Merchant, url: str
) -> None:
    body = json.dumps({"events": [7, *json.loads(batch_of(1))["events"]]}).encode()
    await receive(store, merchant, body)
    text_of_doctor = [result.text for result in await check_backlog(store)]
    assert any("1 events of the PSPs of demo cannot be read" in one for one in text_of_doctor)
    shown = attention.render([], [], await store.notifications.list_unreadable())
    assert "1 of demo, the oldest since" in shown
    assert "integrator reconcile --merchant demo" in shown

    assert await LateErasure(store).run() == 0
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        old = datetime.now(UTC) - UNREADABLE_KEPT - timedelta(minutes=1)
        await connection.execute(update(notifications).values(received_at=old))
    assert await store.notifications.list_unreadable() == []
    assert await LateErasure(store).run() == 1
    assert await LateErasure(store).run() == 0
    async with engine.connect() as connection:
        statement = select(notifications.c.event_id, notifications.c.raw)
        rows = (await connection.execute(statement)).all()
    await engine.dispose()
    assert {row.event_id: row.raw == b"" for row in rows} == {
        unreadable_event(b"7").event_id: True,
        "EV0": False,
    }


@pytest.mark.usefixtures("payments")
async def test_an_erasure_takes_one_persons_event_of_a_batch(
    store: Store, merchant: Merchant
) -> None:
    stored = await receive(store, merchant, batch_of(4))
    assert [one.transaction and one.transaction.agreement_id for one in stored] == [*PERSONS, None]
    before = [await read(store, one) for one in stored]
    await store.erasure.erase_agreement("demo", "tom")
    after = [await read(store, one) for one in stored]
    assert [row.erased for row in after] == [False, True, False, False]
    assert after[1].raw == b""
    assert [after[n].raw for n in (0, 2, 3)] == [before[n].raw for n in (0, 2, 3)]
    assert all(b"PM1" not in row.raw for row in after)


@pytest.mark.usefixtures("payments")
async def test_an_event_is_encrypted_for_its_agreement(
    store: Store, merchant: Merchant, cipher: KeyRing, url: str
) -> None:
    await receive(store, merchant, batch_of(4))
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        statement = select(notifications.c.raw).order_by(notifications.c.event_id)
        blobs = (await connection.execute(statement)).scalars().all()
    await engine.dispose()
    # The first byte of a ciphertext: 2 for a data key, 1 for the key ring.
    assert [blob[0] for blob in blobs] == [2, 2, 2, 1]


async def test_an_adapter_without_raw_keeps_the_whole_body(
    store: Store, merchant: Merchant
) -> None:
    body = batch_of(2)
    for one in await receive(store, merchant, body, keep_raw=False):
        row = await read(store, one)
        assert (row.raw, row.headers) == (body, signature(body))


async def test_a_row_of_the_version_before_is_read(
    url: str, store: Store, merchant: Merchant
) -> None:
    """Its rows hold the whole body and its headers, and refer to no message."""
    body = batch_of(1)
    [stored] = await receive(store, merchant, body, keep_raw=False)
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.execute(update(notifications).values(message_id=None))
        await connection.execute(text("DELETE FROM notification_messages"))
    await engine.dispose()
    row = await read(store, stored)
    events: list[NotificationEvent] = list(
        ADAPTER.parse_notification(SETTINGS, row.headers or {}, row.raw, row.received_at)
    )
    assert [one.event_id for one in events] == ["EV0"]


async def test_the_version_before_reads_no_new_row_as_its_own(
    store: Store, merchant: Merchant
) -> None:
    """It parses the event as a message, which is rejected, and looks the transaction up."""
    [stored] = await receive(store, merchant, batch_of(1))
    row = await read(store, stored)
    assert row.source == "notification"
    with pytest.raises(NotificationRejected):
        ADAPTER.parse_notification(SETTINGS, row.headers or {}, row.raw, row.received_at)
