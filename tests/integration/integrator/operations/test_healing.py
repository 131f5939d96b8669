"""Test that what earlier versions left behind is found, healed once, and shown to operators."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from integrator.admin.errors import OperatorError
from integrator.contract.enums import PaymentErrorCode
from integrator.crypto.keys import DecryptionError
from integrator.operations.healing import diagnosis
from integrator.operations.healing import examiner as examiner_module
from integrator.operations.healing import run as healing
from integrator.operations.healing.findings import HEALED, FindingKind
from integrator.operations.healing.run import HealingReport, RunOptions
from integrator.psp.types import Approved, Declined, Fact, FactKind, Outcome, Pending
from integrator.store import Store, TransactionRow
from integrator.store.models import NOT_SENT, DeliveryRow, TransactionFilter
from integrator.transactions.transaction_client import WorkflowCondition
from integrator.transactions.workflow_inputs import build_record, read_state
from tests.integration.activities.conftest import FakePsp, TransactionFactory
from tests.integration.integrator.operations.conftest import (
    FakeTransactionClient,
    reload,
    workflow_not_found,
)
from workflows.messages import (
    AnyInput,
    Delivery,
    DeliveryState,
    PaymentInput,
    PreauthInput,
    ReservationResult,
    workflow_id,
)
from workflows.state import (
    AnyState,
    BookedRefund,
    Decision,
    DecisionKind,
    Evidence,
    EvidenceKind,
    PaymentState,
    PreauthState,
    RefundState,
    TransactionKind,
)

OPTIONS = RunOptions(apply=True, rate=100, wait=timedelta(0), examples=5)
HOUR_AGO = datetime.now(UTC) - timedelta(hours=1)
NOT_ANSWERED = "The PSP has not answered for as long as it remembers our key."
NEVER_CONFIRMED = Declined(
    code=PaymentErrorCode.InternalError,
    message="The request was never confirmed and nothing was sent to the PSP.",
)
Work = Callable[[AnyState], object]


@dataclass
class Workflows(FakeTransactionClient):
    """Fake workflows that are open while they are in `states`; a signal reopens a closed one.

    `on_signal` is what the reopened or signalled workflow does to its state.
    """

    store: Store = field(default_factory=lambda: pytest.fail("no store"))
    attempts: dict[str, int] = field(default_factory=dict)
    silent: bool = False
    refusing: bool = False
    results: list[ReservationResult] = field(default_factory=list)
    on_signal: Work = lambda state: None
    ends_at_once: bool = False

    async def describe(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str
    ) -> WorkflowCondition:
        id = workflow_id(merchant_id, kind, transaction_id)
        if self.outage:
            raise self.outage
        if id not in self.states:
            raise workflow_not_found()
        return WorkflowCondition(running=True, task_attempts=self.attempts.get(id, 0))

    async def state(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str, timeout: timedelta
    ) -> AnyState:
        if self.silent:
            raise RPCError("timeout", RPCStatusCode.CANCELLED, b"")
        if self.refusing:
            raise WorkflowQueryFailedError("nondeterminism")
        return await super().state(merchant_id, kind, transaction_id, timeout)

    async def look_up(self, start: AnyInput, psp_id: str | None = None) -> None:
        self._record_call("look_up", start)
        await self._work(start)

    async def redeliver(self, start: AnyInput) -> None:
        self._record_call("redeliver", start)
        await self._work(start)

    async def close_reservation(
        self, start: PreauthInput | PaymentInput, result: ReservationResult
    ) -> None:
        self._record_call("close_reservation", start)
        self.results.append(result)
        await self._work(start)

    async def _work(self, start: AnyInput) -> None:
        row = await self.store.transactions.get(start.merchant_id, start.transaction_id)
        assert row is not None
        assert start.resume is not None
        key = workflow_id(row.merchant_id, TransactionKind(row.kind), row.transaction_id)
        state = read_state(row.kind, row.snapshot)
        self.on_signal(state)
        self.states[key] = state
        if state.version > row.version:
            await write(self.store, row, state)
        if self.ends_at_once:
            del self.states[key]


async def write(store: Store, row: TransactionRow, state: AnyState) -> TransactionRow:
    """Record a state as a workflow does."""
    snapshot = state.model_dump_json()
    assert await store.transactions.record(build_record(row.merchant_id, state, snapshot))
    return await reload(store, row)


async def age(store: Store, row: TransactionRow, **columns: datetime | str) -> TransactionRow:
    """Set columns of a row as an earlier version left them; it was last changed an hour ago."""
    values: dict[str, Any] = {"updated_at": HOUR_AGO, "checked_at": HOUR_AGO, **columns}
    texts = {
        name: f"{value:%Y-%m-%d %H:%M:%S.%f}" if isinstance(value, datetime) else value
        for name, value in values.items()
    }
    assignments = ", ".join(f"{name} = :{name}" for name in texts)
    statement = text(f"UPDATE transactions SET {assignments} WHERE transaction_id = :id")  # noqa: S608 - names of columns in this file
    async with store.transactions._session.write_transaction() as connection:
        await connection.execute(statement, {**texts, "id": row.transaction_id})
    return await reload(store, row)


def proof(kind: EvidenceKind = EvidenceKind.ANSWER, at: datetime = HOUR_AGO) -> Evidence:
    return Evidence(kind=kind, source="charge", at=at)


def paid(row: TransactionRow, kind: FactKind = FactKind.PAID) -> Approved:
    return Approved(psp_id="ch_1", facts=(Fact(kind=kind, id="ch_1", amount=row.requested_amount),))


@dataclass
class Leftovers:
    """Rows and workflows as earlier versions left them, and the command on them."""

    store: Store
    factory: TransactionFactory
    workflows: Workflows

    async def row(
        self,
        row: TransactionRow,
        outcome: Outcome,
        evidence: Evidence | None = None,
        **columns: datetime | str,
    ) -> TransactionRow:
        """Record an outcome of a transaction that nothing has changed for an hour."""
        state = read_state(row.kind, row.snapshot)
        state.apply(outcome, evidence or proof())
        return await age(self.store, await write(self.store, row, state), **columns)

    def run_workflow(self, row: TransactionRow, state: AnyState | None = None) -> str:
        """Let the transaction's workflow run; return its id."""
        self.workflows.add_workflow(row, state or read_state(row.kind, row.snapshot))
        return workflow_id(row.merchant_id, TransactionKind(row.kind), row.transaction_id)

    async def heal(self, **changes: Any) -> HealingReport:
        """Run the command with --apply, unless changed."""
        work = await healing.prepare(self.store, self.workflows, replace(OPTIONS, **changes))
        return await work.run(lambda done, total: None)

    async def healed_once(self, kind: FindingKind) -> HealingReport:
        """Heal what is found, which is one of `kind`; a second run finds nothing and does nothing.

        Before that, a dry run finds the same and changes nothing.
        """
        dry = await self.heal(apply=False)
        assert (dry.found, dry.left) == (Counter({kind: 1}), Counter({kind: 1}))
        assert self.workflows.calls == []
        report = await self.heal()
        assert (report.found, report.healed) == (Counter({kind: 1}), Counter({kind: 1}))
        calls = list(self.workflows.calls)
        assert calls != []
        again = await self.heal()
        assert again.found == Counter()
        assert "Nothing is left behind." in healing.render(again)
        assert self.workflows.calls == calls
        return report


