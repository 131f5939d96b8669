"""Test the steps of reconciliation on a real store with a scripted PSP."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.fact_checks import find_vanished
from activities.reconciliation.activities import ReconcileActivities
from activities.reconciliation.movement_comparison import (
    FEW_MOVEMENTS,
    LONGEST_WINDOW,
    MANY_MOVEMENTS,
    SHORTEST_WINDOW,
    WINDOW,
    next_length,
)
from activities.reconciliation.spot_check import SpotCheck
from integrator.contract.enums import PaymentErrorCode
from integrator.psp.errors import (
    CredentialsRejected,
    ProtocolError,
    PspError,
    PspUnavailable,
    RateLimited,
)
from integrator.psp.types import (
    Absent,
    Approved,
    Declined,
    Fact,
    FactKind,
    LookupAnswer,
    Movement,
    MovementKind,
    NotificationEvent,
    Outcome,
    Pending,
)
from integrator.store import Merchant, NotificationRow, RecordUpdate, Store, TransactionRow
from integrator.store.backlog import UNDECIDED_REASONS
from integrator.transactions.workflow_inputs import read_state
from tests.integration.activities.conftest import (
    CAPTURE,
    CHARGE,
    PREAUTH,
    FakePsp,
    FakeTransactionClient,
    TransactionFactory,
    call,
    psp_activities,
)
from workflows.messages import NotificationRead, ReconcileInput, ReserveReply
from workflows.state import Evidence, EvidenceKind, ExternalMovement, MovementStatus, PaymentState

START = ReconcileInput(merchant_id="demo")
UNAVAILABLE = RPCError("connection refused", RPCStatusCode.UNAVAILABLE, b"")
FACTS = {"preauth": FactKind.AUTHORIZED, "payment": FactKind.PAID, "refund": FactKind.REFUNDED}


@pytest.fixture
async def steps(
    store: Store, psp: FakePsp, transaction_client: FakeTransactionClient
) -> AsyncIterator[Any]:
    async with httpx.AsyncClient() as http:
        yield ReconcileActivities(store, http, transaction_client, lag=timedelta(0))


@pytest.fixture(autouse=True)
def _require_account(merchant: Merchant) -> None:
    """Every test needs the merchant's account."""


def approved(row: TransactionRow, psp_id: str, amount: Decimal | None = None) -> Approved:
    amount = row.requested_amount if amount is None else amount
    return Approved(psp_id=psp_id, facts=(Fact(kind=FACTS[row.kind], id=psp_id, amount=amount),))


async def record_outcome(store: Store, row: TransactionRow, outcome: Outcome) -> None:
    """Record the outcome as the transaction's workflow would."""
    state = read_state(row.kind, row.snapshot)
    at = datetime.now(UTC)
    state.apply(outcome, Evidence(kind=EvidenceKind.ANSWER, source="test", at=at))
    await record_state(store, state)


async def record_state(store: Store, state: Any) -> None:
    await store.transactions.record(
        RecordUpdate(
            "demo",
            state.transaction_id,
            status=state.status.name,
            version=state.version,
            snapshot=state.model_dump_json(),
            evidence="{}",
            psp_transaction_id=state.psp_transaction_id,
        )
    )


def movement(
    psp_id: str,
    kind: MovementKind,
    outcome: Outcome,
    *,
    reference: str | None = "dashboard_1",
    parent: str | None = None,
    amount: str = "4.00",
    currency: str = "EUR",
) -> Movement:
    return Movement(
        kind=kind,
        psp_id=psp_id,
        reference=reference,
        parent_psp_id=parent,
        amount=Decimal(amount),
        currency=currency,
        booked_at=datetime.now(UTC),
        outcome=outcome,
    )


def dashboard_refund(outcome: Outcome | None = None, **changes: Any) -> Movement:
    """A refund made in the PSP's dashboard."""
    fact = Fact(
        kind=FactKind.REFUNDED, id="re_9", amount=Decimal("4.00"), booked_on=date(2026, 1, 16)
    )
    outcome = outcome or Approved(psp_id="re_9", facts=(fact,))
    return movement("re_9", MovementKind.REFUND, outcome, **({"parent": "ch_1"} | changes))


