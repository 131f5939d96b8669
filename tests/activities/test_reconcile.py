"""The three steps of reconciliation on a real store, with a PSP that a test writes down."""

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

from activities.psp import PspActivities
from activities.reconciliation.activities import ReconcileActivities
from activities.reconciliation.movement_comparison import (
    FEW,
    LONGEST_WINDOW,
    MANY,
    SHORTEST_WINDOW,
    WINDOW,
    next_stride,
)
from activities.reconciliation.spot_check import Sample
from activities.reservations import Owners
from integrator.contract.enums import PaymentErrorCode
from integrator.psp.errors import (
    CredentialsRejected,
    ProtocolError,
    PspError,
    PspUnavailable,
    RateLimited,
)
from integrator.psp.types import (
    Approved,
    Declined,
    Fact,
    FactKind,
    Movement,
    MovementKind,
    NotificationEvent,
    Outcome,
    Pending,
)
from integrator.store import Merchant, NotificationRow, RecordUpdate, Store, TransactionRow
from integrator.transactions.workflow_inputs import read_state
from tests.activities.conftest import (
    CAPTURE,
    CHARGE,
    PREAUTH,
    Book,
    FakePsp,
    FakeTransactionClient,
    call,
)
from workflows.messages import NotificationRead, ReconcileInput, ReserveReply
from workflows.state import Evidence, EvidenceKind, ExternalMovement, MovementStatus, PaymentState

START = ReconcileInput(merchant_id="demo")
AWAY = RPCError("connection refused", RPCStatusCode.UNAVAILABLE, b"")
FACTS = {"preauth": FactKind.AUTHORIZED, "payment": FactKind.PAID, "refund": FactKind.REFUNDED}


@pytest.fixture
async def steps(store: Store, psp: FakePsp, gateway: FakeTransactionClient) -> AsyncIterator[Any]:
    async with httpx.AsyncClient() as http:
        yield ReconcileActivities(store, http, gateway, lag=timedelta(0))


@pytest.fixture(autouse=True)
def _an_account(merchant: Merchant) -> None:
    """Every test has one."""


def saying(row: TransactionRow, psp_id: str, amount: Decimal | None = None) -> Approved:
    amount = row.requested_amount if amount is None else amount
    return Approved(psp_id=psp_id, facts=(Fact(kind=FACTS[row.kind], id=psp_id, amount=amount),))


async def decided(store: Store, row: TransactionRow, outcome: Outcome) -> None:
    """The row as its workflow would have recorded it."""
    state = read_state(row.kind, row.snapshot)
    at = datetime.now(UTC)
    state.apply(outcome, Evidence(kind=EvidenceKind.ANSWER, source="test", at=at))
    await recorded(store, state)


