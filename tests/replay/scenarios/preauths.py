"""Preauths: signed up, captured, cancelled, expired, and what may come in between."""

import asyncio
from datetime import timedelta
from decimal import Decimal

from temporalio.exceptions import ApplicationError

from integrator.contract.enums import PaymentErrorCode
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Approved, Declined, Pending
from tests.replay.scenarios.parts import (
    HOUR,
    NOON,
    Handle,
    begun,
    ended,
    made_elsewhere,
    notice,
    redirect,
    reservation,
    wants,
)
from tests.workflows.conftest import World, eventually
from workflows import activity_plans
from workflows.messages import (
    CANCEL,
    CancelReply,
    PspFailure,
    PspReply,
    ReservationResult,
    ReserveRequest,
)
from workflows.state import EvidenceKind, PreauthState, TransactionKind

PREAUTH = TransactionKind.PREAUTH
ACCEPTED = PspReply(outcome=Pending(psp_id="auth_1"), evidence=EvidenceKind.ANSWER)


def kept(code: PaymentErrorCode) -> PspReply:
    """The PSP does not give the reservation back."""
    return PspReply(outcome=Declined(code=code), evidence=EvidenceKind.ANSWER)


async def preauth_captured_elsewhere(world: World) -> Handle:
    """A capture made in the PSP's dashboard, announced, ends the preauth."""
    world.answers[activity_plans.AUTHORIZE.name] = [reservation()]
    start = world.preauth()
    await world.create(start)
    await world.gateway.record_external_movement(start, made_elsewhere("ch_9", "10.00"))
    await world.handle(TransactionKind.PREAUTH).result()
    return world.handle(TransactionKind.PREAUTH)


async def preauth_redirect_finalized_captured(world: World) -> Handle:
    world.answers[activity_plans.AUTHORIZE.name] = [redirect()]
    world.answers[activity_plans.FETCH_AUTHORIZATION.name] = [reservation()]
    start = world.preauth()
    state = await world.create(start)
    resumed = start.model_copy(update={"resume": state})
    await world.gateway.finalize(resumed)
    request = ReserveRequest(by="p1", amount=Decimal("10.00"), currency="EUR")
    await world.gateway.reserve(resumed, request)
    await world.gateway.close_reservation(resumed, ReservationResult(by="p1", booked=True))
    await world.handle(TransactionKind.PREAUTH).result()
    return world.handle(TransactionKind.PREAUTH)


async def preauth_redirect_notified_open(world: World) -> Handle:
    world.answers[activity_plans.AUTHORIZE.name] = [redirect()]
    start = world.preauth()
    await world.create(start)
    await world.notify(start, notice(reservation()))
    await eventually(lambda: world.webhooks)
    return world.handle(TransactionKind.PREAUTH)


async def preauth_abandoned(world: World) -> Handle:
    world.answers[activity_plans.AUTHORIZE.name] = [redirect()]
    world.answers[activity_plans.FETCH_AUTHORIZATION.name] = [redirect(), ended(Status.Expired)]
    await world.create(world.preauth())
    await world.later(TransactionKind.PREAUTH, timedelta(hours=2))
    await world.handle(TransactionKind.PREAUTH).result()
    return world.handle(TransactionKind.PREAUTH)


async def preauth_cancelled(world: World) -> Handle:
    world.answers[activity_plans.AUTHORIZE.name] = [reservation()]
    world.answers[activity_plans.VOID.name] = [
        ApplicationError("away", type="PspUnavailable"),
        ended(Status.Cancelled),
    ]
    start = world.preauth()
    state = await world.create(start)
    await world.gateway.cancel(start.model_copy(update={"resume": state}))
    await world.handle(TransactionKind.PREAUTH).result()
    return world.handle(TransactionKind.PREAUTH)


async def preauth_expired(world: World) -> Handle:
    world.answers[activity_plans.AUTHORIZE.name] = [reservation()]
    world.answers[activity_plans.FETCH_AUTHORIZATION.name] = [ended(Status.Expired)]
    await world.create(world.preauth())
    await world.later(TransactionKind.PREAUTH, timedelta(days=8))
    await world.handle(TransactionKind.PREAUTH).result()
    return world.handle(TransactionKind.PREAUTH)


