"""Lists and what belongs together."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event

from integrator.crypto.keys import KeyRing
from integrator.store import Filter, Merchant, Store, TransactionSummary
from tests.store.builders import change, new_notification, new_transaction
from tests.store.encryption_helpers import connected


@pytest.fixture
async def books(store: Store, merchant: Merchant) -> None:
    """A preauth, its capture, a refund of that; a payment of another agreement; another merchant's
    payment under the same id.
    """
    await store.open_transaction(
        new_transaction(merchant, "p1", kind="preauth", external_id="x-p1")
    )
    await store.open_transaction(new_transaction(merchant, "c1", related_id="p1"))
    await store.open_transaction(
        new_transaction(merchant, "r1", kind="refund", related_id="c1", agreement_id=None)
    )
    await store.open_transaction(new_transaction(merchant, "d1", agreement_id="a2"))
    other = await store.add_merchant("zeta", "sandbox")
    await store.open_transaction(new_transaction(other, "d1"))
    await store.record(change(merchant, "p1", psp_session_id="cs_1"))
    await store.record(change(merchant, "c1", psp_transaction_id="pay_1", needs_attention=True))


def ids(rows: list[TransactionSummary]) -> list[str]:
    return [f"{row.merchant_id}/{row.transaction_id}" for row in rows]


@pytest.mark.usefixtures("books")
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("p1", ["demo/p1"]),
        ("x-p1", ["demo/p1"]),
        ("cs_1", ["demo/p1"]),
        ("pay_1", ["demo/c1"]),
        ("d1", ["demo/d1", "zeta/d1"]),
        ("d", []),
    ],
)
async def test_a_transaction_is_found_by_every_id(
    store: Store, name: str, found: list[str]
) -> None:
    rows = await store.named(name)
    assert sorted(f"{row.merchant_id}/{row.transaction_id}" for row in rows) == found
    assert {row.merchant_id for row in await store.named(name, "zeta")} <= {"zeta"}


@pytest.mark.usefixtures("books")
@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(merchant_id="zeta"), ["zeta/d1"]),
        (Filter(kind="refund"), ["demo/r1"]),
        (Filter(statuses=("Pending",)), ["demo/c1", "demo/p1"]),
        (Filter(agreement_id="a2"), ["demo/d1"]),
        (Filter(psp_id="cs_1"), ["demo/p1"]),
        (Filter(attention=True), ["demo/c1"]),
        (Filter(attention=True, kind="refund"), []),
        (Filter(since=datetime.now(UTC) + timedelta(days=1)), []),
        (Filter(until=datetime.now(UTC) - timedelta(days=1)), []),
        (Filter(webhook="undelivered"), []),
    ],
)
async def test_a_list_meets_all_conditions(store: Store, wanted: Filter, found: list[str]) -> None:
    rows = await store.search(wanted)
    assert ids(rows) == found
    assert await store.count(wanted) == len(found)


@pytest.mark.usefixtures("books")
@pytest.mark.parametrize("oldest_first", [False, True])
async def test_pages_join_without_gaps(store: Store, *, oldest_first: bool) -> None:
    whole = ids(await store.search(Filter(), oldest_first=oldest_first))
    pages: list[str] = []
    place = None
    while page := await store.search(Filter(), after=place, limit=2, oldest_first=oldest_first):
        pages += ids(page)
        place = page[-1].place
    assert pages == whole
    assert len(whole) == 5
    assert (whole[0] == "demo/p1") is oldest_first


@pytest.mark.usefixtures("books")
@pytest.mark.parametrize(
    ("of", "found"),
    [
        ("p1", ["demo/c1", "demo/r1"]),
        ("c1", ["demo/p1", "demo/r1"]),
        ("r1", ["demo/p1", "demo/c1"]),
        ("d1", []),
    ],
)
async def test_what_belongs_together_is_found_from_each_end(
    store: Store, of: str, found: list[str]
) -> None:
    (row,) = await store.named(of, "demo")
    assert ids(await store.related(row)) == found


@pytest.mark.usefixtures("books")
async def test_notifications_are_listed_without_their_content(
    store: Store, merchant: Merchant
) -> None:
    await store.store_notification(new_notification(merchant, "e1", transaction_id="c1"))
    await store.store_notification(new_notification(merchant, "e2", transaction_id="d1"))
    (notice,) = await store.received("demo", "c1")
    assert (notice.event_id, notice.state, notice.source) == ("e1", "stored", "notification")


@pytest.mark.usefixtures("books")
async def test_the_backlog_counts_what_waits(store: Store) -> None:
    found = await store.backlog("demo")
    assert (found.undecided, found.attention) == (4, 1)
    (oldest,) = await store.named("p1")
    assert found.undecided_since == oldest.created_at
    assert (found.strays, found.strays_since) == (0, None)
    assert (await store.backlog()).undecided == 5


@pytest.mark.usefixtures("books")
async def test_the_mark_is_corrected_unless_the_state_moved_on(
    store: Store, merchant: Merchant
) -> None:
    (row,) = await store.needing_attention("demo")
    assert row.transaction_id == "c1"
    await store.set_attention(row, needed=False)
    assert await store.needing_attention() == []
    await store.record(change(merchant, "c1", version=2, needs_attention=True))
    await store.set_attention(row, needed=False)
    assert [row.transaction_id for row in await store.needing_attention()] == ["c1"]


@pytest.mark.usefixtures("books")
async def test_all_transactions_are_read_page_by_page(store: Store) -> None:
    first = await store.page(None, limit=3)
    rest = await store.page(first[-1].place, limit=3)
    assert [row.transaction_id for row in (*first, *rest)] == ["p1", "c1", "r1", "d1", "d1"]
    assert all(row.requested_amount == Decimal("10.50") for row in first)


async def test_partial_indexes_serve(sqlite_url: str, cipher: KeyRing) -> None:
    """The queries say their conditions in the words of the indexes."""
    asked: list[tuple[str, Any]] = []
    async with Store(sqlite_url, cipher) as store:
        event.listen(
            store._engine.sync_engine,  # the only place where all statements pass
            "before_cursor_execute",
            lambda connection, cursor, statement, parameters, context, many: asked.append(
                (statement, parameters)
            ),
        )
        await store.backlog()
        await store.needing_attention()
        await store.search(Filter(webhook="undelivered"))
    plans = []
    async with connected(sqlite_url) as connection:
        for statement, parameters in asked:
            plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.append(str(plan.all()))
    used = [
        next((name for name in ("undecided", "attention", "open") if f"_{name}" in plan), None)
        for plan in plans
    ]
    assert used == ["undecided", "attention", None, "open", "open", "attention", "open"]