def dashboard_capture(**changes: Any) -> Movement:
    """A capture made in the PSP's dashboard."""
    fact = Fact(kind=FactKind.PAID, id="ch_9", amount=Decimal("4.00"))
    outcome = Approved(psp_id="ch_9", facts=(fact,))
    return movement("ch_9", MovementKind.PAYMENT, outcome, **({"parent": "auth_1"} | changes))


class TestEvents:
    async def load(self, store: Store, id: int) -> NotificationRow:
        row = await store.notifications.get(id)
        assert row is not None
        return row

    async def test_a_missed_event_is_imported_and_delivered(
        self,
        store: Store,
        factory: TransactionFactory,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
        steps: Any,
    ) -> None:
        row = await factory.charge()
        event = NotificationEvent(event_id="evt_1", reference=CHARGE, result=approved(row, "ch_1"))
        psp.events = [(b"one", event)]
        report = await steps.repair_events(START)
        assert (report.counts, report.more) == ({"listed": 1, "repaired": 1}, False)
        (signal,) = transaction_client.calls_of("notify")
        stored = await self.load(store, signal.notification_id)
        assert (stored.state, stored.source, stored.raw) == ("signalled", "listed", b"one")
        assert stored.headers is None

    async def test_an_imported_event_is_read_without_a_signature(
        self,
        factory: TransactionFactory,
        store: Store,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
        steps: Any,
    ) -> None:
        row = await factory.charge()
        outcome = approved(row, "ch_1")
        psp.events = [
            (b"one", NotificationEvent(event_id="evt_1", reference=CHARGE, result=outcome))
        ]
        psp.parsed_events = ProtocolError("no signature")
        await steps.repair_events(START)
        (signal,) = transaction_client.calls_of("notify")
        async with httpx.AsyncClient() as http:
            read = await psp_activities(store, http, transaction_client).read_notification(
                NotificationRead(
                    merchant_id="demo",
                    transaction_id=CHARGE,
                    notification_id=signal.notification_id,
                )
            )
        assert (read.outcome, read.fetch) == (outcome, False)
        assert (await self.load(store, signal.notification_id)).state == "applied"

    async def test_an_event_already_included_is_only_stored(
        self,
        store: Store,
        factory: TransactionFactory,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
        steps: Any,
    ) -> None:
        row = await factory.charge()
        await record_outcome(store, row, approved(row, "ch_1"))
        event = NotificationEvent(event_id="evt_1", reference=CHARGE, result=approved(row, "ch_1"))
        psp.events = [(b"one", event)]
        await steps.repair_events(START)
        assert transaction_client.calls_of("notify") == []
        assert (await self.load(store, 1)).state == "known"

    async def test_an_event_without_transaction_is_parked_and_an_irrelevant_one_skipped(
        self, store: Store, psp: FakePsp, steps: Any
    ) -> None:
        psp.events = [
            (b"one", NotificationEvent(event_id="evt_1", psp_ids=("ch_7",))),
            (b"two", NotificationEvent(event_id="evt_2", relevant=False)),
        ]
        await steps.repair_events(START)
        assert (await self.load(store, 1)).state == "parked"
        assert await store.notifications.get(2) is None

    async def test_the_cursor_is_stored_between_pages_and_runs(
        self,
        store: Store,
        merchant: Merchant,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
    ) -> None:
        psp.events = [(b"%d" % i, NotificationEvent(event_id=f"evt_{i}")) for i in range(5)]
        for _ in range(2):
            async with httpx.AsyncClient() as http:
                await ReconcileActivities(store, http, transaction_client).repair_events(START)
        ranges = [cursor for name, cursor in psp.calls if name == "list_events"]
        assert ranges == [None, "2", "4", "5"]
        assert (await store.reconciliation.get_progress(merchant.psp_settings_id)).cursor == "5"
        psp.events.append((b"5", NotificationEvent(event_id="evt_5")))
        async with httpx.AsyncClient() as http:
            report = await ReconcileActivities(store, http, transaction_client).repair_events(START)
        assert report.counts == {"listed": 1, "repaired": 1}

    async def test_concurrent_workers_import_each_event_once(
        self,
        store: Store,
        factory: TransactionFactory,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
        steps: Any,
    ) -> None:
        row = await factory.charge()
        psp.events = [
            (
                b"%d" % i,
                NotificationEvent(
                    event_id=f"evt_{i}", reference=CHARGE, result=approved(row, "ch_1")
                ),
            )
            for i in range(6)
        ]
        await asyncio.gather(*(steps.repair_events(START) for _ in range(3)))
        await steps.repair_events(START)
        signalled = {signal.event_id for signal in transaction_client.calls_of("notify")}
        assert signalled == {f"evt_{i}" for i in range(6)}
        assert await store.notifications.get(7) is None
        assert (await store.reconciliation.get_progress(row.psp_settings_id)).cursor == "6"

    async def test_the_cursor_stays_while_temporal_is_unavailable(
        self,
        store: Store,
        factory: TransactionFactory,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
        steps: Any,
    ) -> None:
        row = await factory.charge()
        event = NotificationEvent(event_id="evt_1", reference=CHARGE, result=approved(row, "ch_1"))
        psp.events = [(b"one", event)]
        transaction_client.failures = [UNAVAILABLE]
        with pytest.raises(RPCError):
            await steps.repair_events(START)
        assert (await store.reconciliation.get_progress(row.psp_settings_id)).cursor is None
        assert (await self.load(store, 1)).state == "stored"
        await steps.repair_events(START)
        assert (await store.reconciliation.get_progress(row.psp_settings_id)).cursor == "1"