async def recorded(store: Store, state: Any) -> None:
    await store.record(
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


def given_back(outcome: Outcome | None = None, **changes: Any) -> Movement:
    """A refund made in the PSP's dashboard."""
    fact = Fact(
        kind=FactKind.REFUNDED, id="re_9", amount=Decimal("4.00"), booked_on=date(2026, 1, 16)
    )
    outcome = outcome or Approved(psp_id="re_9", facts=(fact,))
    return movement("re_9", MovementKind.REFUND, outcome, **({"parent": "ch_1"} | changes))


def captured(**changes: Any) -> Movement:
    """A capture made in the PSP's dashboard."""
    fact = Fact(kind=FactKind.PAID, id="ch_9", amount=Decimal("4.00"))
    outcome = Approved(psp_id="ch_9", facts=(fact,))
    return movement("ch_9", MovementKind.PAYMENT, outcome, **({"parent": "auth_1"} | changes))


class TestEvents:
    async def kept(self, store: Store, id: int) -> NotificationRow:
        row = await store.notification(id)
        assert row is not None
        return row

    async def test_a_lost_one_is_taken_in_and_told(
        self, store: Store, book: Book, psp: FakePsp, gateway: FakeTransactionClient, steps: Any
    ) -> None:
        row = await book.charge()
        notice = NotificationEvent(event_id="evt_1", reference=CHARGE, result=saying(row, "ch_1"))
        psp.events = [(b"one", notice)]
        report = await steps.repair_events(START)
        assert (report.counts, report.more) == ({"listed": 1, "repaired": 1}, False)
        (signal,) = gateway.logged("notify")
        kept = await self.kept(store, signal.notification_id)
        assert (kept.state, kept.source, kept.raw) == ("signalled", "listed", b"one")
        assert kept.headers is None

    async def test_it_is_read_again_without_a_signature(
        self, book: Book, store: Store, psp: FakePsp, gateway: FakeTransactionClient, steps: Any
    ) -> None:
        row = await book.charge()
        outcome = saying(row, "ch_1")
        psp.events = [
            (b"one", NotificationEvent(event_id="evt_1", reference=CHARGE, result=outcome))
        ]
        psp.notices = ProtocolError("no signature")
        await steps.repair_events(START)
        (signal,) = gateway.logged("notify")
        async with httpx.AsyncClient() as http:
            read = await PspActivities(store, http, Owners(store, gateway)).read_notification(
                NotificationRead(
                    merchant_id="demo",
                    transaction_id=CHARGE,
                    notification_id=signal.notification_id,
                )
            )
        assert (read.outcome, read.fetch) == (outcome, False)
        assert (await self.kept(store, signal.notification_id)).state == "applied"

    async def test_one_whose_news_is_known_only_enters_the_inbox(
        self, store: Store, book: Book, psp: FakePsp, gateway: FakeTransactionClient, steps: Any
    ) -> None:
        row = await book.charge()
        await decided(store, row, saying(row, "ch_1"))
        notice = NotificationEvent(event_id="evt_1", reference=CHARGE, result=saying(row, "ch_1"))
        psp.events = [(b"one", notice)]
        await steps.repair_events(START)
        assert gateway.logged("notify") == []
        assert (await self.kept(store, 1)).state == "known"

    async def test_one_without_transaction_is_parked_and_one_of_no_interest_left_out(
        self, store: Store, psp: FakePsp, steps: Any
    ) -> None:
        psp.events = [
            (b"one", NotificationEvent(event_id="evt_1", psp_ids=("ch_7",))),
            (b"two", NotificationEvent(event_id="evt_2", relevant=False)),
        ]
        await steps.repair_events(START)
        assert (await self.kept(store, 1)).state == "parked"
        assert await store.notification(2) is None

    async def test_the_place_is_kept_from_page_to_page_and_run_to_run(
        self, store: Store, merchant: Merchant, psp: FakePsp, gateway: FakeTransactionClient
    ) -> None:
        psp.events = [(b"%d" % i, NotificationEvent(event_id=f"evt_{i}")) for i in range(5)]
        for _ in range(2):
            async with httpx.AsyncClient() as http:
                await ReconcileActivities(store, http, gateway).repair_events(START)
        asked = [cursor for name, cursor in psp.calls if name == "list_events"]
        assert asked == [None, "2", "4", "5"]
        assert (await store.progress(merchant.psp_settings_id)).cursor == "5"
        psp.events.append((b"5", NotificationEvent(event_id="evt_5")))
        async with httpx.AsyncClient() as http:
            report = await ReconcileActivities(store, http, gateway).repair_events(START)
        assert report.counts == {"listed": 1, "repaired": 1}

    async def test_two_workers_at_once_take_each_event_in_once(
        self, store: Store, book: Book, psp: FakePsp, gateway: FakeTransactionClient, steps: Any
    ) -> None:
        row = await book.charge()
        psp.events = [
            (
                b"%d" % i,
                NotificationEvent(
                    event_id=f"evt_{i}", reference=CHARGE, result=saying(row, "ch_1")
                ),
            )
            for i in range(6)
        ]
        await asyncio.gather(*(steps.repair_events(START) for _ in range(3)))
        await steps.repair_events(START)
        signalled = {signal.event_id for signal in gateway.logged("notify")}
        assert signalled == {f"evt_{i}" for i in range(6)}
        assert await store.notification(7) is None
        assert (await store.progress(row.psp_settings_id)).cursor == "6"

    async def test_while_temporal_is_away_the_place_stays(
        self, store: Store, book: Book, psp: FakePsp, gateway: FakeTransactionClient, steps: Any
    ) -> None:
        row = await book.charge()
        notice = NotificationEvent(event_id="evt_1", reference=CHARGE, result=saying(row, "ch_1"))
        psp.events = [(b"one", notice)]
        gateway.failures = [AWAY]
        with pytest.raises(RPCError):
            await steps.repair_events(START)
        assert (await store.progress(row.psp_settings_id)).cursor is None
        assert (await self.kept(store, 1)).state == "stored"
        await steps.repair_events(START)
        assert (await store.progress(row.psp_settings_id)).cursor == "1"


class TestAccounts:
    async def test_a_merchant_without_settings_is_left_alone(
        self, store: Store, psp: FakePsp, steps: Any
    ) -> None:
        await store.add_merchant("other", "fake")
        for step in (steps.repair_events, steps.sweep_movements, steps.sample_final):
            report = await step(ReconcileInput(merchant_id="other"))
            assert report.counts == {}
        assert psp.calls == []

    async def test_unusable_settings_are_not_tried_again(self, store: Store, steps: Any) -> None:
        await store.save_settings("demo", {})
        with pytest.raises(ApplicationError) as raised:
            await steps.repair_events(START)
        assert raised.value.non_retryable

    @pytest.mark.parametrize(
        ("trouble", "retryable"),
        [
            (PspUnavailable("away"), True),
            (RateLimited("slowly", retry_after=7), True),
            (CredentialsRejected("no"), False),
        ],
    )
    async def test_the_psps_troubles_keep_their_meaning(
        self, psp: FakePsp, steps: Any, trouble: PspError, retryable: bool
    ) -> None:
        psp.away = trouble
        for step in (steps.repair_events, steps.sweep_movements):
            with pytest.raises(ApplicationError) as raised:
                await step(START)
            assert raised.value.non_retryable is not retryable


class TestMovements:
    async def paid(self, book: Book, store: Store) -> TransactionRow:
        row = await book.charge()
        await decided(store, row, saying(row, "ch_1"))
        return row

    async def held(self, book: Book, store: Store) -> TransactionRow:
        row = await book.preauth()
        await decided(store, row, saying(row, "auth_1"))
        return row

    async def swept(self, steps: Any) -> dict[str, int]:
        counts: dict[str, int] = (await steps.sweep_movements(START)).counts
        return counts

    async def test_what_is_known_needs_nothing(
        self, book: Book, store: Store, psp: FakePsp, gateway: FakeTransactionClient, steps: Any
    ) -> None:
        row = await self.paid(book, store)
        outcome = saying(row, "ch_1")
        psp.movements = [movement("ch_1", MovementKind.PAYMENT, outcome, reference=CHARGE)]
        assert await self.swept(steps) == {"matched": 1}
        assert gateway.owners == []

    async def test_a_span_of_time_is_compared_without_moving_the_place(
        self, book: Book, store: Store, merchant: Merchant, psp: FakePsp, steps: Any
    ) -> None:
        await self.paid(book, store)
        now = datetime.now(UTC)
        before = await store.progress(merchant.psp_settings_id)
        span = START.model_copy(update={"since": now - timedelta(days=3), "until": now})
        report = await steps.sweep_movements(span)
        assert (report.counts, report.more) == ({}, False)
        asked = [given for name, given in psp.calls if name == "list_movements"]
        assert asked[0][0] == now - timedelta(days=3)
        assert asked[-1][1] == report.reached <= now
        assert all(one[1] == other[0] for one, other in itertools.pairwise(asked))
        assert await store.progress(merchant.psp_settings_id) == before

    async def test_another_amount_is_looked_up(
        self, book: Book, store: Store, psp: FakePsp, gateway: FakeTransactionClient, steps: Any
    ) -> None:
        row = await self.paid(book, store)
        outcome = saying(row, "ch_1", Decimal("1.00"))
        psp.movements = [movement("ch_1", MovementKind.PAYMENT, outcome, reference=CHARGE)]
        assert await self.swept(steps) == {"different": 1}
        assert gateway.logged("look_up") == [(CHARGE, None)]

    async def test_another_outcome_is_looked_up(
        self, book: Book, store: Store, psp: FakePsp, gateway: FakeTransactionClient, steps: Any
    ) -> None:
        row = await book.charge()
        await decided(store, row, Pending(psp_id="ch_1"))
        outcome = Declined(psp_id="ch_1", code=PaymentErrorCode.Rejected)
        psp.movements = [movement("ch_1", MovementKind.PAYMENT, outcome, reference=None)]
        assert await self.swept(steps) == {"different": 1}
        assert gateway.logged("look_up") == [(CHARGE, None)]

    async def test_a_second_movement_of_a_transaction_is_looked_up_by_its_own_id(
        self, book: Book, store: Store, psp: FakePsp, gateway: FakeTransactionClient, steps: Any
    ) -> None:
        row = await self.paid(book, store)
        outcome = saying(row, "ch_2")
        psp.movements = [movement("ch_2", MovementKind.PAYMENT, outcome, reference=CHARGE)]
        assert await self.swept(steps) == {"different": 1}
        assert gateway.logged("look_up") == [(CHARGE, "ch_2")]

    async def test_another_currency_is_kept_for_a_person(
        self, book: Book, store: Store, psp: FakePsp, gateway: FakeTransactionClient, steps: Any
    ) -> None:
        row = await self.paid(book, store)
        outcome = saying(row, "ch_2")
        psp.movements = [
            movement("ch_2", MovementKind.PAYMENT, outcome, reference=CHARGE, currency="DKK")
        ]
        psp.answers = [ProtocolError("another currency")]
        assert await self.swept(steps) == {"waiting": 1}
        assert await self.swept(steps) == {"waiting": 1, "unresolved": 1}
        (stray,) = await store.open_strays(row.psp_settings_id)
        assert (stray.currency, stray.owner_id) == ("DKK", CHARGE)
        assert gateway.owners == []

    async def test_a_refund_of_the_dashboard_is_adopted_until_the_state_shows_it(
        self, book: Book, store: Store, psp: FakePsp, gateway: FakeTransactionClient, steps: Any
    ) -> None:
        row = await self.paid(book, store)
        psp.movements = [given_back()]
        psp.answers = [given_back().outcome]
        assert await self.swept(steps) == {"to_adopt": 1}
        adoption = ExternalMovement(
            psp_id="re_9",
            amount=Decimal("4.00"),
            currency="EUR",
            status=MovementStatus.BOOKED,
            booked_on=date(2026, 1, 16),
        )
        assert gateway.logged("adopt") == [(CHARGE, adoption)]
        (stray,) = await store.open_strays(row.psp_settings_id)
        assert (stray.psp_id, stray.owner_id) == ("re_9", CHARGE)

        now = await store.transaction("demo", CHARGE)
        assert now is not None
        state = PaymentState.model_validate_json(now.snapshot)
        state.record_external_movement(adoption, datetime.now(UTC))
        await recorded(store, state)
        assert await self.swept(steps) == {"adopted": 1, "resolved": 1}
        assert await store.open_strays(row.psp_settings_id) == []
        assert await self.swept(steps) == {"adopted": 1}
        assert len(gateway.logged("adopt")) == 1

    async def test_its_parked_notification_comes_to_rest(
        self, book: Book, store: Store, psp: FakePsp, gateway: FakeTransactionClient, steps: Any
    ) -> None:
        row = await self.paid(book, store)
        psp.events = [(b"one", NotificationEvent(event_id="evt_1", psp_ids=("re_9",)))]
        await steps.repair_events(START)
        now = await store.transaction("demo", CHARGE)
        assert now is not None
        state = PaymentState.model_validate_json(now.snapshot)
        psp.movements, psp.answers = [given_back()], [given_back().outcome]
        await self.swept(steps)
        ((_, adoption), *_) = gateway.logged("adopt")
        state.record_external_movement(adoption, datetime.now(UTC))
        await recorded(store, state)
        await self.swept(steps)
        kept = await store.notification(1)
        assert kept is not None
        assert (kept.state, kept.transaction_id) == ("known", row.transaction_id)

    async def test_a_refund_under_way_is_followed_to_its_end(
        self, book: Book, store: Store, psp: FakePsp, gateway: FakeTransactionClient, steps: Any
    ) -> None:
        row = await self.paid(book, store)
        psp.movements = [given_back(Pending(psp_id="re_9"))]
        psp.answers = [Pending(psp_id="re_9")]
        await self.swept(steps)
        standings = [adoption.status for _, adoption in gateway.logged("adopt")]
        assert set(standings) == {MovementStatus.OPEN}
        psp.movements = []  # its window has passed
        psp.answers = [given_back().outcome]
        assert await self.swept(steps) == {"unresolved": 1}
        assert gateway.logged("adopt")[-1][1].status is MovementStatus.BOOKED
        psp.answers = [Declined(psp_id="re_9")]
        assert await self.swept(steps) == {"resolved": 1}
        assert await store.open_strays(row.psp_settings_id) == []

    async def test_a_capture_of_the_dashboard_is_adopted_by_its_preauth(
        self, book: Book, store: Store, psp: FakePsp, gateway: FakeTransactionClient, steps: Any
    ) -> None:
        await self.held(book, store)
        psp.movements, psp.answers = [captured()], [captured().outcome]
        assert (await self.swept(steps))["to_adopt"] == 1
        (owner, adoption), *_ = gateway.logged("adopt")
        assert (owner, adoption.psp_id, adoption.status) == (
            PREAUTH,
            "ch_9",
            MovementStatus.BOOKED,
        )

    async def test_one_under_the_reference_of_its_parent_is_still_not_its_parent(
        self, book: Book, store: Store, psp: FakePsp, gateway: FakeTransactionClient, steps: Any
    ) -> None:
        await self.held(book, store)
        psp.movements, psp.answers = [captured(reference=PREAUTH)], [captured().outcome]
        assert (await self.swept(steps))["to_adopt"] == 1
        assert gateway.logged("adopt")[0][0] == PREAUTH

    async def test_what_is_nobodys_is_kept_and_reported_once(
        self,
        merchant: Merchant,
        store: Store,
        psp: FakePsp,
        gateway: FakeTransactionClient,
        steps: Any,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        psp.movements = [captured(parent=None), given_back(parent="ch_other")]
        assert await self.swept(steps) == {"stray": 2}
        for _ in range(2):
            assert await self.swept(steps) == {"stray": 2, "unresolved": 2}
        assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
        assert "ch_9" in caplog.text
        assert "dashboard_1" not in caplog.text
        strays = await store.open_strays(merchant.psp_settings_id)
        assert {(s.psp_id, s.kind, s.amount, s.owner_id) for s in strays} == {
            ("ch_9", "payment", Decimal("4.00"), None),
            ("re_9", "refund", Decimal("4.00"), None),
        }
        assert gateway.owners == []
        assert not [name for name, _ in psp.calls if name.startswith("fetch")]

    async def test_what_was_refused_and_is_nobodys_moved_nothing(
        self, merchant: Merchant, store: Store, psp: FakePsp, steps: Any
    ) -> None:
        psp.movements = [movement("ch_8", MovementKind.PAYMENT, Declined(psp_id="ch_8"))]
        assert await self.swept(steps) == {"void": 1}
        assert await store.open_strays(merchant.psp_settings_id) == []

    async def test_a_stray_whose_transaction_is_known_later_is_resolved(
        self, merchant: Merchant, book: Book, store: Store, psp: FakePsp, steps: Any
    ) -> None:
        lost = movement("ch_1", MovementKind.PAYMENT, Pending(psp_id="ch_1"), reference=None)
        psp.movements = [lost]
        assert await self.swept(steps) == {"stray": 1}
        row = await self.paid(book, store)
        psp.movements, psp.answers = [], [saying(row, "ch_1")]
        assert await self.swept(steps) == {"resolved": 1}
        stray = await store.stray(merchant.psp_settings_id, "ch_1")
        assert stray is not None
        assert (stray.owner_id, stray.resolved_at is not None) == (CHARGE, True)

    async def test_one_that_cannot_be_compared_does_not_hold_up_the_others(
        self,
        book: Book,
        store: Store,
        psp: FakePsp,
        gateway: FakeTransactionClient,
        steps: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        row = await book.charge()
        await store.record(RecordUpdate("demo", CHARGE, "Pending", 1, "{}"))
        held = await self.held(book, store)
        psp.movements = [
            movement("ch_1", MovementKind.PAYMENT, saying(row, "ch_1"), reference=CHARGE),
            movement(
                "auth_1", MovementKind.AUTHORIZATION, saying(held, "auth_1"), reference=PREAUTH
            ),
        ]
        assert await self.swept(steps) == {"unreadable": 1, "matched": 1}

    async def test_the_window_moves_on_and_survives_a_psp_that_is_away(
        self, merchant: Merchant, store: Store, psp: FakePsp, steps: Any
    ) -> None:
        psp.away = PspUnavailable("away")
        with pytest.raises(ApplicationError):
            await steps.sweep_movements(START)
        assert (await store.progress(merchant.psp_settings_id)).checked_until is None
        psp.away = None
        await self.swept(steps)
        first = (await store.progress(merchant.psp_settings_id)).checked_until
        assert first is not None
        await self.swept(steps)
        second = (await store.progress(merchant.psp_settings_id)).checked_until
        assert second is not None
        assert second > first
        since, until = [span for name, span in psp.calls if name == "list_movements"][-1]
        assert since < first < until

    def test_windows_grow_in_quiet_times_and_shrink_in_busy_ones(self) -> None:
        assert next_stride(WINDOW, 0) == WINDOW * 2
        assert next_stride(LONGEST_WINDOW, 0) == LONGEST_WINDOW
        assert next_stride(WINDOW, FEW) == WINDOW
        assert next_stride(WINDOW, MANY + 1) == WINDOW / 2
        assert next_stride(SHORTEST_WINDOW, MANY + 1) == SHORTEST_WINDOW


class TestCaptureOfAnAdoptedOne:
    async def test_it_is_answered_from_the_capture_there_is(
        self, book: Book, store: Store, psp: FakePsp, gateway: FakeTransactionClient, steps: Any
    ) -> None:
        row = await book.preauth()
        await decided(store, row, saying(row, "auth_1"))
        psp.movements, psp.answers = [captured()], [captured().outcome]
        await steps.sweep_movements(START)
        asks = await book.capture()
        gateway.reply = ReserveReply(psp_id="auth_1", taken_by="ch_9")
        psp.calls.clear()
        async with httpx.AsyncClient() as http:
            activities = PspActivities(store, http, Owners(store, gateway))
            reply = await activities.capture(call(CAPTURE, owner_id=PREAUTH))
        assert (reply.outcome, reply.evidence) == (captured().outcome, EvidenceKind.READ)
        fetched = [said for name, said in psp.calls if name == "fetch_payment"]
        assert [(lookup.psp_id, lookup.reference) for lookup in fetched] == [
            ("ch_9", "dashboard_1")
        ]
        assert not [name for name, _ in psp.calls if name == "capture"]
        assert asks.transaction_id == CAPTURE

    async def test_while_the_psp_does_not_show_it_the_outcome_is_unknown(
        self, book: Book, store: Store, psp: FakePsp, gateway: FakeTransactionClient
    ) -> None:
        await book.capture()
        gateway.reply = ReserveReply(psp_id="auth_1", taken_by="ch_9")
        psp.answers = [None]
        async with httpx.AsyncClient() as http:
            activities = PspActivities(store, http, Owners(store, gateway))
            with pytest.raises(ApplicationError) as raised:
                await activities.capture(call(CAPTURE, owner_id=PREAUTH))
        assert not raised.value.non_retryable


Answer = Callable[[TransactionRow], Outcome | None]


class TestSample:
    @pytest.fixture(autouse=True)
    def _every_time(self, steps: Any, store: Store, gateway: FakeTransactionClient) -> None:
        steps._sample = Sample(store, gateway, timedelta(0), timedelta(0))

    @pytest.mark.parametrize(
        ("answer", "counted", "told"),
        [
            (lambda row: saying(row, "ch_1"), "matched", []),
            (lambda row: saying(row, "ch_1", Decimal("1.00")), "different", [(CHARGE, None)]),
            (lambda row: None, "missing", []),
        ],
    )
    async def test_a_finished_one_is_compared(
        self,
        book: Book,
        store: Store,
        psp: FakePsp,
        gateway: FakeTransactionClient,
        steps: Any,
        answer: Answer,
        counted: str,
        told: list[Any],
    ) -> None:
        row = await book.charge()
        await decided(store, row, saying(row, "ch_1"))
        psp.answers = [answer(row)]
        assert (await steps.sample_final(START)).counts == {counted: 1}
        assert gateway.logged("look_up") == told

    async def test_an_open_one_that_is_decided_is_looked_up(
        self, book: Book, store: Store, psp: FakePsp, gateway: FakeTransactionClient, steps: Any
    ) -> None:
        row = await book.charge()
        await decided(store, row, Pending(psp_id="ch_1"))
        psp.answers = [saying(row, "ch_1")]
        assert (await steps.sample_final(START)).counts == {"different": 1}
        assert gateway.logged("look_up") == [(CHARGE, None)]
        (start,) = gateway.owners
        assert start.resume is not None

    async def test_one_that_ended_without_the_psp_is_no_surprise(
        self, book: Book, store: Store, psp: FakePsp, gateway: FakeTransactionClient, steps: Any
    ) -> None:
        row = await book.charge()
        await decided(store, row, Declined(code=PaymentErrorCode.InternalError))
        psp.answers = [None]
        assert (await steps.sample_final(START)).counts == {"matched": 1}

    async def test_one_that_was_never_begun_is_not_asked_for(
        self, book: Book, psp: FakePsp, steps: Any
    ) -> None:
        await book.charge()
        assert (await steps.sample_final(START)).counts == {}

    async def test_one_the_psp_cannot_explain_does_not_hold_up_the_others(
        self, book: Book, store: Store, psp: FakePsp, gateway: FakeTransactionClient, steps: Any
    ) -> None:
        for row in (await book.charge(), await book.preauth()):
            await decided(store, row, saying(row, f"{row.kind}_1"))
        refused = await store.transaction("demo", PREAUTH)
        assert refused is not None
        psp.answers = [ProtocolError("what?"), saying(refused, "preauth_1")]
        assert (await steps.sample_final(START)).counts == {"unreadable": 1, "matched": 1}

    async def test_what_was_compared_before_the_psp_went_away_counts(
        self, book: Book, store: Store, psp: FakePsp, gateway: FakeTransactionClient, steps: Any
    ) -> None:
        for row in (await book.charge(), await book.preauth()):
            await decided(store, row, saying(row, f"{row.kind}_1"))
        first = await store.transaction("demo", CHARGE)
        assert first is not None
        psp.answers = [saying(first, "payment_1"), PspUnavailable("away")]
        with pytest.raises(ApplicationError):
            await steps.sample_final(START)
        before = first.checked_at
        after = await store.transaction("demo", CHARGE)
        assert after is not None
        assert before is not None
        assert after.checked_at is not None
        assert after.checked_at > before
        still = await store.transaction("demo", PREAUTH)
        assert still is not None
        assert still.checked_at is not None
        assert still.checked_at < after.checked_at

    async def test_fresh_ones_are_left_alone_by_default(
        self, book: Book, store: Store, psp: FakePsp, gateway: FakeTransactionClient
    ) -> None:
        row = await book.charge()
        await decided(store, row, saying(row, "ch_1"))
        async with httpx.AsyncClient() as http:
            report = await ReconcileActivities(store, http, gateway).sample_final(START)
        assert report.counts == {}
