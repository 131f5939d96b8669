"""Fixtures: a real store with transactions and a fake transaction client."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.service import RPCError, RPCStatusCode

from activities.records import RecordActivities
from integrator.psp.types import Approved, Fact, FactKind, Pending
from integrator.store import Store, TransactionRow
from integrator.transactions.workflow_inputs import read_state
from tests.integration.activities.conftest import (  # noqa: F401 - fixtures
    NOW,
    TransactionFactory,
    empty_database,
    factory,
    merchant,
    psp,
    store,
)
from workflows.messages import AnyInput, Delivery, Record, ResolveReply, workflow_id
from workflows.state import AnyState, Decision, Evidence, EvidenceKind, TransactionKind

PROOF = Evidence(kind=EvidenceKind.ANSWER, source="charge", at=NOW)


def workflow_not_found() -> RPCError:
    return RPCError("no such workflow", RPCStatusCode.NOT_FOUND, b"")


@dataclass
class FakeTransactionClient:
    """Fake workflows by id; `asked` records the calls. An unknown id is not found."""

    states: dict[str, AnyState] = field(default_factory=dict)
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    starts: list[AnyInput] = field(default_factory=list)
    reply: ResolveReply | None = None
    outage: Exception | None = None
    on_look_up: Callable[[AnyState], object] = lambda state: None

    async def state(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str, timeout: timedelta
    ) -> AnyState:
        if self.outage:
            raise self.outage
        try:
            return self.states[workflow_id(merchant_id, kind, transaction_id)]
        except KeyError:
            raise workflow_not_found() from None

    async def delivery(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str, timeout: timedelta
    ) -> Delivery:
        return self.deliveries.get(workflow_id(merchant_id, kind, transaction_id), Delivery())

    async def redeliver(self, start: AnyInput) -> None:
        self._record_call("redeliver", start)

    async def look_up(self, start: AnyInput, psp_id: str | None = None) -> None:
        self._record_call("look_up", start)
        for state in self.states.values():
            self.on_look_up(state)

    async def resolve(self, start: AnyInput, decision: Decision) -> ResolveReply:
        self._record_call(f"resolve {decision.kind}", start)
        assert self.reply is not None
        return self.reply

    def _record_call(self, what: str, start: AnyInput) -> None:
        if self.outage:
            raise self.outage
        self.calls.append((what, start.transaction_id))
        self.starts.append(start)

    def add_workflow(self, row: TransactionRow, state: AnyState) -> None:
        """Add a running workflow of this transaction."""
        self.states[workflow_id(row.merchant_id, TransactionKind(row.kind), row.transaction_id)] = (
            state
        )


@pytest.fixture
def transaction_client() -> FakeTransactionClient:
    return FakeTransactionClient()


async def reload(store: Store, row: TransactionRow) -> TransactionRow:  # noqa: F811
    stored = await store.transactions.get(row.merchant_id, row.transaction_id)
    assert stored is not None
    return stored


@dataclass
class TransactionScenarios:
    """Creates transactions in the states that operators meet."""

    store: Store
    factory: TransactionFactory

    async def paid(self) -> TransactionRow:
        """Create a charge that succeeded."""
        row = await self.factory.charge()
        state = read_state(row.kind, row.snapshot)
        fact = Fact(kind=FactKind.PAID, id="ch_1", amount=row.requested_amount)
        state.apply(Approved(psp_id="ch_1", facts=(fact,)), PROOF)
        return await self.record(row, state)

    async def undecided(self) -> TransactionRow:
        """Create a charge with an unknown outcome that needs attention."""
        row = await self.factory.charge()
        state = read_state(row.kind, row.snapshot)
        state.apply(Pending(psp_id=None), PROOF)
        state.flag_attention("The PSP has not decided for a long time.")
        return await self.record(row, state)

    async def record(self, row: TransactionRow, state: AnyState) -> TransactionRow:
        """Record the state as the workflow's recorder does."""
        await RecordActivities(self.store).record(
            Record(
                merchant_id=row.merchant_id,
                kind=TransactionKind(row.kind),
                transaction_id=row.transaction_id,
                snapshot=state.model_dump_json(),
            )
        )
        return await reload(self.store, row)


@pytest.fixture
def scenarios(store: Store, factory: TransactionFactory, psp: object) -> TransactionScenarios:  # noqa: F811
    return TransactionScenarios(store, factory)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: bytes) -> Path:  # noqa: F811
    """Data folder for commands: a migrated database, no Temporal."""
    import os

    for name in [name for name in os.environ if name.startswith("INTEGRATOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("INTEGRATOR_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("INTEGRATOR_TEMPORAL_ADDRESS", "127.0.0.1:1")
    (tmp_path / "integrator.db").write_bytes(empty_database)
    return tmp_path
