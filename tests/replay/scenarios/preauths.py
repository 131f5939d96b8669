"""Preauths: signed up, captured, cancelled, expired, in several orders."""

import asyncio
from datetime import timedelta
from decimal import Decimal

from temporalio.exceptions import ApplicationError

from integrator.contract.enums import PaymentErrorCode
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Approved, Declined, Pending
from tests.integration.workflows.conftest import WorkflowHarness, eventually
from tests.replay.scenarios.builders import (
    HOUR,
    NOON,
    NOT_FOUND,
    Handle,
    declined_as,
    external_movement,
    notification,
    redirect,
    reservation,
    reserve_request,
    start_workflow,
)
from workflows import activity_plans, timeouts
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


def declined_void(code: PaymentErrorCode) -> PspReply:
    """Build the reply of a PSP that declines the void."""
    return PspReply(outcome=Declined(code=code), evidence=EvidenceKind.ANSWER)


async def preauth_captured_elsewhere(harness: WorkflowHarness) -> Handle:
    """A capture made in the PSP's dashboard ends the preauth and is announced."""
    harness.answers[activity_plans.AUTHORIZE.name] = [reservation()]
    start = harness.preauth()
    await harness.create(start)
    await harness.client.record_external_movement(start, external_movement("ch_9", "10.00"))
    await harness.handle(TransactionKind.PREAUTH).result()
    return harness.handle(TransactionKind.PREAUTH)


async def preauth_redirect_finalized_captured(harness: WorkflowHarness) -> Handle:
    harness.answers[activity_plans.AUTHORIZE.name] = [redirect()]
    harness.answers[activity_plans.FETCH_AUTHORIZATION.name] = [reservation()]
    start = harness.preauth()
    state = await harness.create(start)
    resumed = start.model_copy(update={"resume": state})
    await harness.client.finalize(resumed)
    request = ReserveRequest(by="p1", amount=Decimal("10.00"), currency="EUR")
    await harness.client.reserve(resumed, request)
    await harness.client.close_reservation(resumed, ReservationResult(by="p1", booked=True))
    await harness.handle(TransactionKind.PREAUTH).result()
    return harness.handle(TransactionKind.PREAUTH)


async def preauth_redirect_notified_open(harness: WorkflowHarness) -> Handle:
    harness.answers[activity_plans.AUTHORIZE.name] = [redirect()]
    start = harness.preauth()
    await harness.create(start)
    await harness.notify(start, notification(reservation()))
    await eventually(lambda: harness.webhooks)
    return harness.handle(TransactionKind.PREAUTH)


async def preauth_abandoned(harness: WorkflowHarness) -> Handle:
    harness.answers[activity_plans.AUTHORIZE.name] = [redirect()]
    harness.answers[activity_plans.FETCH_AUTHORIZATION.name] = [
        redirect(),
        declined_as(Status.Expired),
    ]
    await harness.create(harness.preauth())
    await harness.advance_time(TransactionKind.PREAUTH, timedelta(hours=2))
    await harness.handle(TransactionKind.PREAUTH).result()
    return harness.handle(TransactionKind.PREAUTH)


async def preauth_cancelled(harness: WorkflowHarness) -> Handle:
    harness.answers[activity_plans.AUTHORIZE.name] = [reservation()]
    harness.answers[activity_plans.VOID.name] = [
        ApplicationError("unavailable", type="PspUnavailable"),
        declined_as(Status.Cancelled),
    ]
    start = harness.preauth()
    state = await harness.create(start)
    await harness.client.cancel(start.model_copy(update={"resume": state}))
    await harness.handle(TransactionKind.PREAUTH).result()
    return harness.handle(TransactionKind.PREAUTH)


async def preauth_expired(harness: WorkflowHarness) -> Handle:
    harness.answers[activity_plans.AUTHORIZE.name] = [reservation()]
    harness.answers[activity_plans.FETCH_AUTHORIZATION.name] = [declined_as(Status.Expired)]
    await harness.create(harness.preauth())
    await harness.advance_time(TransactionKind.PREAUTH, timedelta(days=8))
    await harness.handle(TransactionKind.PREAUTH).result()
    return harness.handle(TransactionKind.PREAUTH)