@pytest.fixture
def transaction_client(store: Store) -> Workflows:
    return Workflows(store=store)


@pytest.fixture
def leftovers(
    store: Store, factory: TransactionFactory, psp: FakePsp, transaction_client: Workflows
) -> Leftovers:
    return Leftovers(store, factory, transaction_client)


def commands(report: HealingReport, kind: FindingKind) -> str:
    return "\n".join(command for one in report.examples[kind] for command in one.commands)


# --- 1: workflows whose tasks fail -----------------------------------------------------------


async def test_a_workflow_whose_task_fails_again_and_again_is_shown(leftovers: Leftovers) -> None:
    row = await leftovers.row(await leftovers.factory.charge(), Pending(psp_id="ch_1"))
    id = leftovers.run_workflow(row)
    leftovers.workflows.attempts[id] = 9
    report = await leftovers.heal()
    assert report.left == Counter({FindingKind.TASKS_FAIL: 1})
    assert leftovers.workflows.calls == []
    assert f"temporal workflow terminate --workflow-id {id}" in commands(
        report, FindingKind.TASKS_FAIL
    )
    assert "its task has failed 8 times" in healing.render(report)


async def test_a_restart_of_the_worker_is_no_failing_task(leftovers: Leftovers) -> None:
    row = await leftovers.row(await leftovers.factory.charge(), Pending(psp_id="ch_1"))
    leftovers.workflows.attempts[leftovers.run_workflow(row)] = 2
    assert not (await leftovers.heal()).found


