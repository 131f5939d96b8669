"""Test operators' decisions and the list of what needs attention."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest

from integrator.admin.errors import OperatorError
from integrator.contract.enums import PaymentErrorCode, PaymentTransactionStatus
from integrator.operations import attention, decisions
from integrator.operations.decisions import DecisionRequest
from integrator.store import Merchant, Store
from integrator.transactions.workflow_inputs import read_state
from tests.integration.integrator.operations.conftest import (
    FakeTransactionClient,
    TransactionScenarios,
)
from tests.integration.integrator.store.test_decisions import unmatched_movement
from workflows.messages import ResolveReply
from workflows.state import Refusal

FAILED = DecisionRequest("failed", "ada", "the bank says so")


async def test_a_decision_is_audited_with_its_outcome(
    store: Store, scenarios: TransactionScenarios, transaction_client: FakeTransactionClient
) -> None:
    row = await scenarios.undecided()
    transaction_client.reply = ResolveReply(status=PaymentTransactionStatus.Failed, version=5)
    result = await decisions.resolve(store, transaction_client, row, FAILED)
    assert transaction_client.calls == [("resolve failed", row.transaction_id)]
    assert (result.status_before, result.status_after, result.refusal) == (
        "Pending",
        "Failed",
        None,
    )
    (audit,) = await store.decisions.list_newest("demo", row.transaction_id)
    assert (audit.outcome, audit.decided_by, audit.reason) == ("done", "ada", "the bank says so")
    assert (audit.status_before, audit.status_after) == ("Pending", "Failed")


async def test_a_refusal_is_audited(
    store: Store, scenarios: TransactionScenarios, transaction_client: FakeTransactionClient
) -> None:
    row = await scenarios.paid()
    refusal = Refusal(
        code=PaymentErrorCode.InvalidPreconditions, message="It is Succeeded already."
    )
    transaction_client.reply = ResolveReply(
        status=PaymentTransactionStatus.Succeeded, version=1, refusal=refusal
    )
    result = await decisions.resolve(store, transaction_client, row, FAILED)
    assert result.refusal == "It is Succeeded already."
    (audit,) = await store.decisions.list_newest("demo")
    assert (audit.outcome, audit.refusal) == ("refused", "It is Succeeded already.")


async def test_without_a_worker_the_audit_outcome_is_asked(
    store: Store,
    scenarios: TransactionScenarios,
    transaction_client: FakeTransactionClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(*args: object) -> ResolveReply:
        await asyncio.Event().wait()
        raise AssertionError

    row = await scenarios.undecided()
    monkeypatch.setattr(transaction_client, "resolve", never)
    monkeypatch.setattr(decisions, "TIMEOUT", timedelta(milliseconds=10))
    with pytest.raises(OperatorError, match="not known whether the decision was applied"):
        await decisions.resolve(store, transaction_client, row, FAILED)
    (audit,) = await store.decisions.list_newest("demo")
    assert (audit.outcome, audit.status_after) == ("asked", None)


@pytest.mark.parametrize(
    ("kind", "reason", "psp_id", "amount"),
    [
        ("failed", " ", None, None),
        ("succeeded", "seen", None, None),
        ("succeeded", "seen", "ch_1", None),
        ("failed", "seen", "ch_1", Decimal(1)),
    ],
)
def test_an_incomplete_decision_is_refused(
    kind: str, reason: str, psp_id: str | None, amount: Decimal | None
) -> None:
    with pytest.raises(OperatorError):
        decisions.build_request(kind, "ada", reason, psp_id, amount)


async def test_an_unmatched_movement_is_resolved(
    store: Store, merchant: Merchant, scenarios: TransactionScenarios
) -> None:
    await store.unmatched_movements.add(unmatched_movement(merchant))
    seen = DecisionRequest("acknowledge", "ada", "paid back by hand")
    result = await decisions.resolve_unmatched(store, merchant, "pay_9", seen)
    assert result.refusal is None
    (audit,) = await store.decisions.list_newest("demo")
    assert (audit.psp_id, audit.transaction_id, audit.outcome) == ("pay_9", None, "done")
    with pytest.raises(OperatorError, match="was resolved before"):
        await decisions.resolve_unmatched(store, merchant, "pay_9", seen)
    with pytest.raises(OperatorError, match="is unknown"):
        await decisions.resolve_unmatched(store, merchant, "pay_8", seen)


async def test_attention_items_are_rendered_with_their_commands(
    store: Store, merchant: Merchant, scenarios: TransactionScenarios
) -> None:
    row = await scenarios.undecided()
    await store.unmatched_movements.add(unmatched_movement(merchant))
    items = await attention.list_items(store, None, 10)
    assert [item.id for item in items] == [row.transaction_id, "pay_9"]
    transaction, movement = items
    assert transaction.lines == tuple(read_state(row.kind, row.snapshot).attention_lines)
    assert any(f"resolve {row.transaction_id} succeeded" in c for c in transaction.commands)
    assert any("resolve --stray pay_9 --merchant demo" in c for c in movement.commands)
    text = attention.render(items)
    assert text.index(row.transaction_id) < text.index("pay_9")
    assert attention.render([]) == "Nothing needs attention."
    assert await attention.list_items(store, "unknown", 10) == []


async def test_a_scan_corrects_attention_marks(
    store: Store, scenarios: TransactionScenarios
) -> None:
    row = await scenarios.undecided()
    await scenarios.factory.refund()
    await store.transactions.set_attention(row, needed=False)
    seen: list[int] = []
    assert await attention.correct_marks(store, 4, lambda done, total: seen.append(done)) == 1
    assert seen == [4]
    assert [
        row.transaction_id for row in await store.transaction_search.list_needing_attention()
    ] == [row.transaction_id]
    assert await attention.correct_marks(store, 4, lambda done, total: None) == 0
