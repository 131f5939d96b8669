"""Test reconciliation end to end: what is repaired without any notification."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from integrator.contract.enums import PaymentErrorCode
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Approved, FactKind
from integrator.store import TransactionRow
from tests.integration.activities.conftest import CAPTURE
from tests.integration.activities.reconciliation.conftest import ReconcileEnvironment
from tests.integration.integrator.psp import builders
from workflows.reconcile import ReconcileWorkflow, reconcile_workflow_id
from workflows.state import TransactionKind

Until = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]
FULL = Decimal("119.00")


async def authorized(live: ReconcileEnvironment, until: Until) -> TransactionRow:
    row = await live.redirected_preauth()
    await live.activities.repair_events(live.start)

    async def done() -> bool | None:
        return (await live.state(row)).status is Status.Succeeded or None

    await until(done)
    return row


async def captured(live: ReconcileEnvironment, until: Until) -> tuple[TransactionRow, Any]:
    """Create a preauth and its successful capture."""
    await authorized(live, until)
    row = await live.factory.capture()
    state = await live.create(row)
    assert state.status is Status.Succeeded
    return row, state


async def test_a_missed_event_is_imported_from_the_list(
    live: ReconcileEnvironment, until: Until
) -> None:
    row = await live.redirected_preauth()
    assert (await live.state(row)).status is Status.Initiated
    report = await live.activities.repair_events(live.start)
    assert report.counts["repaired"] >= 1

    async def announced() -> bool | None:
        return live.count_notifications(row) > 0 or None

    await until(announced)
    assert (await live.state(row)).status is Status.Succeeded
    again = await live.activities.repair_events(live.start)
    assert again.counts["repaired"] == 0


async def test_an_external_refund_reaches_its_payment(
    live: ReconcileEnvironment, until: Until
) -> None:
    row, state = await captured(live, until)
    created = await live.account.call_control(
        "refunds", charge=state.psp_transaction_id, amount=1900
    )
    report = await live.activities.sweep_movements(live.start)
    assert report.counts["to_adopt"] == 1

    async def announced() -> bool | None:
        return live.count_notifications(row) > 0 or None

    await until(announced)
    state = await live.state(row)
    assert (state.refunded, state.refundable) == (Decimal("19.00"), Decimal("100.00"))
    assert set(state.refunds) == {f"psp:{created['id']}"}
    report = await live.activities.sweep_movements(live.start)
    assert (report.counts["adopted"], report.counts["resolved"]) == (1, 1)

    # A refund of ours now uses the rest and does not count as external.
    refund = await live.factory.refund()
    assert (await live.create(refund)).status is Status.Succeeded
    await live.activities.sweep_movements(live.start)
    assert (await live.state(row)).refunded == Decimal("38.00")
    assert live.count_notifications(row) == 1


async def test_a_later_payment_is_answered_from_an_external_capture(
    live: ReconcileEnvironment, until: Until
) -> None:
    others = await live.account.list_bookings(CAPTURE)  # other accounts use this reference too
    preauth = await authorized(live, until)
    authorization = (await live.state(preauth)).authorization_id
    notified = live.count_notifications(preauth)
    external = await live.account.call_control("captures", authorization=authorization)
    await live.activities.sweep_movements(live.start)

    async def external_recorded() -> bool | None:
        return (await live.state(preauth)).captured_by == f"psp:{external['id']}" or None

    async def announced() -> bool | None:
        return live.count_notifications(preauth) > notified or None

    await until(external_recorded)
    await until(announced)

    payment = await live.factory.capture()
    state = await live.create(payment)
    assert (state.status, state.psp_transaction_id) == (Status.Succeeded, external["id"])
    assert state.paid == FULL
    assert await live.account.list_bookings(CAPTURE) == others
    assert await live.account.list_bookings(external["reference"]) == [("capture", "119.00")]

    async def capture_recorded() -> bool | None:
        recorded = (await live.state(payment)).status is Status.Succeeded
        return (recorded and (await live.state(preauth)).captured_by == CAPTURE) or None

    await until(capture_recorded)
    # From now on it is an ordinary payment, under its reference at the PSP.
    assert (await live.activities.sample_final(live.start)).counts == {"matched": 2}
    counts = (await live.activities.sweep_movements(live.start)).counts
    assert "stray" not in counts
    await live.account.call_control("chargebacks", charge=external["id"], amount=1900)
    await live.activities.repair_events(live.start)

    async def charged_back() -> bool | None:
        return (await live.state(payment)).total(FactKind.CHARGED_BACK) > 0 or None

    await until(charged_back)


async def test_a_payment_of_another_amount_captures_nothing(
    live: ReconcileEnvironment, until: Until
) -> None:
    others = await live.account.list_bookings(CAPTURE)  # other accounts use this reference too
    preauth = await authorized(live, until)
    authorization = (await live.state(preauth)).authorization_id
    await live.account.call_control("captures", authorization=authorization, amount=5000)
    await live.activities.sweep_movements(live.start)

    async def external_recorded() -> bool | None:
        return (await live.state(preauth)).captured or None

    await until(external_recorded)
    state = await live.create(await live.factory.capture())
    assert state.status is Status.Failed
    assert state.failure.code is PaymentErrorCode.InvalidPreconditions
    assert await live.account.list_bookings(CAPTURE) == others


async def test_an_unmatched_payment_is_logged_and_stored(
    live: ReconcileEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    card = await live.account.create_stored_card()
    reference = f"shop-{uuid4().hex}"
    outcome = await live.account.connection.charge(
        builders.charge("20.00", ref=reference, instrument=card)
    )
    assert isinstance(outcome, Approved)
    for counts in ({"stray": 1}, {"stray": 1, "unresolved": 1}):
        assert (await live.activities.sweep_movements(live.start)).counts == counts
    (unmatched,) = await live.store.unmatched_movements.list_open_by_account(
        live.factory.merchant.psp_settings_id
    )
    assert (unmatched.psp_id, unmatched.amount, unmatched.reference) == (
        outcome.psp_id,
        Decimal("20.00"),
        reference,
    )
    warnings = [
        record for record in caplog.records if record.name == "activities.reconciliation.resolution"
    ]
    assert len(warnings) == 1


async def test_a_second_charge_of_a_payment_is_recorded(
    live: ReconcileEnvironment, until: Until
) -> None:
    row, _ = await captured(live, until)
    card = await live.account.create_stored_card()
    second_charge = builders.charge("119.00", ref=CAPTURE, instrument=card, key=uuid4().hex)
    await live.account.connection.charge(second_charge)
    await live.activities.sweep_movements(live.start)

    async def recorded() -> bool | None:
        return (await live.state(row)).paid == 2 * FULL or None

    await until(recorded)


async def test_a_whole_reconciliation_run(live: ReconcileEnvironment) -> None:
    row = await live.redirected_preauth()
    report = await live.client.execute_workflow(
        ReconcileWorkflow.run,
        live.start,
        id=reconcile_workflow_id(live.start.merchant_id),
        task_queue=live.settings.reconcile_queue,
    )
    assert report.problems == {}
    assert report.events["repaired"] >= 1
    assert row.kind == TransactionKind.PREAUTH.value