async def test_a_workflow_that_its_code_cannot_replay_is_shown(leftovers: Leftovers) -> None:
    leftovers.run_workflow(
        await leftovers.row(await leftovers.factory.charge(), Pending(psp_id="ch_1"))
    )
    leftovers.workflows.refusing = True
    assert (await leftovers.heal()).left == Counter({FindingKind.TASKS_FAIL: 1})


async def test_one_silent_workflow_is_shown_and_many_mean_no_worker(
    leftovers: Leftovers, monkeypatch: pytest.MonkeyPatch
) -> None:
    leftovers.run_workflow(
        await leftovers.row(await leftovers.factory.charge(), Pending(psp_id="ch_1"))
    )
    leftovers.workflows.silent = True
    assert (await leftovers.heal()).left == Counter({FindingKind.TASKS_FAIL: 1})
    monkeypatch.setattr("integrator.operations.healing.workflow_view.SILENT_LIMIT", 1)
    with pytest.raises(OperatorError, match="No worker answers"):
        await leftovers.heal()


# --- 2: open transactions without a workflow -------------------------------------------------


async def test_an_undecided_transaction_without_a_workflow_is_reopened(
    leftovers: Leftovers,
) -> None:
    await leftovers.row(await leftovers.factory.charge(), Pending(psp_id="ch_1"))
    report = await leftovers.healed_once(FindingKind.WORKFLOW_MISSING)
    assert [call for call, _ in leftovers.workflows.calls] == ["look_up"]
    assert report.left == Counter()


async def test_a_transaction_that_never_started_is_reopened_after_its_grace_period(
    leftovers: Leftovers, store: Store
) -> None:
    row = await leftovers.factory.charge()
    young = datetime.now(UTC) - examiner_module.UNSTARTED_FOR + timedelta(minutes=1)
    await age(store, row, updated_at=young)
    assert not (await leftovers.heal()).found
    await age(store, row)
    await leftovers.healed_once(FindingKind.WORKFLOW_MISSING)


async def test_a_preauth_that_expires_without_a_workflow_is_reopened(leftovers: Leftovers) -> None:
    row = await leftovers.factory.preauth()
    ends = datetime.now(UTC) + timedelta(days=7)
    fact = Fact(kind=FactKind.AUTHORIZED, id="a_1", amount=row.requested_amount, expires_at=ends)
    await leftovers.row(row, Approved(psp_id="a_1", facts=(fact,)))
    await leftovers.healed_once(FindingKind.WORKFLOW_MISSING)


async def test_a_void_of_an_earlier_version_without_a_workflow_is_reopened(
    leftovers: Leftovers, store: Store
) -> None:
    row = await leftovers.factory.preauth()
    state = read_state(row.kind, row.snapshot)
    assert isinstance(state, PreauthState)
    state.apply(paid(row, FactKind.AUTHORIZED), proof())
    state.begin_void()
    await write(store, row, state)
    # Earlier versions did not write what is due.
    async with store.transactions._session.write_transaction() as connection:
        await connection.execute(text("UPDATE transactions SET due_steps = NULL"))
    await age(store, row)
    await leftovers.healed_once(FindingKind.WORKFLOW_MISSING)


async def test_a_paid_payment_without_a_workflow_needs_none(leftovers: Leftovers) -> None:
    row = await leftovers.factory.charge()
    await leftovers.row(row, paid(row))
    assert not (await leftovers.heal()).found


async def test_a_change_that_may_be_under_way_is_left_alone(
    leftovers: Leftovers, store: Store
) -> None:
    row = await leftovers.row(await leftovers.factory.charge(), Pending(psp_id="ch_1"))
    await age(store, row, updated_at=datetime.now(UTC))
    assert not (await leftovers.heal()).found


# --- 3: unknown outcomes ---------------------------------------------------------------------


async def unknown(leftovers: Leftovers, line: str | None = NOT_ANSWERED) -> TransactionRow:
    row = await leftovers.factory.charge()
    state = read_state(row.kind, row.snapshot)
    state.apply(Pending(psp_id=None), proof())
    if line is not None:
        state.flag_attention(line)
    row = await age(leftovers.store, await write(leftovers.store, row, state), created_at=HOUR_AGO)
    leftovers.run_workflow(row)
    return row


