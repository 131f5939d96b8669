"""Asking the PSP now."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from integrator.admin.errors import OperatorError
from integrator.operations import reconciliation
from integrator.operations.reconciliation import Compared
from integrator.operations.time_parsing import moment
from integrator.psp.types import Approved, Fact, FactKind
from integrator.store import Store
from integrator.transactions.workflow_inputs import read_state
from tests.operations.conftest import PROOF, Books, FakeGateway
from workflows.messages import ReconcileReport
from workflows.state import AnyState

SOON = timedelta(seconds=5)


async def test_news_of_the_psp_is_waited_for(
    store: Store, books: Books, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliation, "_LOOK_EVERY_S", 0.01)
    row = await books.unknown()
    fact = Fact(kind=FactKind.PAID, id="ch_1", amount=row.requested_amount)

    def succeed(state: AnyState) -> None:
        state.apply(Approved(psp_id="ch_1", facts=(fact,)), PROOF)

    gateway.run(row, read_state(row.kind, row.snapshot))
    gateway.on_look_up = succeed
    found = await reconciliation.look_up(gateway, row, SOON)
    assert (found.status_before, found.status_after, found.changed) == (
        "Pending",
        "Succeeded",
        True,
    )
    assert "Pending before, Succeeded now" in reconciliation.told(found)


async def test_no_news_is_said(
    books: Books, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliation, "_LOOK_EVERY_S", 0.01)
    row = await books.paid()
    found = await reconciliation.look_up(gateway, row, timedelta(milliseconds=20))
    assert not found.changed
    assert "as before" in reconciliation.told(found)


async def test_what_has_not_begun_cannot_be_looked_up(books: Books, gateway: FakeGateway) -> None:
    with pytest.raises(OperatorError, match="has not begun"):
        await reconciliation.look_up(gateway, await books.book.charge(), SOON)


def test_runs_are_counted_together() -> None:
    done = Compared()
    done.add(ReconcileReport(movements={"matched": 2}))
    done.add(ReconcileReport(movements={"matched": 1}, sample={"compared": 1}))
    assert done.movements == Counter(matched=3)
    assert not done.found_problems
    assert "movements: 3 matched" in reconciliation.counted(done)
    done.add(ReconcileReport(movements={"stray": 1}))
    assert done.found_problems
    done = Compared(problems={"sample_final": "away"})
    assert done.found_problems
    assert "sample_final stopped early: away" in reconciliation.counted(done)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-01-15", datetime(2026, 1, 15, tzinfo=UTC)),
        ("2026-01-15T10:30", datetime(2026, 1, 15, 10, 30, tzinfo=UTC)),
        ("2026-01-15T10:30+02:00", datetime(2026, 1, 15, 8, 30, tzinfo=UTC)),
    ],
)
def test_times_are_read_as_people_type_them(text: str, meant: datetime) -> None:
    assert moment(text) == meant


@pytest.mark.parametrize(("text", "ago"), [("30m", 30 * 60), ("2h", 7200), ("7d", 7 * 86400)])
def test_times_ago_are_read(text: str, ago: int) -> None:
    meant = datetime.now(UTC) - timedelta(seconds=ago)
    assert abs(moment(text) - meant) < timedelta(seconds=5)


@pytest.mark.parametrize("text", ["", "yesterday", "2h ago", "10:30", "2026-13-01"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        moment(text)
