"""What an attempt to send a money operation may conclude about earlier ones, and what it leaves."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.psp import PspActivities
from activities.send_attempt import PROOF_LASTS
from integrator.psp.errors import CredentialsRejected, OutcomeUnknown, PspError, PspUnavailable
from integrator.psp.types import Absent, Approved, FactKind
from integrator.store import Store
from integrator.store.models import NOT_SENT, UNKNOWN, RecordUpdate
from integrator.store.tables import transactions
from tests.integration.activities.conftest import (
    CHARGE,
    PRIVATE,
    FakePsp,
    TransactionFactory,
    call,
)
from tests.integration.activities.test_psp import DEBIT_AGREEMENT, fact
from workflows import activity_plans
from workflows.messages import PspFailure, PspReply
from workflows.state import EvidenceKind

OLD = activity_plans.PSP_ATTEMPT_TIMEOUT + timedelta(seconds=1)
FORGOTTEN = timedelta(days=40)
"""Longer than any PSP remembers a key."""
PAID = Approved(psp_id="ch_1", facts=(fact(FactKind.PAID, "119.00"),))


@pytest.fixture
async def charge(
    factory: TransactionFactory, activities: PspActivities
) -> Callable[..., Awaitable[PspReply]]:
    await factory.agreement(DEBIT_AGREEMENT, PRIVATE)
    await factory.charge()

    async def run(**changes: Any) -> PspReply:
        reply: PspReply = await ActivityEnvironment().run(
            activities.charge, call(CHARGE, **changes)
        )
        return reply

    return run


Charge = Callable[..., Awaitable[PspReply]]


async def age(store: Store, by: timedelta) -> None:
    """Let the row be older."""
    async with store.transactions._session.write_transaction() as connection:
        await connection.execute(update(transactions).values(created_at=datetime.now(UTC) - by))


async def mark(store: Store) -> str | None:
    row = await store.transactions.get("demo", CHARGE)
    assert row is not None
    return row.send_mark


async def failure(running: Awaitable[PspReply]) -> ApplicationError:
    with pytest.raises(ApplicationError) as caught:
        await running
    return caught.value


async def test_an_ordinary_attempt_leaves_no_mark(
    store: Store, psp: FakePsp, charge: Charge
) -> None:
    psp.answers = [PAID]
    assert (await charge()).outcome == PAID
    assert await mark(store) is None


@pytest.mark.parametrize(
    ("error", "left"),
    [
        (PspUnavailable("down"), NOT_SENT),
        (CredentialsRejected("401"), NOT_SENT),
        (OutcomeUnknown("lost"), UNKNOWN),
    ],
)
async def test_a_failed_first_attempt_leaves_what_it_knows(
    store: Store, psp: FakePsp, charge: Charge, error: PspError, left: str
) -> None:
    psp.answers = [error]
    assert (await failure(charge())).details == (True,)
    assert await mark(store) == left


@pytest.mark.parametrize("error", [PspUnavailable("down"), CredentialsRejected("401")])
@pytest.mark.parametrize(
    ("earlier", "older_by", "run", "proven"),
    [
        (None, timedelta(0), "test-run", True),
        (NOT_SENT, OLD, "test-run", True),
        (NOT_SENT, OLD, "another", True),
        (None, OLD, "test-run", False),
        (None, timedelta(0), "another", False),
        (None, timedelta(0), None, False),
        (UNKNOWN, timedelta(0), "test-run", False),
        ("sending:x", timedelta(0), "test-run", False),
    ],
)
async def test_only_the_row_proves_that_nothing_was_sent(
    store: Store,
    psp: FakePsp,
    charge: Charge,
    error: PspError,
    earlier: str | None,
    older_by: timedelta,
    run: str | None,
    proven: bool,
) -> None:
    """Also after a reset of the workflow (another run) or of the activity (attempt 1 again)."""
    if earlier is not None:
        await store.transactions.set_send_mark("demo", CHARGE, earlier, expected=None)
    await age(store, older_by)
    psp.answers = [error]
    assert (await failure(charge(first_run_id=run))).details == (proven,)
    assert await mark(store) == (NOT_SENT if proven else UNKNOWN)


async def test_a_later_attempt_writes_before_it_sends(
    store: Store, psp: FakePsp, charge: Charge
) -> None:
    await age(store, OLD)
    seen: list[str | None] = []

    async def remember() -> None:
        seen.append(await mark(store))

    psp.during_charge, psp.answers = remember, [PAID]
    await charge()
    assert seen[0] is not None
    assert seen[0].startswith("sending:")


async def test_a_failure_leaves_the_mark_of_an_attempt_that_began_later(
    store: Store, psp: FakePsp, charge: Charge
) -> None:
    async def overtake() -> None:
        await store.transactions.set_send_mark("demo", CHARGE, "sending:later", expected=None)

    psp.during_charge, psp.answers = overtake, [PspUnavailable("down")]
    await failure(charge())
    assert await mark(store) == "sending:later"


@pytest.mark.parametrize("earlier", [UNKNOWN, "sending:x", None])
async def test_what_may_have_been_sent_is_not_sent_without_its_key(
    store: Store, psp: FakePsp, charge: Charge, earlier: str | None
) -> None:
    if earlier is not None:
        await store.transactions.set_send_mark("demo", CHARGE, earlier, expected=None)
    await age(store, FORGOTTEN)
    error = await failure(charge())
    assert (error.type, error.non_retryable) == (PspFailure.KEY_EXPIRED, True)
    assert psp.calls == []


async def test_what_was_certainly_not_sent_is_sent_at_any_time(
    store: Store, psp: FakePsp, charge: Charge
) -> None:
    await store.transactions.set_send_mark("demo", CHARGE, NOT_SENT, expected=None)
    await age(store, FORGOTTEN)
    psp.answers = [PAID]
    assert (await charge()).outcome == PAID


async def test_an_operation_whose_outcome_is_stored_is_not_sent(
    store: Store, psp: FakePsp, charge: Charge
) -> None:
    row = await store.transactions.get("demo", CHARGE)
    assert row is not None
    answered = row.snapshot.replace('"answered":false', '"answered":true')
    await store.transactions.record(RecordUpdate("demo", CHARGE, "Pending", 4, answered))
    reply = await charge()
    assert (reply.outcome, reply.evidence, reply.stored_version) == (None, EvidenceKind.READ, 4)
    assert psp.calls == []


# --- debits that wait for their day ---------------------------------------------------------


async def let_wait(store: Store, **changes: Any) -> None:
    """Let the row be that of a debit created long ago, which waits for a day that has come."""
    values = {"send_at": datetime.now(UTC), "created_at": datetime.now(UTC) - FORGOTTEN}
    async with store.transactions._session.write_transaction() as connection:
        await connection.execute(update(transactions).values(**values | changes))


@pytest.mark.parametrize("run", ["test-run", "another", None])
async def test_a_debit_that_has_waited_is_sent_by_any_run(
    store: Store, psp: FakePsp, charge: Charge, run: str | None
) -> None:
    await let_wait(store)
    psp.answers = [PAID]
    assert (await charge(first_run_id=run)).outcome == PAID


async def test_every_attempt_of_a_debit_that_has_waited_writes_before_it_sends(
    store: Store, psp: FakePsp, charge: Charge
) -> None:
    await let_wait(store, created_at=datetime.now(UTC))
    seen: list[str | None] = []

    async def remember() -> None:
        seen.append(await mark(store))

    psp.during_charge, psp.answers = remember, [PAID]
    await charge()
    assert seen[0] is not None
    assert seen[0].startswith("sending:")


@pytest.mark.parametrize(("sent_for", "repeated"), [(OLD, True), (FORGOTTEN, False)])
async def test_the_keys_window_begins_when_the_debit_is_sent(
    store: Store, psp: FakePsp, charge: Charge, sent_for: timedelta, repeated: bool
) -> None:
    await let_wait(store)
    psp.answers = [OutcomeUnknown("lost")]
    assert (await failure(charge())).details == (True,)
    row = await store.transactions.get("demo", CHARGE)
    assert row is not None
    assert row.sending_since is not None
    assert row.sending_since > datetime.now(UTC) - timedelta(minutes=1)
    await let_wait(store, sending_since=datetime.now(UTC) - sent_for)
    psp.answers = [PAID]
    if repeated:
        assert (await charge()).outcome == PAID
    else:
        assert (await failure(charge())).type == PspFailure.KEY_EXPIRED


async def test_an_outage_on_the_day_does_not_use_up_the_keys_window(
    store: Store, psp: FakePsp, charge: Charge
) -> None:
    await let_wait(store)
    psp.answers = [PspUnavailable("down")]
    await failure(charge())
    assert await mark(store) == NOT_SENT
    await let_wait(store, sending_since=datetime.now(UTC) - PROOF_LASTS / 2)
    psp.answers = [OutcomeUnknown("lost")]
    assert (await failure(charge())).details == (True,)
    psp.answers = [PAID]
    assert (await charge()).outcome == PAID


# --- debits whose row may be that of a restored store ---------------------------------------

LATE = {
    "unmarked": {"send_at": datetime.now(UTC) - FORGOTTEN},
    "not sent": {
        "send_at": datetime.now(UTC) - 2 * FORGOTTEN,
        "send_mark": NOT_SENT,
        "sending_since": datetime.now(UTC) - FORGOTTEN,
    },
}
late = pytest.mark.parametrize("row", LATE.values(), ids=LATE)


@late
async def test_an_old_proof_is_confirmed_by_the_psp_before_the_debit_is_sent(
    store: Store, psp: FakePsp, charge: Charge, row: dict[str, Any]
) -> None:
    await let_wait(store, **row)
    psp.answers = [Absent(proven=True), PAID]
    assert (await charge()).outcome == PAID
    assert [name for name, _ in psp.calls] == ["fetch_payment", "charge"]
    # Lists are searched from when it may have been sent, not from when it was requested.
    searched_from = row.get("sending_since", row["send_at"])
    assert psp.calls[0][1].created_at == searched_from
    stored = await store.transactions.get("demo", CHARGE)
    assert stored is not None
    assert stored.sending_since is not None
    assert stored.sending_since > datetime.now(UTC) - timedelta(minutes=1)


@late
async def test_a_debit_that_the_psp_knows_is_not_sent_again(
    store: Store, psp: FakePsp, charge: Charge, row: dict[str, Any]
) -> None:
    await let_wait(store, **row)
    psp.answers = [PAID]
    reply = await charge()
    assert (reply.outcome, reply.evidence) == (PAID, EvidenceKind.READ)
    assert [name for name, _ in psp.calls] == ["fetch_payment"]


@late
@pytest.mark.parametrize(
    ("answer", "failed_with"),
    [
        (Absent(proven=False), PspFailure.UNAVAILABLE),
        (PspUnavailable("down"), PspFailure.UNAVAILABLE),
        (CredentialsRejected("401"), PspFailure.CREDENTIALS),
    ],
)
async def test_a_debit_of_which_the_psp_cannot_say_waits_and_does_not_fail(
    store: Store,
    psp: FakePsp,
    charge: Charge,
    row: dict[str, Any],
    answer: Absent | PspError,
    failed_with: PspFailure,
) -> None:
    await let_wait(store, **row)
    psp.answers = [answer]
    error = await failure(charge())
    assert (error.type, error.details) == (failed_with, (False,))
    assert [name for name, _ in psp.calls] == ["fetch_payment"]


async def test_a_late_debit_is_sent_with_its_key_while_the_psp_remembers_it(
    store: Store, psp: FakePsp, charge: Charge
) -> None:
    """A refusal then proves nothing, and the window goes on from its day."""
    psp.window = timedelta(days=7)
    await let_wait(store, send_at=datetime.now(UTC) - PROOF_LASTS - timedelta(minutes=1))
    psp.answers = [CredentialsRejected("401")]
    assert (await failure(charge())).details == (False,)
    assert await mark(store) == UNKNOWN
    psp.answers = [PAID]
    assert (await charge()).outcome == PAID
    await let_wait(store, send_at=datetime.now(UTC) - timedelta(days=6))
    assert (await failure(charge())).type == PspFailure.KEY_EXPIRED
    assert "fetch_payment" not in [name for name, _ in psp.calls]