async def test_an_unknown_outcome_that_the_psp_proves_absent_fails(
    leftovers: Leftovers, store: Store
) -> None:
    row = await unknown(leftovers)
    leftovers.workflows.on_signal = lambda state: state.apply(
        NEVER_CONFIRMED, proof(EvidenceKind.READ)
    )
    await leftovers.healed_once(FindingKind.OUTCOME_UNKNOWN)
    assert (await reload(store, row)).status == "Failed"


async def test_an_unknown_outcome_that_the_psp_cannot_decide_is_shown_with_decisions(
    leftovers: Leftovers,
) -> None:
    row = await unknown(leftovers, "The workflow was reopened before the PSP's answer was known.")
    for _ in range(2):
        report = await leftovers.heal()
        assert report.left == Counter({FindingKind.OUTCOME_UNKNOWN: 1})
        assert report.healed == Counter()
    shown = commands(report, FindingKind.OUTCOME_UNKNOWN)
    assert f"integrator resolve {row.transaction_id} failed" in shown
    assert f"--psp-id ID --amount {row.requested_amount}" in shown


async def test_without_a_line_of_attention_the_age_of_the_key_counts(
    leftovers: Leftovers, store: Store, psp: FakePsp
) -> None:
    row = await unknown(leftovers, line=None)
    window = timedelta(seconds=psp.capabilities.idempotency.window_seconds)
    await age(store, row, created_at=datetime.now(UTC) - window + timedelta(minutes=1))
    assert not (await leftovers.heal()).found
    await age(store, row, created_at=datetime.now(UTC) - window - timedelta(minutes=1))
    assert (await leftovers.heal()).found == Counter({FindingKind.OUTCOME_UNKNOWN: 1})


async def test_what_the_psp_decides_later_is_not_unknown(
    leftovers: Leftovers, store: Store
) -> None:
    row = await leftovers.row(await leftovers.factory.charge(), Pending(psp_id="ch_1"))
    leftovers.run_workflow(await age(store, row, created_at=HOUR_AGO - timedelta(days=5)))
    assert not (await leftovers.heal()).found


# --- 4: failures without proof ---------------------------------------------------------------

FAILURES = [
    (NEVER_CONFIRMED, EvidenceKind.NOT_SENT),
    (Declined(code=PaymentErrorCode.InvalidConfiguration), EvidenceKind.NOT_SENT),
    (Declined(code=PaymentErrorCode.InvalidPreconditions), EvidenceKind.NOT_SENT),
    (Declined(code=PaymentErrorCode.LoginError), EvidenceKind.ANSWER),
]


@pytest.mark.parametrize(("declined", "kind"), FAILURES)
async def test_a_failure_without_proof_is_compared_once(
    leftovers: Leftovers, store: Store, declined: Declined, kind: EvidenceKind
) -> None:
    row = await leftovers.row(await leftovers.factory.charge(), declined, proof(kind))
    leftovers.workflows.ends_at_once = True
    await leftovers.healed_once(FindingKind.FAILURE_UNPROVEN)
    assert [call for call, _ in leftovers.workflows.calls] == ["look_up"]
    assert (await reload(store, row)).status == "Failed"


async def test_money_at_the_psp_is_shown_and_the_failure_stays(
    leftovers: Leftovers, store: Store
) -> None:
    row = await leftovers.row(
        await leftovers.factory.charge(), NEVER_CONFIRMED, proof(EvidenceKind.NOT_SENT)
    )
    leftovers.workflows.on_signal = lambda state: state.apply(paid(row), proof(EvidenceKind.READ))
    leftovers.workflows.ends_at_once = True
    report = await leftovers.heal()
    assert report.healed == Counter({FindingKind.FAILURE_UNPROVEN: 1})
    assert report.left == Counter({FindingKind.PSP_CONTRADICTS: 1})
    after = await reload(store, row)
    assert (after.status, after.needs_attention) == ("Failed", True)
    assert f"integrator resolve {row.transaction_id} acknowledge" in commands(
        report, FindingKind.PSP_CONTRADICTS
    )
    await age(store, after)
    assert (await leftovers.heal()).left == Counter({FindingKind.PSP_CONTRADICTS: 1})
    state = read_state(after.kind, after.snapshot)
    decision = Decision(kind=DecisionKind.ACKNOWLEDGE, by="ada", reason="refunded", at=HOUR_AGO)
    state.apply_decision(decision)
    await age(store, await write(store, after, state))
    assert not (await leftovers.heal()).found
    assert leftovers.workflows.calls == [("look_up", row.transaction_id)]


