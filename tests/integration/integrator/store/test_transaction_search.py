"""Lists of transactions, related transactions and the backlog."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event

from integrator.crypto.keys import KeyRing
from integrator.store import Merchant, Store, TransactionFilter, TransactionSummary
from tests.integration.integrator.store.builders import (
    new_notification,
    new_transaction,
    record_update,
)
from tests.integration.integrator.store.encryption_helpers import write_connection


@pytest.fixture
async def transactions(store: Store, merchant: Merchant) -> None:
    """Store a preauth, its capture and a refund of that, a payment of another agreement, and a
    payment of another merchant with the same id.
    """
    await store.transactions.add(
        new_transaction(merchant, "p1", kind="preauth", external_id="x-p1")
    )
    await store.transactions.add(new_transaction(merchant, "c1", related_id="p1"))
    await store.transactions.add(
        new_transaction(merchant, "r1", kind="refund", related_id="c1", agreement_id=None)
    )
    await store.transactions.add(new_transaction(merchant, "d1", agreement_id="a2"))
    other = await store.merchants.add("zeta", "sandbox")
    await store.transactions.add(new_transaction(other, "d1"))
    await store.transactions.record(record_update(merchant, "p1", psp_session_id="cs_1"))
    await store.transactions.record(
        record_update(merchant, "c1", psp_transaction_id="pay_1", needs_attention=True)
    )


def ids(rows: list[TransactionSummary]) -> list[str]:
    return [f"{row.merchant_id}/{row.transaction_id}" for row in rows]


@pytest.mark.usefixtures("transactions")
@pytest.mark.parametrize(
    ("name", "expected"),
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
    store: Store, name: str, expected: list[str]
) -> None:
    rows = await store.transaction_search.list_by_any_id(name)
    assert sorted(f"{row.merchant_id}/{row.transaction_id}" for row in rows) == expected
    assert {
        row.merchant_id for row in await store.transaction_search.list_by_any_id(name, "zeta")
    } <= {"zeta"}


@pytest.mark.usefixtures("transactions")
@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        (TransactionFilter(merchant_id="zeta"), ["zeta/d1"]),
        (TransactionFilter(kind="refund"), ["demo/r1"]),
        (TransactionFilter(statuses=("Pending",)), ["demo/c1", "demo/p1"]),
        (TransactionFilter(agreement_id="a2"), ["demo/d1"]),
        (TransactionFilter(psp_id="cs_1"), ["demo/p1"]),
        (TransactionFilter(attention=True), ["demo/c1"]),
        (TransactionFilter(attention=True, kind="refund"), []),
        (TransactionFilter(since=datetime.now(UTC) + timedelta(days=1)), []),
        (TransactionFilter(until=datetime.now(UTC) - timedelta(days=1)), []),
        (TransactionFilter(webhook="undelivered"), []),
    ],
)
async def test_a_list_matches_all_conditions(
    store: Store, criteria: TransactionFilter, expected: list[str]
) -> None:
    rows = await store.transaction_search.list_summaries(criteria)
    assert ids(rows) == expected
    assert await store.transaction_search.count(criteria) == len(expected)


@pytest.mark.usefixtures("transactions")
@pytest.mark.parametrize("oldest_first", [False, True])
async def test_pages_join_without_gaps(store: Store, *, oldest_first: bool) -> None:
    whole = ids(
        await store.transaction_search.list_summaries(
            TransactionFilter(), oldest_first=oldest_first
        )
    )
    pages: list[str] = []
    cursor = None
    while page := await store.transaction_search.list_summaries(
        TransactionFilter(), after=cursor, limit=2, oldest_first=oldest_first
    ):
        pages += ids(page)
        cursor = page[-1].cursor
    assert pages == whole
    assert len(whole) == 5
    assert (whole[0] == "demo/p1") is oldest_first


@pytest.mark.usefixtures("transactions")
@pytest.mark.parametrize(
    ("id", "expected"),
    [
        ("p1", ["demo/c1", "demo/r1"]),
        ("c1", ["demo/p1", "demo/r1"]),
        ("r1", ["demo/p1", "demo/c1"]),
        ("d1", []),
    ],
)
async def test_related_transactions_are_found_from_each_of_them(
    store: Store, id: str, expected: list[str]
) -> None:
    (row,) = await store.transaction_search.list_by_any_id(id, "demo")
    assert ids(await store.transaction_search.list_related(row)) == expected


@pytest.mark.usefixtures("transactions")
async def test_notifications_are_listed_without_their_content(
    store: Store, merchant: Merchant
) -> None:
    await store.notifications.add(new_notification(merchant, "e1", transaction_id="c1"))
    await store.notifications.add(new_notification(merchant, "e2", transaction_id="d1"))
    (notification,) = await store.notifications.list_summaries("demo", "c1")
    assert (notification.event_id, notification.state, notification.source) == (
        "e1",
        "stored",
        "notification",
    )


@pytest.mark.usefixtures("transactions")
async def test_the_backlog_counts_open_items(store: Store) -> None:
    backlog = await store.backlog.get_totals("demo")
    assert (backlog.undecided, backlog.attention) == (4, 1)
    (oldest,) = await store.transaction_search.list_by_any_id("p1")
    assert backlog.undecided_since == oldest.created_at
    assert (backlog.strays, backlog.strays_since) == (0, None)
    assert (await store.backlog.get_totals()).undecided == 5


@pytest.mark.usefixtures("transactions")
async def test_the_attention_mark_is_corrected_unless_a_newer_state_exists(
    store: Store, merchant: Merchant
) -> None:
    (row,) = await store.transaction_search.list_needing_attention("demo")
    assert row.transaction_id == "c1"
    await store.transactions.set_attention(row, needed=False)
    assert await store.transaction_search.list_needing_attention() == []
    await store.transactions.record(record_update(merchant, "c1", version=2, needs_attention=True))
    await store.transactions.set_attention(row, needed=False)
    assert [
        row.transaction_id for row in await store.transaction_search.list_needing_attention()
    ] == ["c1"]


@pytest.mark.usefixtures("transactions")
async def test_all_transactions_are_read_page_by_page(store: Store) -> None:
    first = await store.transaction_search.list_page(None, limit=3)
    rest = await store.transaction_search.list_page(first[-1].cursor, limit=3)
    assert [row.transaction_id for row in (*first, *rest)] == ["p1", "c1", "r1", "d1", "d1"]
    assert all(row.requested_amount == Decimal("10.50") for row in first)


async def test_queries_use_the_partial_indexes(sqlite_url: str, cipher: KeyRing) -> None:
    """The queries repeat the conditions of the partial indexes exactly."""
    statements: list[tuple[str, Any]] = []
    async with Store(sqlite_url, cipher) as store:
        event.listen(
            store._session._engine.sync_engine,  # the only place that sees all statements
            "before_cursor_execute",
            lambda connection, cursor, statement, parameters, context, many: statements.append(
                (statement, parameters)
            ),
        )
        await store.backlog.get_totals()
        await store.transaction_search.list_needing_attention()
        await store.transaction_search.list_summaries(TransactionFilter(webhook="undelivered"))
        await store.transaction_search.list_failed_lookup_accounts()
        await store.transaction_search.list_failed_lookups("account", 10)
    plans = []
    async with write_connection(sqlite_url) as connection:
        for statement, parameters in statements:
            plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.append(str(plan.all()))
    names = ("undecided", "attention", "open", "lookup_failed")
    used = [next((name for name in names if f"_{name}" in plan), None) for plan in plans]
    assert used == [
        *("undecided", "attention", None, "open", "open", "attention", "open"),
        *("lookup_failed", "lookup_failed"),
    ]
