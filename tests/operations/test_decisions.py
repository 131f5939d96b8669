"""What people decide, and what waits for them."""

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
from tests.operations.conftest import Books, FakeGateway
from tests.store.test_decisions import stray
from workflows.messages import ResolveReply
from workflows.state import Refusal

FAILED = DecisionRequest("failed", "ada", "the bank says so")


async def test_a_decision_is_audited_with_its_outcome(
    store: Store, books: Books, gateway: FakeGateway
) -> None:
    row = await books.unknown()
    gateway.reply = ResolveReply(status=PaymentTransactionStatus.Failed, version=5)
    done = await decisions.resolve(store, gateway, row, FAILED)
    assert gateway.asked == [("resolve failed", row.transaction_id)]
    assert (done.status_before, done.status_after, done.refusal) == ("Pending", "Failed", None)
    (audit,) = await store.decisions("demo", row.transaction_id)
    assert (audit.outcome, audit.decided_by, audit.reason) == ("done", "ada", "the bank says so")
    assert (audit.status_before, audit.status_after) == ("Pending", "Failed")


async def test_a_refusal_is_audited(store: Store, books: Books, gateway: FakeGateway) -> None:
    row = await books.paid()
    refusal = Refusal(
        code=PaymentErrorCode.InvalidPreconditions, message="It is Succeeded already."
    )
    gateway.reply = ResolveReply(
        status=PaymentTransactionStatus.Succeeded, version=1, refusal=refusal
    )
    done = await decisions.resolve(store, gateway, row, FAILED)
    assert done.refusal == "It is Succeeded already."
    (audit,) = await store.decisions("demo")
    assert (audit.outcome, audit.refusal) == ("refused", "It is Succeeded already.")


async def test_without_a_worker_the_audit_says_that_it_was_asked(
    store: Store, books: Books, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*args: object) -> ResolveReply:
        await asyncio.Event().wait()
        raise AssertionError

    row = await books.unknown()
    monkeypatch.setattr(gateway, "resolve", never)
    monkeypatch.setattr(decisions, "PATIENCE", timedelta(milliseconds=10))
    with pytest.raises(OperatorError, match="not known whether it was carried out"):
        await decisions.resolve(store, gateway, row, FAILED)
    (audit,) = await store.decisions("demo")
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
def test_half_a_decision_is_none(
    kind: str, reason: str, psp_id: str | None, amount: Decimal | None
) -> None:
    with pytest.raises(OperatorError):
        decisions.build_request(kind, "ada", reason, psp_id, amount)


async def test_a_stray_is_dealt_with(store: Store, merchant: Merchant, books: Books) -> None:
    await store.add_stray(stray(merchant))
    seen = DecisionRequest("acknowledge", "ada", "paid back by hand")
    done = await decisions.settle_stray(store, merchant, "pay_9", seen)
    assert done.refusal is None
    (audit,) = await store.decisions("demo")
    assert (audit.psp_id, audit.transaction_id, audit.outcome) == ("pay_9", None, "done")
    with pytest.raises(OperatorError, match="was resolved before"):
        await decisions.settle_stray(store, merchant, "pay_9", seen)
    with pytest.raises(OperatorError, match="is unknown"):
        await decisions.settle_stray(store, merchant, "pay_8", seen)


async def test_what_waits_is_shown_with_what_can_be_done(
    store: Store, merchant: Merchant, books: Books
) -> None:
    row = await books.unknown()
    await store.add_stray(stray(merchant))
    found = await attention.waiting(store, None, 10)
    assert [one.id for one in found] == [row.transaction_id, "pay_9"]
    transaction, movement = found
    assert transaction.lines == tuple(read_state(row.kind, row.snapshot).attention_lines)
    assert any(f"resolve {row.transaction_id} succeeded" in c for c in transaction.commands)
    assert any("resolve --stray pay_9 --merchant demo" in c for c in movement.commands)
    shown = attention.screen(found)
    assert shown.index(row.transaction_id) < shown.index("pay_9")
    assert attention.screen([]) == "Nothing waits for a person."
    assert await attention.waiting(store, "nobody", 10) == []


async def test_a_scan_sets_the_marks_of_rows_older_than_them(store: Store, books: Books) -> None:
    row = await books.unknown()
    await books.book.refund()
    await store.set_attention(row, needed=False)
    seen: list[int] = []
    assert await attention.scan(store, 4, lambda done, total: seen.append(done)) == 1
    assert seen == [4]
    assert [found.transaction_id for found in await store.needing_attention()] == [
        row.transaction_id
    ]
    assert await attention.scan(store, 4, lambda done, total: None) == 0