async def test_a_look_up_that_the_psp_has_not_answered_is_left(leftovers: Leftovers) -> None:
    await leftovers.row(
        await leftovers.factory.charge(), NEVER_CONFIRMED, proof(EvidenceKind.NOT_SENT)
    )
    report = await leftovers.heal()
    assert report.left == Counter({FindingKind.FAILURE_UNPROVEN: 1})
    assert "the look-up at the PSP is under way" in healing.render(report)
    assert not (await leftovers.heal()).found


async def test_proven_failures_are_not_compared(leftovers: Leftovers, store: Store) -> None:
    row = await leftovers.row(
        await leftovers.factory.charge(), NEVER_CONFIRMED, proof(EvidenceKind.NOT_SENT)
    )
    await age(store, row, send_mark=NOT_SENT)
    assert not (await leftovers.heal()).found


async def test_an_ordinary_decline_is_not_compared(leftovers: Leftovers) -> None:
    await leftovers.row(await leftovers.factory.charge(), Declined(code=PaymentErrorCode.Rejected))
    assert not (await leftovers.heal()).found


async def test_a_refusal_by_the_parent_transaction_is_proven(leftovers: Leftovers) -> None:
    refused = Declined(code=PaymentErrorCode.InvalidAmount)
    refund = await leftovers.factory.refund()
    await leftovers.row(refund, refused, proof(EvidenceKind.NOT_SENT))
    assert FindingKind.FAILURE_UNPROVEN not in (await leftovers.heal(apply=False)).found


async def test_a_psp_that_cannot_be_asked_is_left_to_an_operator(
    leftovers: Leftovers, psp: FakePsp
) -> None:
    psp.readable = False
    await leftovers.row(
        await leftovers.factory.charge(), NEVER_CONFIRMED, proof(EvidenceKind.NOT_SENT)
    )
    report = await leftovers.heal()
    assert report.left == Counter({FindingKind.FAILURE_UNPROVEN: 1})
    assert report.failed == Counter({"ValueError": 1})
    assert leftovers.workflows.calls == []


# --- 5: workflows behind their rows ----------------------------------------------------------


async def test_a_workflow_behind_its_row_is_asked_to_look_up(
    leftovers: Leftovers, store: Store
) -> None:
    row = await leftovers.row(await leftovers.factory.charge(), Pending(psp_id="ch_1"))
    older = read_state(row.kind, row.snapshot)
    state = older.model_copy(deep=True)
    state.apply(paid(row), proof())
    row = await age(store, await write(store, row, state))
    leftovers.run_workflow(row, older)
    report = await leftovers.healed_once(FindingKind.STATE_BEHIND)
    assert [call for call, _ in leftovers.workflows.calls] == ["look_up"]
    assert report.left == Counter()


async def test_another_content_of_the_same_version_is_shown(leftovers: Leftovers) -> None:
    row = await leftovers.factory.charge()
    row = await leftovers.row(row, paid(row))
    other = read_state(row.kind, row.snapshot)
    other.facts.clear()
    id = leftovers.run_workflow(row, other)
    report = await leftovers.heal()
    assert report.left == Counter({FindingKind.STATE_DIFFERS: 1})
    assert f"temporal workflow reset --workflow-id {id}" in commands(
        report, FindingKind.STATE_DIFFERS
    )
    assert leftovers.workflows.calls == []


async def test_attempts_and_newer_workflows_are_no_difference(leftovers: Leftovers) -> None:
    row = await leftovers.factory.charge()
    row = await leftovers.row(row, paid(row))
    state = read_state(row.kind, row.snapshot)
    assert isinstance(state, PaymentState)
    state.check_attempt("refund", HOUR_AGO)
    leftovers.run_workflow(row, state)
    assert not (await leftovers.heal()).found
    state.flag_attention("newer")
    assert not (await leftovers.heal()).found


# --- 6: announcements ------------------------------------------------------------------------

MINUTE = timedelta(minutes=1)


async def test_a_change_after_the_response_without_delivery_is_announced(
    leftovers: Leftovers, store: Store
) -> None:
    row = await leftovers.factory.charge()
    row = await leftovers.row(row, paid(row), told_at=HOUR_AGO - MINUTE)
    report = await leftovers.healed_once(FindingKind.ANNOUNCEMENT_LOST)
    assert [call for call, _ in leftovers.workflows.calls] == ["redeliver"]
    assert (await reload(store, row)).announce_version == row.version
    assert report.left == Counter()


