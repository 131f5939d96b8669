"""Extreme dates, texts and currencies on a Temporal server, from start to end."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.contract.enums import PublicPaymentProviderRole
from integrator.psp.types import Approved, FactKind, Pending, RedirectRequired
from tests.integration.workflows.conftest import (
    WorkflowHarness,
    approved,
    eventually,
    open_harness,
    time_skipping_disabled,
)
from workflows import search_attributes, timeouts
from workflows.messages import AnyInput, NotificationResult, PspReply, kind_of
from workflows.state import EvidenceKind, TransactionKind

PAYMENT, PREAUTH = TransactionKind.PAYMENT, TransactionKind.PREAUTH
EMOJI = "\N{GRINNING FACE}"
LAST_DAY = date(9999, 12, 31)
END = datetime.max.replace(tzinfo=UTC)
PENDING = PspReply(outcome=Pending(psp_id="ch_1"), evidence=EvidenceKind.ANSWER)


@pytest.fixture(params=[1000, 0], ids=["cached", "replayed"])
async def harness(
    env: WorkflowEnvironment, request: pytest.FixtureRequest
) -> AsyncIterator[WorkflowHarness]:
    """Harness with a worker that caches workflows, and one that replays them at every task."""
    async with open_harness(env, max_cached_workflows=request.param) as opened:
        yield opened


async def assert_no_task_failed(harness: WorkflowHarness, kind: TransactionKind) -> None:
    history = await harness.handle(kind).fetch_history()
    failures = [
        event.workflow_task_failed_event_attributes.failure.message
        for event in history.events
        if event.HasField("workflow_task_failed_event_attributes")
    ]
    assert failures == []


async def notify_paid(harness: WorkflowHarness, start: AnyInput, psp_id: str, amount: str) -> None:
    """Notify the success and wait until it is recorded."""
    paid = approved(psp_id, psp_id=psp_id, amount=amount)
    with time_skipping_disabled(harness.env):
        await harness.notify(start, NotificationResult(outcome=paid.outcome, event_id="evt_1"))
        await harness.wait_for_status(kind_of(start), Status.Succeeded)


async def test_a_debit_planned_for_the_last_day_is_looked_up_and_succeeds(
    harness: WorkflowHarness,
) -> None:
    harness.answers["charge"] = [PENDING]
    harness.answers["fetch_payment"] = [PENDING]
    start = harness.payment(role=PublicPaymentProviderRole.Debit, execute_on=LAST_DAY)
    await harness.create(start)
    await harness.advance_time(PAYMENT, timedelta(days=20))
    state = await harness.state(PAYMENT)
    assert (state.status, state.attention) == (Status.Pending, None)
    await notify_paid(harness, start, "ch_1", "10.00")
    await assert_no_task_failed(harness, PAYMENT)


async def test_a_debit_planned_for_the_first_day_is_overdue(harness: WorkflowHarness) -> None:
    harness.answers["charge"] = [PENDING]
    harness.answers["fetch_payment"] = [PENDING]
    start = harness.payment(role=PublicPaymentProviderRole.Debit, execute_on=date.min)
    await harness.create(start)
    await harness.advance_time(PAYMENT, timedelta(days=16))
    assert "has not decided" in (await harness.state(PAYMENT)).attention
    await assert_no_task_failed(harness, PAYMENT)


@pytest.mark.parametrize("ends", [END, datetime(2400, 1, 1, tzinfo=UTC)], ids=["last", "2400"])
async def test_a_reservation_without_end_waits_for_its_capture(
    harness: WorkflowHarness, ends: datetime
) -> None:
    harness.answers["authorize"] = [
        approved("auth_1", kind=FactKind.AUTHORIZED, expires_at=ends, psp_id="auth_1")
    ]
    await harness.create(harness.preauth())
    await eventually(lambda: harness.records)
    history = await harness.handle(PREAUTH).fetch_history()
    (timer,) = [
        event for event in history.events if event.HasField("timer_started_event_attributes")
    ]
    duration = timer.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta()
    assert duration == timeouts.MAX_TIMER
    assert (await harness.state(PREAUTH)).expires_at == ends
    await assert_no_task_failed(harness, PREAUTH)


async def test_a_page_without_end_is_asked_about_when_the_customer_is_back(
    harness: WorkflowHarness,
) -> None:
    page = RedirectRequired(psp_id="cs_1", expires_at=END)
    harness.answers["authorize"] = [PspReply(outcome=page, evidence=EvidenceKind.ANSWER)]
    harness.answers["fetch_authorization"] = [
        approved("auth_1", kind=FactKind.AUTHORIZED, expires_at=END, psp_id="auth_1")
    ]
    start = harness.preauth()
    await harness.create(start)
    state = await harness.client.finalize(start)
    assert state.status is Status.Succeeded
    await assert_no_task_failed(harness, PREAUTH)


async def test_a_reservation_that_ended_in_the_first_year_expires(harness: WorkflowHarness) -> None:
    start_of_time = datetime.min.replace(tzinfo=UTC)
    held = approved("auth_1", kind=FactKind.AUTHORIZED, expires_at=start_of_time, psp_id="auth_1")
    harness.answers["authorize"] = [held]
    harness.answers["fetch_authorization"] = [held]
    voided = PspReply(outcome=Approved(psp_id="auth_1"), evidence=EvidenceKind.ANSWER)
    harness.answers["void"] = [voided]
    await harness.create(harness.preauth())
    await harness.wait_for_status(PREAUTH, Status.Expired)
    await assert_no_task_failed(harness, PREAUTH)


async def test_ids_of_emoji_are_searched_for_by_their_beginning(harness: WorkflowHarness) -> None:
    """The server terminates a workflow whose search attribute has more than 2,048 bytes."""
    harness.answers["charge"] = [PENDING]
    start = harness.payment(agreement_id=EMOJI * 255)
    await harness.create(start)
    await notify_paid(harness, start, EMOJI * 300, "10.00")
    description = await harness.handle(PAYMENT).describe()
    attributes = description.typed_search_attributes
    assert attributes[search_attributes.AGREEMENT_ID] == EMOJI * 170
    assert attributes[search_attributes.PSP_TRANSACTION_ID] == EMOJI * 170
    assert (await harness.state(PAYMENT)).psp_transaction_id == EMOJI * 300
    await assert_no_task_failed(harness, PAYMENT)


@pytest.mark.parametrize(
    ("currency", "exponent", "minor"),
    [("BGN", None, 1000), ("BGN", 2, 1000), ("ZZZ", 3, 10_000), ("ZZZ", None, None)],
    ids=["left", "left-in-input", "in-input-only", "unknown"],
)
async def test_a_payment_in_a_currency_that_left_goes_on(
    harness: WorkflowHarness, currency: str, exponent: int | None, minor: int | None
) -> None:
    harness.answers["charge"] = [PENDING]
    amount = Decimal("10.00")
    members: dict[str, Any] = {"currency": currency, "requested_amount": amount}
    start = harness.payment(**members, currency_exponent=exponent)
    await harness.create(start)
    await notify_paid(harness, start, "ch_1", "10.00")
    state = await harness.state(PAYMENT)
    assert (state.currency, state.refundable) == (currency, amount)
    attributes = (await harness.handle(PAYMENT).describe()).typed_search_attributes
    assert attributes.get(search_attributes.AMOUNT_MINOR) == minor
    await assert_no_task_failed(harness, PAYMENT)