class TestAccounts:
    async def test_a_merchant_without_settings_is_skipped(
        self, store: Store, psp: FakePsp, steps: Any
    ) -> None:
        await store.merchants.add("other", "fake")
        for step in (steps.repair_events, steps.sweep_movements, steps.sample_final):
            report = await step(ReconcileInput(merchant_id="other"))
            assert report.counts == {}
        assert psp.calls == []

    async def test_unusable_settings_are_not_retried(self, store: Store, steps: Any) -> None:
        await store.merchants.save_settings("demo", {})
        with pytest.raises(ApplicationError) as raised:
            await steps.repair_events(START)
        assert raised.value.non_retryable

    @pytest.mark.parametrize(
        ("error", "retryable"),
        [
            (PspUnavailable("away"), True),
            (RateLimited("slowly", retry_after=7), True),
            (CredentialsRejected("no"), False),
        ],
    )
    async def test_psp_errors_keep_their_retryability(
        self, psp: FakePsp, steps: Any, error: PspError, retryable: bool
    ) -> None:
        psp.outage = error
        for step in (steps.repair_events, steps.sweep_movements):
            with pytest.raises(ApplicationError) as raised:
                await step(START)
            assert raised.value.non_retryable is not retryable


class TestMovements:
    async def paid(self, factory: TransactionFactory, store: Store) -> TransactionRow:
        row = await factory.charge()
        await record_outcome(store, row, approved(row, "ch_1"))
        return row

    async def held(self, factory: TransactionFactory, store: Store) -> TransactionRow:
        row = await factory.preauth()
        await record_outcome(store, row, approved(row, "auth_1"))
        return row

    async def compare(self, steps: Any) -> dict[str, int]:
        counts: dict[str, int] = (await steps.sweep_movements(START)).counts
        return counts

    async def test_a_matching_movement_needs_nothing(
        self,
        factory: TransactionFactory,
        store: Store,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
        steps: Any,
    ) -> None:
        row = await self.paid(factory, store)
        outcome = approved(row, "ch_1")
        psp.movements = [movement("ch_1", MovementKind.PAYMENT, outcome, reference=CHARGE)]
        assert await self.compare(steps) == {"matched": 1}
        assert transaction_client.starts == []

    async def test_a_span_of_time_is_compared_without_moving_the_progress(
        self,
        factory: TransactionFactory,
        store: Store,
        merchant: Merchant,
        psp: FakePsp,
        steps: Any,
    ) -> None:
        await self.paid(factory, store)
        now = datetime.now(UTC)
        before = await store.reconciliation.get_progress(merchant.psp_settings_id)
        span = START.model_copy(update={"since": now - timedelta(days=3), "until": now})
        report = await steps.sweep_movements(span)
        assert (report.counts, report.more) == ({}, False)
        ranges = [argument for name, argument in psp.calls if name == "list_movements"]
        assert ranges[0][0] == now - timedelta(days=3)
        assert ranges[-1][1] == report.reached <= now
        assert all(first[1] == second[0] for first, second in itertools.pairwise(ranges))
        assert await store.reconciliation.get_progress(merchant.psp_settings_id) == before

    async def test_another_amount_is_looked_up(
        self,
        factory: TransactionFactory,
        store: Store,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
        steps: Any,
    ) -> None:
        row = await self.paid(factory, store)
        outcome = approved(row, "ch_1", Decimal("1.00"))
        psp.movements = [movement("ch_1", MovementKind.PAYMENT, outcome, reference=CHARGE)]
        assert await self.compare(steps) == {"different": 1}
        assert transaction_client.calls_of("look_up") == [(CHARGE, None)]

    async def test_another_outcome_is_looked_up(
        self,
        factory: TransactionFactory,
        store: Store,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
        steps: Any,
    ) -> None:
        row = await factory.charge()
        await record_outcome(store, row, Pending(psp_id="ch_1"))
        outcome = Declined(psp_id="ch_1", code=PaymentErrorCode.Rejected)
        psp.movements = [movement("ch_1", MovementKind.PAYMENT, outcome, reference=None)]
        assert await self.compare(steps) == {"different": 1}
        assert transaction_client.calls_of("look_up") == [(CHARGE, None)]

    async def test_a_second_movement_of_a_transaction_is_looked_up_by_its_own_id(
        self,
        factory: TransactionFactory,
        store: Store,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
        steps: Any,
    ) -> None:
        row = await self.paid(factory, store)
        outcome = approved(row, "ch_2")
        psp.movements = [movement("ch_2", MovementKind.PAYMENT, outcome, reference=CHARGE)]
        assert await self.compare(steps) == {"different": 1}
        assert transaction_client.calls_of("look_up") == [(CHARGE, "ch_2")]

    async def test_a_movement_in_another_currency_stays_unresolved(
        self,
        factory: TransactionFactory,
        store: Store,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
        steps: Any,
    ) -> None:
        row = await self.paid(factory, store)
        outcome = approved(row, "ch_2")
        psp.movements = [
            movement("ch_2", MovementKind.PAYMENT, outcome, reference=CHARGE, currency="DKK")
        ]
        psp.answers = [ProtocolError("another currency")]
        assert await self.compare(steps) == {"waiting": 1}
        assert await self.compare(steps) == {"waiting": 1, "unresolved": 1}
        (unmatched,) = await store.unmatched_movements.list_open_by_account(row.psp_settings_id)
        assert (unmatched.currency, unmatched.owner_id) == ("DKK", CHARGE)
        assert transaction_client.starts == []

    @pytest.mark.parametrize("amount", ["-4.00", "0.00"])
    async def test_an_external_refund_that_returns_nothing_stays_unresolved(
        self,
        factory: TransactionFactory,
        store: Store,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
        steps: Any,
        amount: str,
    ) -> None:
        row = await self.paid(factory, store)
        psp.movements = [dashboard_refund(amount=amount)]
        assert await self.compare(steps) == {"waiting": 1}
        (unmatched,) = await store.unmatched_movements.list_open_by_account(row.psp_settings_id)
        assert (unmatched.amount, unmatched.owner_id) == (Decimal(amount), CHARGE)
        assert transaction_client.starts == []

    async def test_an_external_refund_is_reported_until_the_state_includes_it(
        self,
        factory: TransactionFactory,
        store: Store,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
        steps: Any,
    ) -> None:
        row = await self.paid(factory, store)
        psp.movements = [dashboard_refund()]
        psp.answers = [dashboard_refund().outcome]
        assert await self.compare(steps) == {"to_adopt": 1}
        external_movement = ExternalMovement(
            psp_id="re_9",
            amount=Decimal("4.00"),
            currency="EUR",
            status=MovementStatus.BOOKED,
            booked_on=date(2026, 1, 16),
        )
        assert transaction_client.calls_of("record_external_movement") == [
            (CHARGE, external_movement)
        ]
        (unmatched,) = await store.unmatched_movements.list_open_by_account(row.psp_settings_id)
        assert (unmatched.psp_id, unmatched.owner_id) == ("re_9", CHARGE)

        now = await store.transactions.get("demo", CHARGE)
        assert now is not None
        state = PaymentState.model_validate_json(now.snapshot)
        state.record_external_movement(external_movement, datetime.now(UTC))
        await record_state(store, state)
        assert await self.compare(steps) == {"adopted": 1, "resolved": 1}
        assert await store.unmatched_movements.list_open_by_account(row.psp_settings_id) == []
        assert await self.compare(steps) == {"adopted": 1}
        assert len(transaction_client.calls_of("record_external_movement")) == 1

    async def test_an_external_movements_parked_notification_is_closed(
        self,
        factory: TransactionFactory,
        store: Store,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
        steps: Any,
    ) -> None:
        row = await self.paid(factory, store)
        psp.events = [(b"one", NotificationEvent(event_id="evt_1", psp_ids=("re_9",)))]
        await steps.repair_events(START)
        now = await store.transactions.get("demo", CHARGE)
        assert now is not None
        state = PaymentState.model_validate_json(now.snapshot)
        psp.movements, psp.answers = [dashboard_refund()], [dashboard_refund().outcome]
        await self.compare(steps)
        ((_, external_movement), *_) = transaction_client.calls_of("record_external_movement")
        state.record_external_movement(external_movement, datetime.now(UTC))
        await record_state(store, state)
        await self.compare(steps)
        stored = await store.notifications.get(1)
        assert stored is not None
        assert (stored.state, stored.transaction_id) == ("known", row.transaction_id)

    async def test_a_pending_external_refund_is_followed_to_its_end(
        self,
        factory: TransactionFactory,
        store: Store,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
        steps: Any,
    ) -> None:
        row = await self.paid(factory, store)
        listed = dashboard_refund(Pending(psp_id="re_9"))
        psp.movements = [listed]
        psp.answers = [Pending(psp_id="re_9")]
        await self.compare(steps)
        statuses = [
            external_movement.status
            for _, external_movement in transaction_client.calls_of("record_external_movement")
        ]
        assert set(statuses) == {MovementStatus.OPEN}
        psp.movements = []  # its window has passed
        psp.answers = [dashboard_refund().outcome]
        assert await self.compare(steps) == {"unresolved": 1}
        assert (
            transaction_client.calls_of("record_external_movement")[-1][1].status
            is MovementStatus.BOOKED
        )
        psp.answers = [Declined(psp_id="re_9")]
        assert await self.compare(steps) == {"resolved": 1}
        assert await store.unmatched_movements.list_open_by_account(row.psp_settings_id) == []
        lookup = next(call for name, call in reversed(psp.calls) if name == "fetch_refund")
        assert (lookup.psp_id, lookup.parent_psp_id) == ("re_9", "ch_1")
        assert lookup.created_at == listed.booked_at

    async def test_an_external_capture_is_reported_to_its_preauth(
        self,
        factory: TransactionFactory,
        store: Store,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
        steps: Any,
    ) -> None:
        await self.held(factory, store)
        psp.movements, psp.answers = [dashboard_capture()], [dashboard_capture().outcome]
        assert (await self.compare(steps))["to_adopt"] == 1
        (owner, external_movement), *_ = transaction_client.calls_of("record_external_movement")
        assert (owner, external_movement.psp_id, external_movement.status) == (
            PREAUTH,
            "ch_9",
            MovementStatus.BOOKED,
        )

    async def test_a_movement_with_its_parents_reference_is_not_its_parent(
        self,
        factory: TransactionFactory,
        store: Store,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
        steps: Any,
    ) -> None:
        await self.held(factory, store)
        psp.movements, psp.answers = (
            [dashboard_capture(reference=PREAUTH)],
            [dashboard_capture().outcome],
        )
        assert (await self.compare(steps))["to_adopt"] == 1
        assert transaction_client.calls_of("record_external_movement")[0][0] == PREAUTH

    async def test_an_unmatched_movement_is_stored_and_logged_once(
        self,
        merchant: Merchant,
        store: Store,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
        steps: Any,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        psp.movements = [dashboard_capture(parent=None), dashboard_refund(parent="ch_other")]
        assert await self.compare(steps) == {"stray": 2}
        for _ in range(2):
            assert await self.compare(steps) == {"stray": 2, "unresolved": 2}
        assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
        assert "ch_9" in caplog.text
        assert "dashboard_1" not in caplog.text
        unmatched_movements = await store.unmatched_movements.list_open_by_account(
            merchant.psp_settings_id
        )
        assert {(s.psp_id, s.kind, s.amount, s.owner_id) for s in unmatched_movements} == {
            ("ch_9", "payment", Decimal("4.00"), None),
            ("re_9", "refund", Decimal("4.00"), None),
        }
        assert transaction_client.starts == []
        assert not [name for name, _ in psp.calls if name.startswith("fetch")]

    async def test_a_declined_unmatched_movement_is_not_stored(
        self, merchant: Merchant, store: Store, psp: FakePsp, steps: Any
    ) -> None:
        psp.movements = [movement("ch_8", MovementKind.PAYMENT, Declined(psp_id="ch_8"))]
        assert await self.compare(steps) == {"void": 1}
        assert await store.unmatched_movements.list_open_by_account(merchant.psp_settings_id) == []

    async def test_an_unmatched_movement_matched_later_is_resolved(
        self,
        merchant: Merchant,
        factory: TransactionFactory,
        store: Store,
        psp: FakePsp,
        steps: Any,
    ) -> None:
        lost = movement("ch_1", MovementKind.PAYMENT, Pending(psp_id="ch_1"), reference=None)
        psp.movements = [lost]
        assert await self.compare(steps) == {"stray": 1}
        row = await self.paid(factory, store)
        psp.movements, psp.answers = [], [approved(row, "ch_1")]
        assert await self.compare(steps) == {"resolved": 1}
        unmatched = await store.unmatched_movements.get(merchant.psp_settings_id, "ch_1")
        assert unmatched is not None
        assert (unmatched.owner_id, unmatched.resolved_at is not None) == (CHARGE, True)

    async def test_a_movement_that_cannot_be_compared_does_not_block_others(
        self,
        factory: TransactionFactory,
        store: Store,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
        steps: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        row = await factory.charge()
        await store.transactions.record(RecordUpdate("demo", CHARGE, "Pending", 1, "{}"))
        held = await self.held(factory, store)
        psp.movements = [
            movement("ch_1", MovementKind.PAYMENT, approved(row, "ch_1"), reference=CHARGE),
            movement(
                "auth_1", MovementKind.AUTHORIZATION, approved(held, "auth_1"), reference=PREAUTH
            ),
        ]
        assert await self.compare(steps) == {"unreadable": 1, "matched": 1}

    async def test_the_progress_survives_a_psp_outage(
        self, merchant: Merchant, store: Store, psp: FakePsp, steps: Any
    ) -> None:
        psp.outage = PspUnavailable("away")
        with pytest.raises(ApplicationError):
            await steps.sweep_movements(START)
        assert (
            await store.reconciliation.get_progress(merchant.psp_settings_id)
        ).checked_until is None
        psp.outage = None
        await self.compare(steps)
        first = (await store.reconciliation.get_progress(merchant.psp_settings_id)).checked_until
        assert first is not None
        await self.compare(steps)
        second = (await store.reconciliation.get_progress(merchant.psp_settings_id)).checked_until
        assert second is not None
        assert second > first
        since, until = [span for name, span in psp.calls if name == "list_movements"][-1]
        assert since < first < until

    def test_windows_grow_with_few_movements_and_shrink_with_many(self) -> None:
        assert next_length(WINDOW, 0) == WINDOW * 2
        assert next_length(LONGEST_WINDOW, 0) == LONGEST_WINDOW
        assert next_length(WINDOW, FEW_MOVEMENTS) == WINDOW
        assert next_length(WINDOW, MANY_MOVEMENTS + 1) == WINDOW / 2
        assert next_length(SHORTEST_WINDOW, MANY_MOVEMENTS + 1) == SHORTEST_WINDOW


class TestCaptureAfterExternalCapture:
    async def test_the_reply_is_read_from_the_external_capture(
        self,
        factory: TransactionFactory,
        store: Store,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
        steps: Any,
    ) -> None:
        row = await factory.preauth()
        await record_outcome(store, row, approved(row, "auth_1"))
        psp.movements, psp.answers = [dashboard_capture()], [dashboard_capture().outcome]
        await steps.sweep_movements(START)
        asks = await factory.capture()
        transaction_client.reply = ReserveReply(psp_id="auth_1", taken_by="ch_9")
        psp.calls.clear()
        async with httpx.AsyncClient() as http:
            activities = psp_activities(store, http, transaction_client)
            reply = await activities.capture(call(CAPTURE, owner_id=PREAUTH))
        assert (reply.outcome, reply.evidence) == (dashboard_capture().outcome, EvidenceKind.READ)
        fetched = [lookup for name, lookup in psp.calls if name == "fetch_payment"]
        assert [(lookup.psp_id, lookup.reference) for lookup in fetched] == [
            ("ch_9", "dashboard_1")
        ]
        assert not [name for name, _ in psp.calls if name == "capture"]
        assert asks.transaction_id == CAPTURE

    async def test_without_the_external_capture_the_outcome_is_unknown(
        self,
        factory: TransactionFactory,
        store: Store,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
    ) -> None:
        await factory.capture()
        transaction_client.reply = ReserveReply(psp_id="auth_1", taken_by="ch_9")
        psp.answers = [None]
        async with httpx.AsyncClient() as http:
            activities = psp_activities(store, http, transaction_client)
            with pytest.raises(ApplicationError) as raised:
                await activities.capture(call(CAPTURE, owner_id=PREAUTH))
        assert not raised.value.non_retryable


Answer = Callable[[TransactionRow], LookupAnswer]


class TestSpotCheck:
    @pytest.fixture(autouse=True)
    def _every_time(
        self, steps: Any, store: Store, transaction_client: FakeTransactionClient
    ) -> None:
        steps._spot_check = SpotCheck(store, transaction_client, timedelta(0), timedelta(0))

    @pytest.mark.parametrize(
        ("answer", "counted", "look_ups"),
        [
            (lambda row: approved(row, "ch_1"), "matched", []),
            (lambda row: approved(row, "ch_1", Decimal("1.00")), "different", [(CHARGE, None)]),
            (lambda row: None, "missing", []),
            (lambda row: Absent(proven=True), "missing", []),
        ],
    )
    async def test_a_final_transaction_is_compared(
        self,
        factory: TransactionFactory,
        store: Store,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
        steps: Any,
        answer: Answer,
        counted: str,
        look_ups: list[Any],
    ) -> None:
        row = await factory.charge()
        await record_outcome(store, row, approved(row, "ch_1"))
        psp.answers = [answer(row)]
        assert (await steps.sample_final(START)).counts == {counted: 1}
        assert transaction_client.calls_of("look_up") == look_ups

    async def test_a_booked_chargeback_that_is_no_longer_reported_is_looked_up_once(
        self,
        factory: TransactionFactory,
        store: Store,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
        steps: Any,
    ) -> None:
        row = await factory.charge()
        paid = approved(row, "ch_1")
        chargeback = Fact(kind=FactKind.CHARGED_BACK, id="cb_1", amount=Decimal("1.00"))
        charged_back = paid.model_copy(update={"facts": (*paid.facts, chargeback)})
        await record_outcome(store, row, charged_back)
        psp.answers = [charged_back, paid]
        assert (await steps.sample_final(START)).counts == {"matched": 1}
        assert (await steps.sample_final(START)).counts == {"different": 1}
        assert transaction_client.calls_of("look_up") == [(CHARGE, None)]
        stored = await store.transactions.get("demo", CHARGE)
        assert stored is not None
        state = read_state(stored.kind, stored.snapshot)
        for doubt in find_vanished(paid, state):
            state.flag_attention(doubt)
        await record_state(store, state)
        assert (await steps.sample_final(START)).counts == {"matched": 1}
        assert len(transaction_client.calls_of("look_up")) == 1

    async def test_an_open_transaction_decided_at_the_psp_is_looked_up(
        self,
        factory: TransactionFactory,
        store: Store,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
        steps: Any,
    ) -> None:
        row = await factory.charge()
        await record_outcome(store, row, Pending(psp_id="ch_1"))
        psp.answers = [approved(row, "ch_1")]
        assert (await steps.sample_final(START)).counts == {"different": 1}
        assert transaction_client.calls_of("look_up") == [(CHARGE, None)]
        (start,) = transaction_client.starts
        assert start.resume is not None

    async def test_a_transaction_failed_before_the_psp_counts_as_matched(
        self,
        factory: TransactionFactory,
        store: Store,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
        steps: Any,
    ) -> None:
        row = await factory.charge()
        await record_outcome(store, row, Declined(code=PaymentErrorCode.InternalError))
        psp.answers = [None]
        assert (await steps.sample_final(START)).counts == {"matched": 1}

    async def test_a_transaction_of_a_revoked_former_account_stops_no_other(
        self,
        factory: TransactionFactory,
        store: Store,
        psp: FakePsp,
        steps: Any,
    ) -> None:
        present = await store.merchants.get_settings("demo")
        assert present is not None
        await store.merchants.save_settings("demo", present, "acct_1")
        former = await factory.charge()
        await record_outcome(store, former, approved(former, "ch_1"))
        await store.merchants.save_settings("demo", present | {"ApiKey": "sk_other"}, "acct_2")
        row = await factory.preauth()
        await record_outcome(store, row, approved(row, "auth_1"))
        psp.answers = [CredentialsRejected("revoked"), approved(row, "auth_1")]
        assert (await steps.sample_final(START)).counts == {"failed": 1, "matched": 1}
        (entry,) = await store.quarantine.list_entries(tries=1)
        assert (entry.sweep, entry.key) == ("sample", CHARGE)
        psp.answers = [approved(former, "ch_1"), approved(row, "auth_1")]
        assert (await steps.sample_final(START)).counts == {"matched": 2}
        assert await store.quarantine.list_entries(tries=1) == []

    async def test_an_unstarted_transaction_is_not_compared(
        self, factory: TransactionFactory, psp: FakePsp, steps: Any
    ) -> None:
        await factory.charge()
        assert (await steps.sample_final(START)).counts == {}

    async def test_the_sample_logs_how_many_are_undecided_for_how_long_and_why(
        self, factory: TransactionFactory, steps: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        row = await factory.charge()
        with caplog.at_level("INFO"):
            await steps.sample_final(START)
        since = f"{row.created_at:%Y-%m-%d %H:%M} UTC"
        reason = UNDECIDED_REASONS["unanswered"]
        expected = f"Undecided transactions of demo: 1, the oldest since {since}: {reason}"
        assert expected in caplog.messages

    async def test_an_unreadable_response_does_not_block_others(
        self,
        factory: TransactionFactory,
        store: Store,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
        steps: Any,
    ) -> None:
        for row in (await factory.charge(), await factory.preauth()):
            await record_outcome(store, row, approved(row, f"{row.kind}_1"))
        refused = await store.transactions.get("demo", PREAUTH)
        assert refused is not None
        psp.answers = [ProtocolError("what?"), approved(refused, "preauth_1")]
        assert (await steps.sample_final(START)).counts == {"unreadable": 1, "matched": 1}

    async def test_transactions_compared_before_an_outage_are_recorded(
        self,
        factory: TransactionFactory,
        store: Store,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
        steps: Any,
    ) -> None:
        for row in (await factory.charge(), await factory.preauth()):
            await record_outcome(store, row, approved(row, f"{row.kind}_1"))
        first = await store.transactions.get("demo", CHARGE)
        assert first is not None
        psp.answers = [approved(first, "payment_1"), PspUnavailable("away")]
        with pytest.raises(ApplicationError):
            await steps.sample_final(START)
        before = first.checked_at
        after = await store.transactions.get("demo", CHARGE)
        assert after is not None
        assert before is not None
        assert after.checked_at is not None
        assert after.checked_at > before
        still = await store.transactions.get("demo", PREAUTH)
        assert still is not None
        assert still.checked_at is not None
        assert still.checked_at < after.checked_at

    async def test_fresh_ones_are_left_alone_by_default(
        self,
        factory: TransactionFactory,
        store: Store,
        psp: FakePsp,
        transaction_client: FakeTransactionClient,
    ) -> None:
        row = await factory.charge()
        await record_outcome(store, row, approved(row, "ch_1"))
        async with httpx.AsyncClient() as http:
            report = await ReconcileActivities(store, http, transaction_client).sample_final(START)
        assert report.counts == {}