async def test_an_announced_or_returned_change_is_not_announced_again(
    leftovers: Leftovers, store: Store
) -> None:
    row = await leftovers.factory.charge()
    row = await leftovers.row(row, paid(row), told_at=HOUR_AGO + MINUTE)
    assert not (await leftovers.heal()).found
    await age(store, row, told_at=HOUR_AGO - MINUTE)
    await store.deliveries.record(delivered(row, HOUR_AGO + MINUTE))
    assert not (await leftovers.heal()).found


@pytest.mark.parametrize(
    "delivery",
    [
        Delivery(state=DeliveryState.DELIVERING),
        Delivery(state=DeliveryState.UNDELIVERED),
        Delivery(to_announce=1),
        Delivery(to_announce=1, announced=1, delivered_at=HOUR_AGO + MINUTE),
    ],
)
async def test_a_running_workflow_announces_by_itself(
    leftovers: Leftovers, delivery: Delivery
) -> None:
    row = await leftovers.factory.charge()
    row = await leftovers.row(row, paid(row), told_at=HOUR_AGO - MINUTE)
    leftovers.workflows.deliveries[leftovers.run_workflow(row)] = delivery
    assert not (await leftovers.heal()).found


async def test_a_running_workflow_that_announces_nothing_is_asked_to(leftovers: Leftovers) -> None:
    row = await leftovers.factory.charge()
    leftovers.run_workflow(await leftovers.row(row, paid(row), told_at=HOUR_AGO - MINUTE))
    await leftovers.healed_once(FindingKind.ANNOUNCEMENT_LOST)
    assert [call for call, _ in leftovers.workflows.calls] == ["redeliver"]


async def test_a_refund_of_a_payment_is_not_announced_by_the_payment(
    leftovers: Leftovers, store: Store
) -> None:
    row = await leftovers.factory.charge()
    state = read_state(row.kind, row.snapshot)
    assert isinstance(state, PaymentState)
    state.apply(paid(row), proof())
    refund = BookedRefund(amount=Decimal(1), psp_id="re_1", booked_on=None)
    state.close_reservation("refund", refund, HOUR_AGO + 2 * MINUTE)
    await age(store, await write(store, row, state), told_at=HOUR_AGO + MINUTE)
    assert not (await leftovers.heal()).found


@pytest.mark.parametrize("was_delivered", [True, False])
async def test_a_change_behind_the_row_is_announced_unless_it_was(
    leftovers: Leftovers, store: Store, was_delivered: bool
) -> None:
    row = await leftovers.factory.charge()
    older = read_state(row.kind, row.snapshot)
    row = await leftovers.row(row, paid(row), told_at=HOUR_AGO - MINUTE)
    if was_delivered:
        await store.deliveries.record(delivered(row, HOUR_AGO + MINUTE))
    leftovers.run_workflow(row, older)
    await leftovers.healed_once(FindingKind.STATE_BEHIND)
    assert [call for call, _ in leftovers.workflows.calls] == ["look_up"]
    due = (await reload(store, row)).announce_version
    assert due == (None if was_delivered else row.version)


@pytest.mark.parametrize(
    ("answered_at", "first_delivery"),
    [(HOUR_AGO - timedelta(seconds=1), HOUR_AGO - MINUTE), (HOUR_AGO - MINUTE, HOUR_AGO + MINUTE)],
)
async def test_what_the_data_do_not_decide_is_shown(
    leftovers: Leftovers, store: Store, answered_at: datetime, first_delivery: datetime
) -> None:
    row = await leftovers.factory.charge()
    row = await leftovers.row(row, paid(row), told_at=answered_at)
    other = replace(delivered(row, first_delivery), transaction_id="20260115-another")
    await store.deliveries.record(other)
    report = await leftovers.heal()
    assert report.left == Counter({FindingKind.ANNOUNCEMENT_UNCLEAR: 1})
    assert leftovers.workflows.calls == []
    assert f"integrator webhook redeliver {row.transaction_id}" in commands(
        report, FindingKind.ANNOUNCEMENT_UNCLEAR
    )


def delivered(row: TransactionRow, at: datetime) -> DeliveryRow:
    return DeliveryRow(
        merchant_id=row.merchant_id,
        transaction_id=row.transaction_id,
        version=row.version,
        state="delivered",
        attempts=1,
        began_at=at,
        last_attempt_at=at,
        delivered_at=at,
        last_status=200,
        last_error=None,
    )


