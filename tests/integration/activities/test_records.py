"""Test the activity that records snapshots."""

from datetime import UTC, datetime

from activities.records import RecordActivities
from integrator.psp.types import Approved, Fact, FactKind, RedirectRequired
from integrator.store import Store, TransactionRow
from integrator.transactions.workflow_inputs import read_state
from tests.integration.activities.conftest import NOW, PRIVATE, TransactionFactory
from workflows.messages import Record
from workflows.state import AnyState, Evidence, EvidenceKind, PreauthState

PROOF = Evidence(kind=EvidenceKind.ANSWER, source="authorize", at=NOW)


def record(state: AnyState, *, activate: bool = False) -> Record:
    return Record(
        merchant_id="demo",
        kind=state.kind,
        transaction_id=state.transaction_id,
        snapshot=state.model_dump_json(),
        activate_agreement=activate,
    )


def approved(row: TransactionRow) -> AnyState:
    state = read_state(row.kind, row.snapshot)
    fact = Fact(kind=FactKind.AUTHORIZED, id="auth_1", amount=row.requested_amount)
    state.apply(Approved(psp_id="auth_1", facts=(fact,)), PROOF)
    return state


async def load(store: Store, row: TransactionRow) -> TransactionRow:
    found = await store.transactions.get(row.merchant_id, row.transaction_id)
    assert found is not None
    return found


async def test_a_snapshot_is_stored_with_its_ids_and_evidence(
    store: Store, factory: TransactionFactory
) -> None:
    row = await factory.preauth()
    state = approved(row)
    assert not (await RecordActivities(store).record(record(state))).refused
    found = await load(store, row)
    assert (found.status, found.version) == ("Succeeded", state.version)
    assert found.psp_transaction_id == "auth_1"
    assert read_state(found.kind, found.snapshot) == state
    assert Evidence.model_validate_json(found.evidence or "") == PROOF


async def test_the_session_id_is_stored(store: Store, factory: TransactionFactory) -> None:
    row = await factory.preauth()
    state = read_state(row.kind, row.snapshot)
    ends = datetime(2026, 1, 16, tzinfo=UTC)
    state.apply(RedirectRequired(psp_id="cs_1", expires_at=ends), PROOF)
    await RecordActivities(store).record(record(state))
    found = await load(store, row)
    assert (found.psp_session_id, found.evidence) == ("cs_1", None)


async def test_a_repeated_record_is_written_again(
    store: Store, factory: TransactionFactory
) -> None:
    state = approved(await factory.preauth())
    records = RecordActivities(store)
    assert not (await records.record(record(state))).refused
    assert not (await records.record(record(state))).refused


async def test_an_older_version_does_not_overwrite_a_newer_one(
    store: Store, factory: TransactionFactory
) -> None:
    row = await factory.preauth()
    older = read_state(row.kind, row.snapshot)
    older.flag_attention("look")
    newer = older.model_copy(deep=True)
    newer.flag_attention("look again")
    records = RecordActivities(store)
    assert not (await records.record(record(newer))).refused
    assert (await records.record(record(older))).refused
    assert read_state(row.kind, (await load(store, row)).snapshot) == newer


async def test_a_state_that_needs_attention_is_marked(
    store: Store, factory: TransactionFactory
) -> None:
    row = await factory.preauth()
    assert not row.needs_attention
    state = approved(row)
    state.flag_attention("look")
    await RecordActivities(store).record(record(state))
    assert (await load(store, row)).needs_attention
    state.attention = None
    state.version += 1
    await RecordActivities(store).record(record(state))
    assert not (await load(store, row)).needs_attention


async def test_the_record_of_a_success_makes_its_agreement_usable(
    store: Store, factory: TransactionFactory
) -> None:
    row = await factory.preauth()
    await store.transactions.save_private(row.merchant_id, row.transaction_id, instrument=PRIVATE)
    await RecordActivities(store).record(record(approved(row), activate=True))
    agreement = await store.agreements.get("demo", row.agreement_id or "")
    assert agreement is not None
    assert (agreement.usable, agreement.instrument) == (True, PRIVATE)


async def test_other_records_do_not_change_the_agreement(
    store: Store, factory: TransactionFactory
) -> None:
    row = await factory.preauth()
    await RecordActivities(store).record(record(approved(row)))
    agreement = await store.agreements.get("demo", row.agreement_id or "")
    assert agreement is not None
    assert not agreement.usable


async def test_the_snapshot_is_stored_unchanged(store: Store, factory: TransactionFactory) -> None:
    row = await factory.preauth()
    written = record(approved(row))
    await RecordActivities(store).record(written)
    assert (await load(store, row)).snapshot == written.snapshot
    assert isinstance(read_state("preauth", written.snapshot), PreauthState)