async def preauth_captures_in_any_order(harness: WorkflowHarness) -> Handle:
    """Captures reserve too early, reserve after their end, and release after a later attempt."""
    harness.answers[activity_plans.AUTHORIZE.name] = [redirect()]
    harness.answers[activity_plans.FETCH_AUTHORIZATION.name] = [reservation()]
    start = harness.preauth()
    resumed = start.model_copy(update={"resume": await harness.create(start)})
    await harness.client.reserve(resumed, reserve_request("p1", at=NOON))
    await harness.notify(start, notification(reservation()))
    await eventually(lambda: harness.webhooks)
    await harness.client.finalize(resumed)
    await harness.client.reserve(resumed, reserve_request("p1", at=NOON + HOUR))
    await harness.client.cancel(resumed)
    await harness.client.close_reservation(
        resumed, ReservationResult(by="p1", booked=False, at=NOON)
    )
    await harness.client.close_reservation(
        resumed, ReservationResult(by="p1", booked=False, at=NOON + HOUR)
    )
    await harness.client.reserve(resumed, reserve_request("p1", at=NOON + HOUR))
    await eventually(lambda: harness.calls_of(activity_plans.FETCH_AUTHORIZATION))
    return harness.handle(PREAUTH)


async def preauth_void_refused_then_done(harness: WorkflowHarness) -> Handle:
    """Declined, declined for bad credentials, then executed."""
    harness.answers[activity_plans.AUTHORIZE.name] = [reservation()]
    harness.answers[activity_plans.VOID.name] = [
        declined_void(PaymentErrorCode.InvalidPreconditions),
        declined_void(PaymentErrorCode.LoginError),
        declined_as(Status.Cancelled),
    ]
    start = harness.preauth()
    resumed = start.model_copy(update={"resume": await harness.create(start)})
    for _ in range(3):
        await harness.client.cancel(resumed)
    await harness.handle(PREAUTH).result()
    return harness.handle(PREAUTH)


async def preauth_void_unknown(harness: WorkflowHarness) -> Handle:
    """The void's outcome is unknown until a look-up shows the reservation as still held."""
    harness.answers[activity_plans.AUTHORIZE.name] = [reservation()]
    harness.answers[activity_plans.VOID.name] = [
        ApplicationError("lost", 2, type=PspFailure.CREDENTIALS, non_retryable=True)
    ]
    harness.answers[activity_plans.FETCH_AUTHORIZATION.name] = [reservation()]
    start = harness.preauth()
    resumed = start.model_copy(update={"resume": await harness.create(start)})
    await harness.client.cancel(resumed)
    await harness.advance_time(PREAUTH, timedelta(minutes=3))
    return harness.handle(PREAUTH)


async def preauth_void_forgotten(harness: WorkflowHarness) -> Handle:
    """The PSP accepted the void and never executed it."""
    harness.answers[activity_plans.AUTHORIZE.name] = [reservation()]
    harness.answers[activity_plans.VOID.name] = [ACCEPTED]
    harness.answers[activity_plans.FETCH_AUTHORIZATION.name] = [reservation()]
    start = harness.preauth()
    resumed = start.model_copy(update={"resume": await harness.create(start)})
    await harness.client.cancel(resumed)
    await harness.advance_time(PREAUTH, timedelta(days=4))
    return harness.handle(PREAUTH)


async def preauth_stored_card_cancelled(harness: WorkflowHarness) -> Handle:
    """Nothing is reserved: closed at once, later cancelled twice without a call to the PSP."""
    stored = Approved(psp_id=None, facts=())
    harness.answers[activity_plans.AUTHORIZE.name] = [
        PspReply(outcome=stored, evidence=EvidenceKind.ANSWER)
    ]
    start = harness.preauth(requested_amount=Decimal(0))
    state: PreauthState = await harness.create(start)
    await harness.handle(PREAUTH).result()
    handle = await start_workflow(
        harness, start.model_copy(update={"resume": state}), start_delay=HOUR
    )
    await asyncio.gather(*(handle.execute_update(CANCEL, result_type=CancelReply) for _ in "ab"))
    await handle.result()
    return handle


async def preauth_lapsed_unnoticed(harness: WorkflowHarness) -> Handle:
    """The PSP is unavailable at the expiry and shows the reservation as held for an hour more."""
    reply = reservation()
    harness.answers[activity_plans.AUTHORIZE.name] = [reply]
    harness.answers[activity_plans.FETCH_AUTHORIZATION.name] = [
        ApplicationError("unavailable", type=PspFailure.UNAVAILABLE, non_retryable=True),
        reply.model_copy(update={"evidence": EvidenceKind.READ}),
    ]
    harness.answers[activity_plans.VOID.name] = [declined_as(Status.Cancelled)]
    await harness.create(harness.preauth())
    await harness.advance_time(PREAUTH, timedelta(days=7, hours=3))
    await harness.handle(PREAUTH).result()
    return harness.handle(PREAUTH)