# --- 7: parents without the result -----------------------------------------------------------


async def refund_with_parent(
    leftovers: Leftovers, outcome: Callable[[TransactionRow], Outcome]
) -> tuple[TransactionRow, TransactionRow]:
    """Create a decided refund, and its payment with a reservation for it."""
    refund = await leftovers.factory.refund()
    assert refund.related_id is not None
    payment = await leftovers.store.transactions.get(refund.merchant_id, refund.related_id)
    assert payment is not None
    state = read_state(payment.kind, payment.snapshot)
    assert isinstance(state, PaymentState)
    state.apply(paid(payment), proof())
    state.reservations[refund.transaction_id] = refund.requested_amount
    state.version += 1
    payment = await age(leftovers.store, await write(leftovers.store, payment, state))
    leftovers.run_workflow(payment)
    # Its own parent is of no interest here.
    leftovers.workflows.on_signal = lambda state: settle(leftovers, state)
    return await leftovers.row(refund, outcome(refund)), payment


def settle(leftovers: Leftovers, state: AnyState) -> None:
    """Close the reservation as the parent's workflow does."""
    if not leftovers.workflows.results:
        return
    result = leftovers.workflows.results[-1]
    assert result.at is not None
    if isinstance(state, PaymentState):
        state.close_reservation(result.by, result.refund, datetime.now(UTC))
    elif isinstance(state, PreauthState):
        state.close_reservation(result.by, result.booked)


async def forget_preauth(leftovers: Leftovers, of: TransactionRow) -> None:
    """Let the preauth of a capture be settled, so that nothing is found there."""
    assert of.related_id is not None
    preauth = await leftovers.store.transactions.get(of.merchant_id, of.related_id)
    assert preauth is not None
    state = read_state(preauth.kind, preauth.snapshot)
    assert isinstance(state, PreauthState)
    state.apply(paid(preauth, FactKind.AUTHORIZED), proof())
    state.captured_by, state.captured = of.transaction_id, True
    await age(leftovers.store, await write(leftovers.store, preauth, state))


OUTCOMES: list[Callable[[TransactionRow], Outcome]] = [
    lambda row: Declined(code=PaymentErrorCode.Rejected),
    lambda row: paid(row, FactKind.REFUNDED),
]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=["failed", "succeeded"])
async def test_a_payment_is_informed_of_its_refund(
    leftovers: Leftovers, store: Store, outcome: Callable[[TransactionRow], Outcome]
) -> None:
    refund, payment = await refund_with_parent(leftovers, outcome)
    await forget_preauth(leftovers, payment)
    await leftovers.healed_once(FindingKind.PARENT_UNINFORMED)
    assert leftovers.workflows.calls == [("close_reservation", payment.transaction_id)]
    after = await reload(store, payment)
    state, child = (
        read_state(after.kind, after.snapshot),
        read_state(refund.kind, refund.snapshot),
    )
    assert isinstance(state, PaymentState)
    assert isinstance(child, RefundState)
    assert state.reservations == {}
    assert state.refunded == child.refunded


async def test_a_preauth_that_lost_its_capture_is_uninformed(leftovers: Leftovers) -> None:
    """A backup of Temporal was restored before the preauth had recorded even the attempt."""
    capture = await leftovers.factory.capture()
    child = read_state(capture.kind, capture.snapshot)
    assert capture.related_id is not None
    preauth = await leftovers.store.transactions.get(capture.merchant_id, capture.related_id)
    assert preauth is not None
    parent = read_state(preauth.kind, preauth.snapshot)
    parent.apply(paid(preauth, FactKind.AUTHORIZED), proof())
    failed = child.model_copy(deep=True)
    failed.apply(Declined(code=PaymentErrorCode.Rejected), proof())
    assert not diagnosis.is_parent_uninformed(failed, parent)
    child.apply(paid(capture), proof())
    assert diagnosis.is_parent_uninformed(child, parent)


