"""Test `integrator heal` on a running stack with rows as earlier versions left them.

Its stack is its own: rows are written directly, and workflows are deleted.
"""

import asyncio
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from integrator.contract.enums import PaymentErrorCode
from integrator.crypto.keys import KeyRing
from integrator.psp.types import Approved, Declined, Fact, FactKind
from integrator.settings import Settings
from integrator.store import Store, TransactionRow
from integrator.transactions.workflow_inputs import build_record, read_state
from tests.e2e.stack.environment import CARD, Environment, open_environment, outcome, wait_until
from tests.e2e.stack.test_operators import Operator
from tests.support.stack import Stack, running_stack
from workflows.messages import workflow_id
from workflows.state import (
    AnyState,
    Evidence,
    EvidenceKind,
    PaymentState,
    TransactionKind,
)

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    env = {
        "SANDBOX_SETTLE_SECONDS": "1",
        "INTEGRATOR_SYNC_BUDGET_SECONDS": "2",
        # Reconciliation would find some of the leftovers, too.
        "INTEGRATOR_RECONCILE_EVERY_SECONDS": "86400",
    }
    with running_stack(tmp_path_factory.mktemp("healing"), env) as stack:
        yield stack


@pytest.fixture(scope="module")
def environment(stack: Stack) -> Iterator[Environment]:
    with open_environment(stack) as environment:
        environment.sign_up(CARD)
        yield environment


@pytest.fixture(scope="module", autouse=True)
def _start_background() -> None:
    """Disable the background scenarios: this file uses its own stack."""


class Leftovers:
    """Writes what earlier versions left into the stack's database and its Temporal."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._stack = environment.stack

    def set_columns(self, id: str | None, **columns: str | datetime | None) -> None:
        """Set columns of a transaction's row, or of all."""
        values = {
            name: f"{value:%Y-%m-%d %H:%M:%S.%f}" if isinstance(value, datetime) else value
            for name, value in columns.items()
        }
        assignments = ", ".join(f"{name} = :{name}" for name in values)
        statement = f"UPDATE transactions SET {assignments}"  # noqa: S608 - names of columns in this file
        where = " WHERE transaction_id = :id" if id else ""
        file = self._stack.data_dir / "integrator.db"
        with closing(sqlite3.connect(file, timeout=20)) as connection:
            assert connection.execute(statement + where, {**values, "id": id}).rowcount
            connection.commit()

    def age_all(self, **columns: datetime) -> None:
        """Let the last change of every transaction be an hour ago, and what `columns` names."""
        self.set_columns(None, updated_at=hours_ago(1), **columns)

    def record(self, id: str, state: AnyState, row: TransactionRow) -> None:
        """Write a state as the next version of the row."""
        state.version = row.version + 1
        record = build_record(row.merchant_id, state, state.model_dump_json())

        async def write() -> bool:
            async with self._store() as store:
                return await store.transactions.record(record)

        assert asyncio.run(write()), id

    def read(self, id: str) -> tuple[TransactionRow, AnyState]:
        """Return a transaction's row and state."""

        async def get() -> TransactionRow | None:
            async with self._store() as store:
                return await store.transactions.get("demo", id)

        row = asyncio.run(get())
        assert row is not None
        return row, read_state(row.kind, row.snapshot)

    def delete_workflow(self, id: str) -> None:
        """Delete a payment's workflow, and wait until it is gone."""
        asyncio.run(_delete(self._stack.run["temporal"], id))

    def _store(self) -> Store:
        settings = Settings(data_dir=self._stack.data_dir)
        return Store(settings.resolved_database_url, KeyRing.from_settings(settings))


async def _delete(address: str, id: str) -> None:
    client = await Client.connect(address)
    name = workflow_id("demo", TransactionKind.PAYMENT, id)
    await client.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(
            namespace="default", workflow_execution=WorkflowExecution(workflow_id=name)
        )
    )
    for _ in range(400):
        try:
            await client.get_workflow_handle(name).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return
            raise
        await asyncio.sleep(0.05)
    pytest.fail(f"{name} still exists")


@pytest.fixture(scope="module")
def leftovers(environment: Environment) -> Leftovers:
    return Leftovers(environment)


def hours_ago(hours: int) -> datetime:
    return datetime.now(UTC) - timedelta(hours=hours)