async def preauth_captures_in_any_order(world: World) -> Handle:
    """Captures ask too early, ask again after their end, and give back after a later attempt."""
    world.answers[activity_plans.AUTHORIZE.name] = [redirect()]
    world.answers[activity_plans.FETCH_AUTHORIZATION.name] = [reservation()]
    start = world.preauth()
    resumed = start.model_copy(update={"resume": await world.create(start)})
    await world.gateway.reserve(resumed, wants("p1", at=NOON))
    await world.notify(start, notice(reservation()))
    await eventually(lambda: world.webhooks)
    await world.gateway.finalize(resumed)
    await world.gateway.reserve(resumed, wants("p1", at=NOON + HOUR))
    await world.gateway.cancel(resumed)
    await world.gateway.close_reservation(
        resumed, ReservationResult(by="p1", booked=False, at=NOON)
    )
    await world.gateway.close_reservation(
        resumed, ReservationResult(by="p1", booked=False, at=NOON + HOUR)
    )
    await world.gateway.reserve(resumed, wants("p1", at=NOON + HOUR))
    await eventually(lambda: world.called(activity_plans.FETCH_AUTHORIZATION))
    return world.handle(PREAUTH)


async def preauth_void_refused_then_done(world: World) -> Handle:
    """Refused, refused for bad credentials, answered only when nobody waits; then done."""
    world.answers[activity_plans.AUTHORIZE.name] = [reservation()]
    world.answers[activity_plans.VOID.name] = [
        kept(PaymentErrorCode.InvalidPreconditions),
        kept(PaymentErrorCode.LoginError),
        ended(Status.Cancelled),
    ]
    start = world.preauth()
    resumed = start.model_copy(update={"resume": await world.create(start)})
    for _ in range(3):
        await world.gateway.cancel(resumed)
    await world.handle(PREAUTH).result()
    return world.handle(PREAUTH)


async def preauth_void_unknown(world: World) -> Handle:
    """Nobody knows what became of the void until a look-up shows the reservation still held."""
    world.answers[activity_plans.AUTHORIZE.name] = [reservation()]
    world.answers[activity_plans.VOID.name] = [
        ApplicationError("lost", 2, type=PspFailure.CREDENTIALS, non_retryable=True)
    ]
    world.answers[activity_plans.FETCH_AUTHORIZATION.name] = [reservation()]
    start = world.preauth()
    resumed = start.model_copy(update={"resume": await world.create(start)})
    await world.gateway.cancel(resumed)
    await world.later(PREAUTH, timedelta(minutes=3))
    return world.handle(PREAUTH)


async def preauth_void_forgotten(world: World) -> Handle:
    """The PSP accepted the void and never carried it out."""
    world.answers[activity_plans.AUTHORIZE.name] = [reservation()]
    world.answers[activity_plans.VOID.name] = [ACCEPTED]
    world.answers[activity_plans.FETCH_AUTHORIZATION.name] = [reservation()]
    start = world.preauth()
    resumed = start.model_copy(update={"resume": await world.create(start)})
    await world.gateway.cancel(resumed)
    await world.later(PREAUTH, timedelta(days=4))
    return world.handle(PREAUTH)


async def preauth_stored_card_cancelled(world: World) -> Handle:
    """Nothing is reserved: it closes at once, and is cancelled later without the PSP; twice."""
    stored = Approved(psp_id=None, facts=())
    world.answers[activity_plans.AUTHORIZE.name] = [
        PspReply(outcome=stored, evidence=EvidenceKind.ANSWER)
    ]
    start = world.preauth(requested_amount=Decimal(0))
    state: PreauthState = await world.create(start)
    await world.handle(PREAUTH).result()
    handle = await begun(world, start.model_copy(update={"resume": state}), start_delay=HOUR)
    await asyncio.gather(*(handle.execute_update(CANCEL, result_type=CancelReply) for _ in "ab"))
    await handle.result()
    return handle


async def preauth_lapsed_unnoticed(world: World) -> Handle:
    """The PSP is away at the end of a reservation and shows it as held for an hour after."""
    held = reservation()
    world.answers[activity_plans.AUTHORIZE.name] = [held]
    world.answers[activity_plans.FETCH_AUTHORIZATION.name] = [
        ApplicationError("away", type=PspFailure.UNAVAILABLE, non_retryable=True),
        held.model_copy(update={"evidence": EvidenceKind.READ}),
    ]
    await world.create(world.preauth())
    await world.later(PREAUTH, timedelta(days=7, hours=3))
    await world.handle(PREAUTH).result()
    return world.handle(PREAUTH)


STORIES = (
    preauth_captured_elsewhere,
    preauth_redirect_finalized_captured,
    preauth_redirect_notified_open,
    preauth_abandoned,
    preauth_cancelled,
    preauth_expired,
    preauth_captures_in_any_order,
    preauth_void_refused_then_done,
    preauth_void_unknown,
    preauth_void_forgotten,
    preauth_stored_card_cancelled,
    preauth_lapsed_unnoticed,
)
