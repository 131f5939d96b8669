"""Redelivery, one or many."""

from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio.service import RPCError, RPCStatusCode

from integrator.operations import redelivery
from integrator.store import Filter, Store, TransactionRow
from tests.activities.conftest import NOW
from tests.operations.conftest import Books, FakeGateway
from tests.operations.test_explain import delivery

GIVEN_UP = Filter(webhook="undelivered")


def quiet(done: int, total: int) -> None:
    return None


@pytest.fixture
async def given_up(store: Store, books: Books) -> TransactionRow:
    row = await books.paid()
    await store.record_delivery(delivery(row, state="undelivered", delivered_at=None))
    return row


async def test_what_was_given_up_is_announced_again(
    store: Store, books: Books, gateway: FakeGateway, given_up: TransactionRow
) -> None:
    await books.book.refund()  # with its payment and its preauth
    steps: list[tuple[int, int]] = []
    done = await redelivery.all_of(
        store, gateway, GIVEN_UP, lambda *step: steps.append(step), dry_run=False
    )
    assert gateway.asked == [("redeliver", given_up.transaction_id)]
    assert gateway.starts[0].resume is not None
    assert (done.asked, done.skipped, done.failed) == ([f"demo/{given_up.transaction_id}"], [], [])
    assert steps == [(0, 1), (1, 1)]


async def test_a_dry_run_asks_nobody(
    store: Store, gateway: FakeGateway, given_up: TransactionRow
) -> None:
    done = await redelivery.all_of(store, gateway, GIVEN_UP, quiet, dry_run=True)
    assert (len(done.asked), gateway.asked) == (1, [])
    assert "1 transactions would be announced" in redelivery.told(done, dry_run=True)


async def test_what_has_not_begun_has_nothing_to_announce(
    store: Store, books: Books, gateway: FakeGateway
) -> None:
    row = await books.book.charge()
    assert not await redelivery.one(gateway, row)
    done = await redelivery.all_of(store, gateway, Filter(), quiet, dry_run=False)
    assert (done.asked, len(done.skipped), gateway.asked) == ([], 1, [])


async def test_those_that_cannot_be_reached_are_named(
    store: Store, gateway: FakeGateway, given_up: TransactionRow
) -> None:
    gateway.away = RPCError("away", RPCStatusCode.UNAVAILABLE, b"")
    done = await redelivery.all_of(store, gateway, GIVEN_UP, quiet, dry_run=False)
    assert done.failed == [f"demo/{given_up.transaction_id}"]
    assert given_up.transaction_id in redelivery.told(done, dry_run=False)


async def test_times_are_those_of_the_last_attempt(
    store: Store, gateway: FakeGateway, given_up: TransactionRow
) -> None:
    wanted = replace(GIVEN_UP, attempted_since=NOW, attempted_until=NOW + timedelta(minutes=1))
    assert await store.count(wanted) == 1
    later = replace(GIVEN_UP, attempted_since=NOW + timedelta(minutes=1))
    assert await store.count(later) == 0