def evidence(kind: EvidenceKind, at: datetime | None = None) -> Evidence:
    return Evidence(kind=kind, source="no create", at=at or datetime.now(UTC))


def lost_announcement(environment: Environment, leftovers: Leftovers) -> str:
    """Leave a payment whose workflow was deleted before it announced the success."""
    id: str = environment.paid("10.00")["transactionId"]
    wait_until(lambda: leftovers.read(id)[0].told_at is not None, "the response's record")
    _, state = leftovers.read(id)
    leftovers.delete_workflow(id)
    leftovers.set_columns(id, told_at=state.last_updated - timedelta(minutes=1))
    return id


def failed_unsent(environment: Environment, leftovers: Leftovers, *, paid: bool) -> str:
    """Leave a payment that is Failed as never sent; with `paid` its money was taken."""
    if paid:
        id: str = environment.paid("11.00")["transactionId"]
    else:
        body = environment.billwerk.payment(environment.agreements[CARD], "11.50")
        _set_fault(environment, {"kind": "drop", "when": "before", "operations": ["charge"]})
        assert outcome(environment.billwerk.post("Payment", body)) == "Pending"
        id = body["transactionId"]
    wait_until(lambda: leftovers.read(id)[0].told_at is not None, "the response's record")
    leftovers.delete_workflow(id)
    _clear_faults(environment)
    row, state = leftovers.read(id)
    fresh = PaymentState(
        transaction_id=id,
        external_id=state.external_id,
        role=state.role,
        currency=state.currency,
        requested_amount=state.requested_amount,
        last_updated=state.last_updated,
    )
    declined = Declined(
        code=PaymentErrorCode.InternalError,
        message="The request was never confirmed and nothing was sent to the PSP.",
    )
    fresh.apply(declined, evidence(EvidenceKind.NOT_SENT, state.last_updated))
    leftovers.record(id, fresh, row)
    leftovers.set_columns(
        id,
        send_mark=None,
        announce_version=None,
        psp_transaction_id=None,
        told_at=datetime.now(UTC),
    )
    return id


def hidden_chargeback(environment: Environment, leftovers: Leftovers) -> str:
    """Leave a payment whose row has a chargeback that its workflow lacks, as after a reset."""
    id: str = environment.paid("12.00")["transactionId"]
    _set_fault(environment, {"kind": "drop_webhook"})
    environment.psp.charge_back(id, 500)
    _clear_faults(environment)
    (chargeback,) = [one for one in environment.psp.ledger(id) if one.kind == "chargeback"]
    row, state = leftovers.read(id)
    fact = Fact(kind=FactKind.CHARGED_BACK, id=chargeback.psp_id, amount=chargeback.amount)
    state.apply(
        Approved(psp_id=state.psp_transaction_id, facts=(fact,)),
        evidence(EvidenceKind.NOTIFICATION),
    )
    leftovers.record(id, state, row)
    return id


def uninformed_payment(environment: Environment, leftovers: Leftovers) -> tuple[str, str]:
    """Leave a refunded payment whose refund still counts as under way; return both ids."""
    id: str = environment.paid("13.00")["transactionId"]
    refund = environment.billwerk.refund(id, "3.00")
    assert outcome(environment.billwerk.post("Refund", refund)) == "Succeeded"
    wait_until(
        lambda: leftovers.read(id)[1].model_dump()["refunds"] != {},
        "the refund at the payment",
    )
    leftovers.delete_workflow(id)
    row, state = leftovers.read(id)
    assert isinstance(state, PaymentState)
    state.refunds.clear()
    state.reservations[refund["transactionId"]] = row.requested_amount
    leftovers.record(id, state, row)
    leftovers.set_columns(id, announce_version=None)
    return id, str(refund["transactionId"])


def forgotten_key(environment: Environment, leftovers: Leftovers) -> str:
    """Leave a payment that never reached the PSP, which remembers keys for 24 hours."""
    body = environment.billwerk.payment(environment.agreements[CARD], "14.00")
    _set_fault(environment, {"kind": "drop", "when": "before", "operations": ["charge"]})
    assert outcome(environment.billwerk.post("Payment", body)) == "Pending"
    id: str = body["transactionId"]
    leftovers.set_columns(id, created_at=hours_ago(25))
    wait_until(lambda: leftovers.read(id)[0].needs_attention, "the end of the key's window")
    _clear_faults(environment)
    return id


