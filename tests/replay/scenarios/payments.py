"""Payments as they go: charged, captured, declined, settled late, refunded, charged back."""

from datetime import date, timedelta
from decimal import Decimal

from integrator.contract.enums import PaymentErrorCode, PublicPaymentProviderRole
from integrator.psp.types import Declined, Fact, FactKind
from tests.replay.scenarios.parts import (
    HOUR,
    NOON,
    PENDING,
    REJECTED,
    Handle,
    begun,
    made_elsewhere,
    notice,
    wants,
    with_facts,
)
from tests.workflows.conftest import World, approved, eventually
from workflows import activity_plans
from workflows.messages import (
    NOTIFY,
    NotificationSignal,
    PspReply,
    ReservationResult,
    ReserveRequest,
)
from workflows.state import BookedRefund, EvidenceKind, TransactionKind


async def payment_captured_open(world: World) -> Handle:
    world.answers[activity_plans.CAPTURE.name] = [
        approved("ch_1").model_copy(update={"settled": True})
    ]
    await world.create(world.payment(preauth_id="a1"))
    return world.handle(TransactionKind.PAYMENT)


async def payment_captured_closed(world: World) -> Handle:
    await payment_captured_open(world)
    await world.later(TransactionKind.PAYMENT, timedelta(days=401))
    await world.handle(TransactionKind.PAYMENT).result()
    return world.handle(TransactionKind.PAYMENT)


async def payment_declined(world: World) -> Handle:
    declined = Declined(code=PaymentErrorCode.InsufficientBalance, message="no")
    world.answers[activity_plans.CHARGE.name] = [
        PspReply(outcome=declined, evidence=EvidenceKind.ANSWER)
    ]
    await world.create(world.payment())
    await world.handle(TransactionKind.PAYMENT).result()
    return world.handle(TransactionKind.PAYMENT)


async def payment_debit_refunded_charged_back(world: World) -> Handle:
    """Pending for days, asked for, settled by notification, refunded in part, charged back."""
    world.answers[activity_plans.CHARGE.name] = [PENDING]
    world.answers[activity_plans.FETCH_PAYMENT.name] = [
        PENDING.model_copy(update={"evidence": EvidenceKind.READ})
    ]
    role = PublicPaymentProviderRole.Debit
    start = world.payment(role=role, execute_on=date(2026, 1, 20))
    state = await world.create(start)
    await world.later(TransactionKind.PAYMENT, timedelta(days=2))
    await world.notify(start, notice(approved("ch_1")))
    await eventually(lambda: world.webhooks)
    resumed = start.model_copy(update={"resume": state})
    for by, booked in (("r1", True), ("r2", False)):
        request = ReserveRequest(by=by, amount=Decimal("4.00"), currency="EUR")
        await world.gateway.reserve(resumed, request)
        refund = BookedRefund(amount=Decimal("4.00"), psp_id="re_1", booked_on=date(2026, 1, 21))
        settlement = ReservationResult(by=by, booked=booked, refund=refund if booked else None)
        await world.gateway.close_reservation(resumed, settlement)
    back = Fact(kind=FactKind.CHARGED_BACK, id="cb_1", amount=Decimal("6.00"))
    await world.notify(start, notice(with_facts(back)))
    await eventually(lambda: len(world.webhooks) >= 2)
    return world.handle(TransactionKind.PAYMENT)


async def payment_refunded_elsewhere(world: World) -> Handle:
    """Reconciliation has it looked up and tells it of a refund made in the PSP's dashboard."""
    world.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
    world.answers[activity_plans.FETCH_PAYMENT.name] = [
        approved("ch_1", evidence=EvidenceKind.READ)
    ]
    start = world.payment()
    await world.create(start)
    await world.gateway.look_up(start)
    await eventually(lambda: world.called(activity_plans.FETCH_PAYMENT))
    await world.gateway.record_external_movement(start, made_elsewhere("re_9", "4.00"))
    await eventually(lambda: world.webhooks)
    return world.handle(TransactionKind.PAYMENT)


async def payment_refunds_in_any_order(world: World) -> Handle:
    """Refunds ask too early, ask again after their end, and give back after a later attempt."""
    world.answers[activity_plans.CHARGE.name] = [PENDING]
    start = world.payment()
    resumed = start.model_copy(update={"resume": await world.create(start)})
    await world.gateway.reserve(resumed, wants("r1", "4.00", NOON))
    await world.notify(start, notice(approved("ch_1")))
    await eventually(lambda: world.webhooks)
    await world.gateway.reserve(resumed, wants("r1", "4.00", NOON + HOUR))
    await world.gateway.close_reservation(
        resumed, ReservationResult(by="r1", booked=False, at=NOON)
    )
    await world.gateway.close_reservation(
        resumed, ReservationResult(by="r1", booked=False, at=NOON + HOUR)
    )
    await world.gateway.reserve(resumed, wants("r1", "4.00", NOON + HOUR))
    return world.handle(TransactionKind.PAYMENT)


async def payment_indexed(world: World) -> Handle:
    """Its search attributes change with it, and stay when nothing that they show does."""
    world.answers[activity_plans.CHARGE.name] = [PENDING]
    start = world.payment(agreement_id="a1")
    resumed = start.model_copy(update={"resume": await world.create(start)})
    await world.notify(start, notice(approved("ch_1")))
    await eventually(lambda: world.webhooks)
    await world.gateway.reserve(resumed, wants("r1", "4.00"))
    await eventually(lambda: "r1" in world.records[-1].snapshot)
    return world.handle(TransactionKind.PAYMENT)


async def payment_capture_failed_later(world: World) -> Handle:
    """Accepted, then refused: the reservation is given back before anybody can see it."""
    world.answers[activity_plans.CAPTURE.name] = [PENDING]
    start = world.payment(preauth_id="a1")
    await world.create(start)
    await world.notify(start, notice(REJECTED))
    await world.handle(TransactionKind.PAYMENT).result()
    return world.handle(TransactionKind.PAYMENT)


async def payment_reopened_by_chargeback(world: World) -> Handle:
    """The money came back after the workflow's end; it goes on from what the store keeps."""
    world.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
    state = await world.create(world.payment())
    await world.later(TransactionKind.PAYMENT, timedelta(days=401))
    await world.handle(TransactionKind.PAYMENT).result()
    back = Fact(kind=FactKind.CHARGED_BACK, id="cb_1", amount=Decimal("10.00"))
    world.notifications[1] = notice(with_facts(back))
    handle = await begun(
        world,
        world.payment(resume=state),
        start_signal=NOTIFY,
        start_signal_args=[NotificationSignal(notification_id=1)],
    )
    await eventually(lambda: world.webhooks)
    return handle


STORIES = (
    payment_captured_open,
    payment_captured_closed,
    payment_declined,
    payment_debit_refunded_charged_back,
    payment_refunded_elsewhere,
    payment_refunds_in_any_order,
    payment_indexed,
    payment_capture_failed_later,
    payment_reopened_by_chargeback,
)
