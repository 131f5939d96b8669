"""Test the recovery of transactions whose workflow was ended or rewound in Temporal."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import (
    RPCTimeoutOrCancelledError,
    WorkflowExecutionStatus,
    WorkflowQueryFailedError,
)
from temporalio.service import RPCError, RPCStatusCode

from integrator.jobs import workflow_recovery
from integrator.jobs.orphan_recovery import OrphanRecovery
from integrator.jobs.workflow_recovery import WorkflowRecovery
from integrator.observability import worker_metrics
from integrator.store import Store, TransactionRow
from integrator.store.models import DUE_VOID, UNKNOWN
from integrator.transactions.workflow_inputs import build_record, read_state
from tests.integration.activities.conftest import (
    CAPTURE,
    CHARGE,
    PREAUTH,
    FakePsp,
    FakeTransactionClient,
    TransactionFactory,
)
from workflows.messages import AnyInput, Delivery, DeliveryState
from workflows.state import AnyState, PreauthState, TransactionKind

NOT_FOUND = RPCError("workflow not found", RPCStatusCode.NOT_FOUND, b"")
DENIED = RPCError("denied", RPCStatusCode.PERMISSION_DENIED, b"")
UNAVAILABLE = RPCError("connection refused", RPCStatusCode.UNAVAILABLE, b"")
ENDED = [
    WorkflowExecutionStatus.TERMINATED,
    WorkflowExecutionStatus.CANCELED,
    WorkflowExecutionStatus.FAILED,
    WorkflowExecutionStatus.COMPLETED,
    NOT_FOUND,
]


@dataclass
class Temporal(FakeTransactionClient):
    """Transaction client with a result of describe and query by transaction; running by default."""

    described: dict[str, WorkflowExecutionStatus | Exception] = field(default_factory=dict)
    queried: dict[str, AnyState | Exception] = field(default_factory=dict)
    deliveries: dict[str, Delivery] = field(default_factory=dict)

    async def closed_status(self, start: AnyInput) -> WorkflowExecutionStatus | None:
        result = self.described.get(start.transaction_id)
        if isinstance(result, Exception):
            raise result
        return result

    async def state(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str, timeout: timedelta
    ) -> AnyState:
        self.log.append(("query", transaction_id))
        result = self.queried[transaction_id]
        if isinstance(result, Exception):
            raise result
        return result

    async def delivery(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str, timeout: timedelta
    ) -> Delivery:
        busy = Delivery(state=DeliveryState.DELIVERING)
        return self.deliveries.get(transaction_id, busy)


@pytest.fixture
def temporal(psp: FakePsp) -> Temporal:
    return Temporal()


@pytest.fixture
def recovery(store: Store, temporal: Temporal, monkeypatch: pytest.MonkeyPatch) -> WorkflowRecovery:
    """The job, for which every row is old enough."""
    monkeypatch.setattr(workflow_recovery, "UNCHANGED_FOR", timedelta(seconds=-1))
    return WorkflowRecovery(store, temporal)


async def record(
    store: Store, row: TransactionRow, status: str, *, version: int = 1, **options: Any
) -> AnyState:
    """Record a state of the transaction; `options` are those of `build_record`."""
    changes = options.pop("changes", {})
    state = read_state(row.kind, row.snapshot)
    state = type(state).model_validate(
        state.model_dump() | {"status": status, "version": version} | changes
    )
    update = build_record("demo", state, state.model_dump_json(), **options)
    values = vars(update) | {"evidence": "{}"}
    assert await store.transactions.record(type(update)(**values))
    return state


def count(action: str) -> float:
    value: float = worker_metrics.ORPHANS.labels(action)._value.get()
    return value


# --- undecided ------------------------------------------------------------------------------


@pytest.mark.parametrize("found", ENDED, ids=lambda found: getattr(found, "name", "deleted"))
async def test_an_undecided_transaction_whose_workflow_ended_is_resumed_from_its_row(
    store: Store,
    factory: TransactionFactory,
    temporal: Temporal,
    recovery: WorkflowRecovery,
    found: WorkflowExecutionStatus | Exception,
) -> None:
    row = await factory.charge()
    state = await record(store, row, "Pending", version=3)
    temporal.described[CHARGE] = found
    before = count("ended_in_temporal")
    assert await recovery.run() == 1
    assert temporal.calls_of("look_up") == [(CHARGE, None)]
    assert temporal.starts[0].resume == state
    assert count("ended_in_temporal") == before + 1


async def test_a_running_workflow_with_nothing_due_is_left_alone(
    store: Store, factory: TransactionFactory, temporal: Temporal, recovery: WorkflowRecovery
) -> None:
    await record(store, await factory.charge(), "Pending")
    assert await recovery.run() == 0
    assert temporal.log == []


async def test_a_transaction_that_has_just_changed_is_left_alone(
    store: Store, factory: TransactionFactory, temporal: Temporal
) -> None:
    await record(store, await factory.charge(), "Pending")
    capture = await factory.capture()
    await record(store, capture, "Failed", announce_version=1, parent_due=True)
    temporal.described = {CHARGE: NOT_FOUND, CAPTURE: NOT_FOUND}
    assert await WorkflowRecovery(store, temporal).run() == 0
    assert temporal.log == []


async def test_a_transaction_whose_caller_was_answered_pending_is_recovered_without_a_record(
    store: Store, factory: TransactionFactory, temporal: Temporal, recovery: WorkflowRecovery
) -> None:
    row = await factory.charge()
    state = read_state(row.kind, row.snapshot)
    state = state.model_copy(update={"status": type(state.status).Pending})
    update = build_record("demo", state, state.model_dump_json())
    assert await store.transactions.record_pending(update)
    temporal.described[CHARGE] = WorkflowExecutionStatus.TERMINATED
    assert await OrphanRecovery(store, temporal).start_unstarted(timedelta(seconds=-1)) == 0
    assert await recovery.run() == 1
    (start,) = temporal.starts
    assert start.resume is not None
    assert (start.resume.answered, start.announce_version) == (False, 0)


async def test_the_mark_of_an_attempt_survives_the_recovery(
    store: Store, factory: TransactionFactory, temporal: Temporal, recovery: WorkflowRecovery
) -> None:
    await record(store, await factory.charge(), "Pending")
    await store.transactions.set_send_mark("demo", CHARGE, UNKNOWN, expected=None)
    temporal.described[CHARGE] = NOT_FOUND
    assert await recovery.run() == 1
    row = await store.transactions.get("demo", CHARGE)
    assert row is not None
    assert row.send_mark == UNKNOWN


@pytest.mark.parametrize(
    ("status", "announce_version"), [("Pending", None), ("Succeeded", 1)], ids=["open", "work due"]
)
async def test_transactions_are_recovered_page_by_page(
    store: Store,
    factory: TransactionFactory,
    temporal: Temporal,
    recovery: WorkflowRecovery,
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    announce_version: int | None,
) -> None:
    monkeypatch.setattr(workflow_recovery, "BATCH", 1)
    await record(store, await factory.charge(), status, announce_version=announce_version)
    await record(store, await factory.preauth(), status, announce_version=announce_version)
    temporal.described = {CHARGE: NOT_FOUND, PREAUTH: NOT_FOUND}
    for _ in range(4):
        await recovery.run()
    looked_up = [id for id, _ in temporal.calls_of("look_up")]
    assert looked_up[:2] == [CHARGE, PREAUTH]
    assert looked_up[2:] == [CHARGE]  # the third run has found the end of the list


# --- work due -------------------------------------------------------------------------------


async def test_a_decided_transaction_with_nothing_due_needs_no_workflow(
    store: Store, factory: TransactionFactory, temporal: Temporal, recovery: WorkflowRecovery
) -> None:
    await record(store, await factory.charge(), "Succeeded")
    temporal.described[CHARGE] = NOT_FOUND
    assert await recovery.run() == 0
    assert temporal.log == []


async def test_what_is_due_is_in_the_input_of_the_resumed_workflow(
    store: Store, factory: TransactionFactory, temporal: Temporal, recovery: WorkflowRecovery
) -> None:
    row = await factory.capture()
    await record(store, row, "Failed", version=4, announce_version=4, parent_due=True)
    temporal.described[CAPTURE] = WorkflowExecutionStatus.TERMINATED
    assert await recovery.run() == 1
    (start,) = temporal.starts
    assert (start.announce_version, start.parent_due) == (4, True)


@pytest.mark.parametrize(
    ("changes", "due"),
    [
        ({}, DUE_VOID),
        ({"captured_by": "p1"}, None),
        ({"captured_by": "p1", "captured": True}, None),
        ({"cancelling": False}, None),
    ],
    ids=["under way", "beside a capture", "of a captured preauth", "none"],
)
async def test_a_void_under_way_is_due(
    store: Store,
    factory: TransactionFactory,
    temporal: Temporal,
    recovery: WorkflowRecovery,
    changes: dict[str, Any],
    due: str | None,
) -> None:
    row = await factory.preauth()
    await record(store, row, "Succeeded", changes={"cancelling": True} | changes)
    temporal.described[PREAUTH] = NOT_FOUND
    assert await recovery.run() == (due is not None)
    stored = await store.transactions.get("demo", PREAUTH)
    assert stored is not None
    assert stored.due_steps == due
    if due is not None:
        (start,) = temporal.starts
        assert isinstance(start.resume, PreauthState)
        assert start.resume.void_open


async def test_what_the_parent_knows_is_not_due_any_more(
    store: Store, factory: TransactionFactory, temporal: Temporal, recovery: WorkflowRecovery
) -> None:
    await record(store, await factory.capture(), "Failed", parent_due=True)
    await store.transactions.remove_due_parent("demo", CAPTURE)
    temporal.described[CAPTURE] = NOT_FOUND
    assert await recovery.run() == 0


# --- running, but behind --------------------------------------------------------------------


async def test_a_running_workflow_behind_its_row_merges_it(
    store: Store, factory: TransactionFactory, temporal: Temporal, recovery: WorkflowRecovery
) -> None:
    row = await factory.charge()
    state = await record(store, row, "Succeeded", version=5, announce_version=5)
    temporal.queried[CHARGE] = state.model_copy(update={"version": 3})
    before = count("behind")
    assert await recovery.run() == 1
    assert temporal.log == [("query", CHARGE), ("look_up", (CHARGE, None))]
    assert count("behind") == before + 1
    # A receiver of notifications may be down for days: it is not asked at each run.
    assert await recovery.run() == 0
    assert temporal.calls_of("query") == [CHARGE]


@pytest.mark.parametrize("known", [5, 6])
async def test_a_running_workflow_that_has_its_row_s_state_is_left_alone(
    store: Store,
    factory: TransactionFactory,
    temporal: Temporal,
    recovery: WorkflowRecovery,
    known: int,
) -> None:
    row = await factory.charge()
    state = await record(store, row, "Succeeded", version=5, announce_version=5)
    temporal.queried[CHARGE] = state.model_copy(update={"version": known})
    assert await recovery.run() == 0
    assert temporal.calls_of("look_up") == []


DELIVERED_AT = datetime(2026, 1, 15, tzinfo=UTC)


async def test_a_result_that_the_workflow_holds_to_be_reported_is_reported_to_the_parent(
    store: Store, factory: TransactionFactory, temporal: Temporal, recovery: WorkflowRecovery
) -> None:
    state = await record(store, await factory.capture(), "Succeeded", version=2, parent_due=True)
    temporal.queried[CAPTURE] = state
    assert await recovery.run() == 0
    (result,) = temporal.calls_of("close_reservation")
    assert (result.by, result.booked) == (CAPTURE, True)
    stored = await store.transactions.get("demo", CAPTURE)
    assert stored is not None
    assert not stored.parent_due
    assert await recovery.run() == 0
    assert len(temporal.calls_of("close_reservation")) == 1


@pytest.mark.parametrize(
    ("delivery", "announced_again", "still_due"),
    [
        (Delivery(state=DeliveryState.DELIVERING), False, True),
        (Delivery(state=DeliveryState.UNDELIVERED), False, True),
        (Delivery(announced=5, delivered_at=DELIVERED_AT), False, False),
        (Delivery(announced=4, delivered_at=DELIVERED_AT), True, True),
        # What it started from counts as announced: the caller should have been answered.
        (Delivery(announced=5), True, True),
    ],
    ids=["delivering", "given up", "delivered", "delivered before", "never announced"],
)
async def test_a_due_announcement_that_no_delivery_works_on_is_requested(
    store: Store,
    factory: TransactionFactory,
    temporal: Temporal,
    recovery: WorkflowRecovery,
    delivery: Delivery,
    announced_again: bool,
    still_due: bool,
) -> None:
    row = await factory.charge()
    temporal.queried[CHARGE] = await record(store, row, "Succeeded", version=5, announce_version=5)
    temporal.deliveries[CHARGE] = delivery
    await recovery.run()
    assert bool(temporal.calls_of("redeliver")) == announced_again
    after = await store.transactions.get("demo", CHARGE)
    assert after is not None
    assert (after.announce_version is not None) == still_due


@pytest.mark.parametrize(
    "failure",
    [
        WorkflowQueryFailedError("no such query"),
        RPCTimeoutOrCancelledError("timed out"),
    ],
    ids=["query fails", "no worker answers"],
)
async def test_a_workflow_that_does_not_answer_is_not_taken_for_behind(
    store: Store,
    factory: TransactionFactory,
    temporal: Temporal,
    recovery: WorkflowRecovery,
    failure: Exception,
) -> None:
    await record(store, await factory.charge(), "Succeeded", version=5, announce_version=5)
    temporal.queried[CHARGE] = failure
    assert await recovery.run() == 0
    assert temporal.calls_of("look_up") == []


# --- failures -------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [DENIED, ValueError("unreadable"), LookupError("unknown PSP")])
async def test_one_row_does_not_keep_the_others_from_being_recovered(
    store: Store,
    factory: TransactionFactory,
    temporal: Temporal,
    recovery: WorkflowRecovery,
    fault: Exception,
) -> None:
    await record(store, await factory.charge(), "Pending")
    await record(store, await factory.preauth(), "Pending")
    temporal.described = {CHARGE: fault, PREAUTH: NOT_FOUND}
    failures = worker_metrics.SWEEP_FAILURES.labels("recovery")
    before = failures._value.get()
    assert await recovery.run() == 1
    assert temporal.calls_of("look_up") == [(PREAUTH, None)]
    assert failures._value.get() == before + 1


async def test_an_outage_of_temporal_ends_the_run(
    store: Store, factory: TransactionFactory, temporal: Temporal, recovery: WorkflowRecovery
) -> None:
    await record(store, await factory.charge(), "Pending")
    temporal.described[CHARGE] = UNAVAILABLE
    with pytest.raises(RPCError):
        await recovery.run()
    temporal.described[CHARGE] = NOT_FOUND
    assert await recovery.run() == 1


# --- never started --------------------------------------------------------------------------


async def test_a_transaction_that_never_started_is_left_to_the_recovery_of_orphans(
    store: Store, factory: TransactionFactory, temporal: Temporal
) -> None:
    await factory.charge()
    orphans = OrphanRecovery(store, temporal)
    assert await orphans.start_unstarted(timedelta(seconds=-1)) == 1
    (start,) = temporal.calls_of("ensure_started")
    assert (start.resume, start.announce_version, start.parent_due) == (None, None, False)


async def test_an_outcome_that_no_caller_received_is_announced_by_the_recovery_of_orphans(
    store: Store, factory: TransactionFactory, temporal: Temporal
) -> None:
    await record(store, await factory.charge(), "Succeeded")
    orphans = OrphanRecovery(store, temporal)
    assert await orphans.announce_unanswered(timedelta(seconds=-1)) == 1
    assert await orphans.announce_unanswered(timedelta(seconds=-1)) == 0
    assert len(temporal.calls_of("redeliver")) == 1