async def preauth_released_after_its_end(harness: WorkflowHarness) -> Handle:
    """The PSP shows the reservation after its end; its release is refused, lost, then done."""
    reply = reservation()
    held = reply.model_copy(update={"evidence": EvidenceKind.READ})
    harness.answers[activity_plans.AUTHORIZE.name] = [reply]
    harness.answers[activity_plans.FETCH_AUTHORIZATION.name] = [held]
    harness.answers[activity_plans.VOID.name] = [
        declined_void(PaymentErrorCode.InvalidPreconditions),
        *[ApplicationError("lost", type=PspFailure.UNKNOWN, non_retryable=True)] * 2,
        declined_as(Status.Cancelled),
    ]
    await harness.create(harness.preauth())
    await harness.advance_time(PREAUTH, timedelta(days=9))
    await harness.handle(PREAUTH).result()
    return harness.handle(PREAUTH)


async def preauth_release_refused_in_its_look_up(harness: WorkflowHarness) -> Handle:
    """A release without an answer is sent again by the next look-up, refused, and done later."""
    reply = reservation()
    held = reply.model_copy(update={"evidence": EvidenceKind.READ})
    checks_until_release = timeouts.EXPIRY_GRACE // timeouts.EXPIRY_RETRY + 1
    unavailable = ApplicationError("down", type=PspFailure.UNAVAILABLE, non_retryable=True)
    harness.answers[activity_plans.AUTHORIZE.name] = [reply]
    harness.answers[activity_plans.FETCH_AUTHORIZATION.name] = [
        *([held] * checks_until_release),
        *([unavailable] * 4),
        held,
    ]
    harness.answers[activity_plans.VOID.name] = [
        ApplicationError("lost", type=PspFailure.KEY_EXPIRED, non_retryable=True),
        declined_void(PaymentErrorCode.InvalidPreconditions),
        declined_as(Status.Cancelled),
    ]
    await harness.create(harness.preauth())
    await harness.advance_time(PREAUTH, timedelta(days=9))
    await harness.handle(PREAUTH).result()
    return harness.handle(PREAUTH)


async def preauth_unanswered_void_repeated(harness: WorkflowHarness) -> Handle:
    """A cancellation without an answer is sent again after a look-up, and answered."""
    harness.answers[activity_plans.AUTHORIZE.name] = [reservation()]
    harness.answers[activity_plans.VOID.name] = [
        ApplicationError("lost", type=PspFailure.KEY_EXPIRED, non_retryable=True),
        declined_as(Status.Cancelled),
    ]
    harness.answers[activity_plans.FETCH_AUTHORIZATION.name] = [reservation()]
    start = harness.preauth()
    resumed = start.model_copy(update={"resume": await harness.create(start)})
    await harness.client.cancel(resumed)
    await harness.advance_time(PREAUTH, timedelta(minutes=10))
    await harness.handle(PREAUTH).result()
    return harness.handle(PREAUTH)


async def preauth_ended_with_an_open_void(harness: WorkflowHarness) -> Handle:
    """The PSP cannot be read; a cancellation without an answer is sent again at the end."""
    harness.answers[activity_plans.AUTHORIZE.name] = [reservation()]
    harness.answers[activity_plans.VOID.name] = [
        ApplicationError("lost", type=PspFailure.KEY_EXPIRED, non_retryable=True),
        ACCEPTED,
    ]
    harness.answers[activity_plans.FETCH_AUTHORIZATION.name] = [
        *[NOT_FOUND] * 40,
        declined_as(Status.Expired),
    ]
    start = harness.preauth()
    resumed = start.model_copy(update={"resume": await harness.create(start)})
    await harness.client.cancel(resumed)
    await harness.advance_time(PREAUTH, timedelta(days=7, hours=12))
    await eventually(lambda: len(harness.calls_of(activity_plans.VOID)) == 2)
    return harness.handle(PREAUTH)


SCENARIOS = (
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
    preauth_released_after_its_end,
    preauth_release_refused_in_its_look_up,
    preauth_unanswered_void_repeated,
    preauth_ended_with_an_open_void,
)