@pytest.mark.parametrize(
    ("outcome", "captured"),
    [(lambda row: Declined(code=PaymentErrorCode.Rejected), False), (paid, True)],
    ids=["failed", "succeeded"],
)
async def test_a_preauth_is_informed_of_its_capture(
    leftovers: Leftovers,
    store: Store,
    outcome: Callable[[TransactionRow], Outcome],
    captured: bool,
) -> None:
    capture = await leftovers.factory.capture()
    assert capture.related_id is not None
    preauth = await store.transactions.get(capture.merchant_id, capture.related_id)
    assert preauth is not None
    state = read_state(preauth.kind, preauth.snapshot)
    state.apply(paid(preauth, FactKind.AUTHORIZED), proof())
    assert state.reserve(capture.transaction_id, Decimal(1), preauth.currency) is None  # type: ignore[union-attr]
    preauth = await age(store, await write(store, preauth, state))
    leftovers.run_workflow(preauth)
    await leftovers.row(capture, outcome(capture))
    leftovers.workflows.on_signal = lambda state: settle(leftovers, state)
    await leftovers.healed_once(FindingKind.PARENT_UNINFORMED)
    after = await reload(store, preauth)
    healed = read_state(after.kind, after.snapshot)
    assert isinstance(healed, PreauthState)
    assert healed.captured is captured
    assert (healed.captured_by == capture.transaction_id) is captured


# --- the run ---------------------------------------------------------------------------------


async def test_one_bad_row_stops_no_other(
    leftovers: Leftovers, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = await leftovers.row(await leftovers.factory.charge(), Pending(psp_id="ch_1"))
    unreadable = await leftovers.row(await leftovers.factory.preauth(), Pending(psp_id="a_1"))
    good = await leftovers.factory.preauth("e04_request")
    await leftovers.row(good, Pending(psp_id="a_2"))
    get = store.transactions.get

    async def get_or_fail(merchant_id: str, transaction_id: str) -> TransactionRow | None:
        if transaction_id == unreadable.transaction_id:
            raise DecryptionError("no key")
        return await get(merchant_id, transaction_id)

    monkeypatch.setattr(store.transactions, "get", get_or_fail)
    look_up = leftovers.workflows.look_up

    async def look_up_or_fail(start: AnyInput, psp_id: str | None = None) -> None:
        if start.transaction_id == bad.transaction_id:
            raise RPCError("too large", RPCStatusCode.INVALID_ARGUMENT, b"")
        await look_up(start, psp_id)

    monkeypatch.setattr(leftovers.workflows, "look_up", look_up_or_fail)
    report = await leftovers.heal()
    assert report.examined == 3
    assert report.healed == Counter({FindingKind.WORKFLOW_MISSING: 1})
    assert report.left == Counter({FindingKind.WORKFLOW_MISSING: 1, FindingKind.UNREADABLE: 1})
    assert report.failed == Counter({"RPCError": 1})
    assert leftovers.workflows.calls == [("look_up", good.transaction_id)]


async def test_an_outage_of_temporal_ends_the_run(leftovers: Leftovers) -> None:
    await leftovers.row(await leftovers.factory.charge(), Pending(psp_id="ch_1"))
    leftovers.workflows.outage = RPCError("down", RPCStatusCode.UNAVAILABLE, b"")
    with pytest.raises(RPCError):
        await leftovers.heal()


async def test_pages_and_conditions_limit_what_is_examined(
    leftovers: Leftovers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(healing, "PAGE_SIZE", 1)
    for row in (await leftovers.factory.charge(), await leftovers.factory.preauth()):
        await leftovers.row(row, Pending(psp_id="ch_1"))
    report = await leftovers.heal(apply=False, examples=1)
    assert (report.examined, report.left[FindingKind.WORKFLOW_MISSING]) == (2, 2)
    assert len(report.examples[FindingKind.WORKFLOW_MISSING]) == 1
    other = TransactionFilter(merchant_id="another")
    assert (await leftovers.heal(conditions=other)).examined == 0
    later = TransactionFilter(since=report.reached)
    assert (await leftovers.heal(apply=False, conditions=later)).examined == 1


async def test_the_document_has_every_kind(leftovers: Leftovers) -> None:
    await leftovers.row(await leftovers.factory.charge(), Pending(psp_id="ch_1"))
    report = await leftovers.heal(apply=False)
    document = healing.to_document(report)
    assert set(document["kinds"]) == {kind.value for kind in FindingKind}
    missing = document["kinds"]["workflow_missing"]
    assert (missing["found"], missing["healed"], missing["left"]) == (1, 0, 1)
    text_report = healing.render(report)
    assert "1 can be healed by `integrator heal --apply`" in text_report
    assert "workflow_missing: there is work to do and no workflow runs: 1 found" in text_report


def test_every_kind_has_a_title_and_is_healed_or_shown() -> None:
    from integrator.operations.healing.findings import TITLES

    assert set(TITLES) == set(FindingKind) > HEALED
