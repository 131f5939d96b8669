"""Test that look-ups without an answer are marked, and repeated once their account answers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import ActivityEnvironment

from activities.lookup_probe import LookupProbe
from activities.psp import PspActivities
from integrator.jobs.lookup_recovery import PROBES, LookupRecovery
from integrator.psp.errors import (
    CredentialsRejected,
    ProtocolError,
    PspError,
    PspTimeout,
    PspUnavailable,
)
from integrator.psp.types import Absent, LookupAnswer, Pending
from integrator.store import Store, TransactionRow
from integrator.store.errors import StoreUnavailable
from integrator.store.repository import Repository
from tests.integration.activities.conftest import (
    CAPTURE,
    CHARGE,
    PREAUTH,
    REFUND,
    FakePsp,
    FakeTransactionClient,
    TransactionFactory,
    call,
)

DOWN = PspUnavailable("down")
UNANSWERED = [DOWN, PspTimeout("late"), ProtocolError("HTTP 502")]


@dataclass
class FakeProbe:
    """Answers for the accounts and transactions in `answering`."""

    answering: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    errors: dict[str, Exception] = field(default_factory=dict)

    async def answers(self, row: TransactionRow) -> bool:
        self.asked.append(row.transaction_id)
        if row.transaction_id in self.errors:
            raise self.errors[row.transaction_id]
        return row.transaction_id in self.answering


@pytest.fixture
def probe() -> FakeProbe:
    return FakeProbe()


@pytest.fixture
def recovery(
    store: Store, transaction_client: FakeTransactionClient, probe: FakeProbe
) -> LookupRecovery:
    return LookupRecovery(store, transaction_client, probe)


@pytest.fixture
async def failed(store: Store, factory: TransactionFactory) -> list[str]:
    """The ids of four transactions whose last look-up had no answer."""
    await factory.refund()
    await factory.charge()
    ids = [PREAUTH, CAPTURE, REFUND, CHARGE]
    for id in ids:
        await store.transactions.mark_lookup_failed("demo", id)
    return ids


async def marked(store: Store) -> set[str]:
    accounts = await store.transaction_search.list_failed_lookup_accounts()
    return {
        row.transaction_id
        for _, account in accounts
        for row in await store.transaction_search.list_failed_lookups(account, 100)
    }


def signalled(transaction_client: FakeTransactionClient) -> list[str]:
    return [transaction_id for transaction_id, _ in transaction_client.calls_of("look_up")]


# --- marks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("error", UNANSWERED, ids=lambda error: type(error).__name__)
async def test_a_look_up_without_an_answer_is_marked_until_one_is_answered(
    store: Store,
    factory: TransactionFactory,
    psp: FakePsp,
    activities: PspActivities,
    error: PspError,
) -> None:
    await factory.charge()
    psp.answers = [error, Absent(proven=False)]
    with pytest.raises(ApplicationError):
        await ActivityEnvironment().run(activities.fetch_payment, call(CHARGE))
    assert await marked(store) == {CHARGE}
    await ActivityEnvironment().run(activities.fetch_payment, call(CHARGE))
    assert await marked(store) == set()


async def test_rejected_credentials_are_an_answer(
    store: Store, factory: TransactionFactory, psp: FakePsp, activities: PspActivities
) -> None:
    await factory.charge()
    psp.answers = [CredentialsRejected("401")]
    with pytest.raises(ApplicationError):
        await ActivityEnvironment().run(activities.fetch_payment, call(CHARGE))
    assert await marked(store) == set()


async def test_a_mark_that_cannot_be_stored_hides_no_failure_of_the_psp(
    store: Store,
    factory: TransactionFactory,
    psp: FakePsp,
    activities: PspActivities,
    break_store: Callable[[Repository, str, Exception], None],
) -> None:
    await factory.charge()
    psp.answers = [DOWN]
    break_store(store.transactions, "mark_lookup_failed", StoreUnavailable("locked"))
    with pytest.raises(ApplicationError, match="down"):
        await ActivityEnvironment().run(activities.fetch_payment, call(CHARGE))


# --- the probe ------------------------------------------------------------------------------


@pytest.mark.parametrize("id", [PREAUTH, CAPTURE, REFUND, CHARGE])
@pytest.mark.parametrize(
    ("answer", "answers"),
    [
        (Pending(psp_id="x"), True),
        (Absent(proven=False), True),
        (None, True),
        (CredentialsRejected("401"), False),
        *((error, False) for error in UNANSWERED),
    ],
)
async def test_the_probe_repeats_the_read_of_each_kind(
    store: Store,
    failed: list[str],
    psp: FakePsp,
    id: str,
    answer: LookupAnswer | PspError,
    answers: bool,
) -> None:
    psp.answers = [answer]
    row = await store.transactions.get("demo", id)
    assert row is not None
    async with httpx.AsyncClient() as http:
        assert await LookupProbe(store, http).answers(row) is answers


async def test_settings_that_cannot_be_used_answer_nothing(
    store: Store, failed: list[str], psp: FakePsp
) -> None:
    row = await store.transactions.get("demo", CHARGE)
    assert row is not None
    await store.merchants.save_settings("demo", {})
    async with httpx.AsyncClient() as http:
        probe = LookupProbe(store, http)
        psp.answers = [None]
        async with store.transactions._session.write_transaction() as connection:
            await connection.exec_driver_sql("DELETE FROM psp_settings WHERE version = 1")
        assert not await probe.answers(row)
    assert not psp.calls


# --- the job --------------------------------------------------------------------------------


async def test_nothing_is_signalled_while_the_psp_does_not_answer(
    store: Store,
    failed: list[str],
    transaction_client: FakeTransactionClient,
    probe: FakeProbe,
    recovery: LookupRecovery,
) -> None:
    for _ in range(3):
        assert await recovery.run() == 0
    assert len(probe.asked) == 3
    assert not signalled(transaction_client)
    assert await marked(store) == set(failed)


async def test_one_answer_has_all_of_the_account_looked_up_once(
    store: Store,
    failed: list[str],
    transaction_client: FakeTransactionClient,
    probe: FakeProbe,
    recovery: LookupRecovery,
) -> None:
    probe.answering = set(failed)
    assert await recovery.run() == len(failed)
    assert sorted(signalled(transaction_client)) == sorted(failed)
    assert await marked(store) == set()
    assert await recovery.run() == 0
    assert len(probe.asked) == 1


async def test_a_look_up_that_is_never_answered_neither_stops_the_others_nor_is_repeated_by_them(
    store: Store,
    failed: list[str],
    transaction_client: FakeTransactionClient,
    probe: FakeProbe,
    recovery: LookupRecovery,
) -> None:
    probe.answering = {CHARGE}
    while not await recovery.run():
        pass
    assert sorted(signalled(transaction_client)) == sorted(failed)
    for _ in range(3):
        for id in (REFUND, CHARGE):
            await store.transactions.mark_lookup_failed("demo", id)
        while CHARGE in await marked(store):
            await recovery.run()
    assert signalled(transaction_client).count(REFUND) == 1
    assert signalled(transaction_client).count(CHARGE) == 4
    assert await marked(store) == {REFUND}


async def test_a_transaction_that_cannot_be_signalled_goes_behind_the_others(
    store: Store,
    failed: list[str],
    transaction_client: FakeTransactionClient,
    probe: FakeProbe,
    recovery: LookupRecovery,
) -> None:
    probe.answering = set(failed)
    transaction_client.failures = [RPCError("denied", RPCStatusCode.PERMISSION_DENIED, b"")]
    assert await recovery.run() == len(failed) - 1
    (left,) = await marked(store)
    assert left == probe.asked[0]


async def test_an_outage_of_temporal_keeps_the_marks(
    store: Store,
    failed: list[str],
    transaction_client: FakeTransactionClient,
    probe: FakeProbe,
    recovery: LookupRecovery,
) -> None:
    probe.answering = set(failed)
    transaction_client.failures = [RPCError("refused", RPCStatusCode.UNAVAILABLE, b"")]
    with pytest.raises(RPCError):
        await recovery.run()
    assert await marked(store) == set(failed)


@pytest.fixture
async def add_accounts(
    store: Store, factory: TransactionFactory
) -> Callable[[int], Awaitable[list[str]]]:
    """Return a function that adds accounts with a failed look-up each."""

    async def add(count: int) -> list[str]:
        row = await factory.charge()
        ids = [f"{CHARGE}-{number}" for number in range(count)]
        columns: dict[str, Any] = {}
        async with store.transactions._session.write_transaction() as connection:
            result = await connection.exec_driver_sql("SELECT * FROM transactions")
            columns = dict(result.mappings().one())
            names = ", ".join(columns)
            for id in ids:
                values = columns | {
                    "transaction_id": id,
                    "psp_settings_id": f"account-{id[-15:]}",
                    "lookup_failed_at": columns["created_at"],
                    # Both are encrypted for the row's own id.
                    "sealed_snapshot": None,
                    "snapshot": row.snapshot,
                    "private": None,
                }
                marks = ", ".join("?" * len(values))
                await connection.exec_driver_sql(
                    f"INSERT INTO transactions ({names}) VALUES ({marks})",  # noqa: S608 - own names
                    tuple(values.values()),
                )
        return ids

    return add


async def test_a_psp_that_answers_no_account_is_asked_for_a_few_of_them(
    add_accounts: Callable[[int], Awaitable[list[str]]], probe: FakeProbe, recovery: LookupRecovery
) -> None:
    await add_accounts(3 * PROBES)
    assert await recovery.run() == 0
    assert len(set(probe.asked)) == PROBES


async def test_a_psp_that_answers_again_is_asked_for_all_accounts(
    store: Store,
    add_accounts: Callable[[int], Awaitable[list[str]]],
    probe: FakeProbe,
    recovery: LookupRecovery,
) -> None:
    """Also beside an account of which reading a transaction fails, as by an error of ours."""
    ids = await add_accounts(3 * PROBES)
    probe.answering = set(ids)
    probe.errors = {ids[0]: KeyError("adapter")}
    assert await recovery.run() == len(ids) - 1
    assert await marked(store) == {ids[0]}