def _set_fault(environment: Environment, fault: dict[str, Any]) -> None:
    faults = f"{environment.stack.run['sandbox_psp']}/_control/faults"
    httpx.post(faults, json=fault).raise_for_status()


def _clear_faults(environment: Environment) -> None:
    faults = f"{environment.stack.run['sandbox_psp']}/_control/faults"
    httpx.delete(faults).raise_for_status()


def counts(report: dict[str, Any], what: str) -> dict[str, int]:
    """Return the counts of a report that are not zero."""
    return {kind: found[what] for kind, found in report["kinds"].items() if found[what]}


def test_leftovers_are_healed_once_without_doubled_webhooks(
    environment: Environment, leftovers: Leftovers, stack: Stack
) -> None:
    operator, billwerk = Operator(stack), environment.billwerk
    unannounced = lost_announcement(environment, leftovers)
    unsent = failed_unsent(environment, leftovers, paid=False)
    contradicted = failed_unsent(environment, leftovers, paid=True)
    charged_back = hidden_chargeback(environment, leftovers)
    refunded, refund = uninformed_payment(environment, leftovers)
    unknown = forgotten_key(environment, leftovers)
    ids = (unannounced, unsent, contradicted, charged_back, refunded, unknown)
    leftovers.age_all(checked_at=hours_ago(1))
    before = {id: len(billwerk.webhooks_of(id)) for id in ids}
    expected = {
        "announcement_lost": 1,
        "failure_unproven": 2,
        "outcome_unknown": 1,
        "parent_uninformed": 1,
        "state_behind": 1,
    }

    def received(of: Iterable[str]) -> dict[str, int]:
        return {id: len(billwerk.webhooks_of(id)) - before[id] for id in of}

    dry = operator.run_json("heal", code=1)
    assert (dry["apply"], counts(dry, "found")) == (False, expected)
    assert not any(received(ids).values())
    shown = {
        example["id"]: kind for kind, found in dry["kinds"].items() for example in found["examples"]
    }
    assert shown == {
        unannounced: "announcement_lost",
        unsent: "failure_unproven",
        contradicted: "failure_unproven",
        unknown: "outcome_unknown",
        refund: "parent_uninformed",
        charged_back: "state_behind",
    }

    done = operator.run_json("heal", "--apply", "--wait", "40", code=1)
    assert counts(done, "healed") == expected
    assert counts(done, "left") == {"psp_contradicts": 1}
    assert done["failed"] == {}
    sent = {unannounced: 1, charged_back: 1, unknown: 1, unsent: 0, contradicted: 0}
    for id, count in sent.items():
        billwerk.wait_for_webhook(id, before[id] + count, seconds=20)
    assert received(sent) == sent
    assert billwerk.get("Payment", charged_back).json()["chargebacks"] != []
    assert billwerk.get("Payment", refunded).json()["refundedAmount"] == 3
    assert billwerk.get("Payment", refunded).json()["refundableAmount"] == 10
    for id in (unsent, contradicted):
        assert outcome(billwerk.get("Payment", id)) == "InternalError"
    assert outcome(billwerk.get("Payment", unknown)) == "PSPConnectionTimeout"
    assert environment.psp.kinds(contradicted) == ["charge"]
    assert environment.psp.kinds(unsent) == environment.psp.kinds(unknown) == []

    # The correction of the payment may be announced, or is learned from its refund.
    sent[refunded] = received([refunded])[refunded]
    assert sent[refunded] <= 1
    leftovers.age_all()
    again = operator.run_json("heal", "--apply", code=1)
    assert counts(again, "found") == {"psp_contradicts": 1}
    (command,) = [
        command
        for command in again["kinds"]["psp_contradicts"]["examples"][0]["commands"]
        if " resolve " in command
    ]
    assert f"integrator resolve {contradicted} acknowledge" in command
    reason = ("--reason", "refunded at the PSP", "--by", "ada", "--yes")
    operator.run("resolve", contradicted, "acknowledge", *reason)
    wait_until(lambda: not leftovers.read(contradicted)[0].needs_attention, "the decision")
    leftovers.age_all()
    assert "Nothing is left behind." in operator.run("heal", "--apply")
    assert received(sent) == sent
