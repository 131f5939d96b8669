"""PreauthWorkflow on a real server with virtual time."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from temporalio.exceptions import ApplicationError

from integrator.contract.enums import PaymentCancellationStatus as CancelStatus
from integrator.contract.enums import PaymentErrorCode
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Approved, Declined, Fact, FactKind, Pending, RedirectRequired
from tests.workflows.conftest import World, eventually
from workflows import activity_plans
from workflows.messages import (
    NotificationResult,
    PreauthInput,
    PspFailure,
    PspReply,
    ReservationResult,
    ReserveRequest,
)
from workflows.state import EvidenceKind, PreauthState, TransactionKind

PREAUTH = TransactionKind.PREAUTH


def reserved(evidence: EvidenceKind = EvidenceKind.ANSWER, days: int = 7) -> PspReply:
    fact = Fact(
        kind=FactKind.AUTHORIZED,
        id="auth_1",
        amount=Decimal("10.00"),
        expires_at=datetime.now(UTC) + timedelta(days=days),
    )
    return PspReply(outcome=Approved(psp_id="auth_1", facts=(fact,)), evidence=evidence)


def redirect() -> PspReply:
    outcome = RedirectRequired(psp_id="cs_1", expires_at=datetime.now(UTC) + timedelta(minutes=30))
    return PspReply(outcome=outcome, evidence=EvidenceKind.ANSWER)


def ended(status: Status, evidence: EvidenceKind = EvidenceKind.READ) -> PspReply:
    outcome = Declined(code=PaymentErrorCode.Canceled, status=status)
    return PspReply(outcome=outcome, evidence=evidence)


def reopening(start: PreauthInput, state: PreauthState) -> PreauthInput:
    return start.model_copy(update={"resume": state})


async def test_a_plain_preauth_succeeds_and_activates_its_agreement_once(world: World) -> None:
    world.answers[activity_plans.AUTHORIZE.name] = [reserved()]
    start = world.preauth()
    state = await world.create(start)
    assert state.status is Status.Succeeded
    assert state.authorized_amount == Decimal("10.00")
    request = ReserveRequest(by="p1", amount=Decimal("10.00"), currency="EUR")
    await world.gateway.reserve(reopening(start, state), request)
    await eventually(lambda: len(world.records) == 2)
    assert [record.activate_agreement for record in world.records] == [True, False]


async def test_nothing_reserved_means_nothing_to_wait_for(world: World) -> None:
    stored = Approved(psp_id="mdt_1", facts=())
    world.answers[activity_plans.AUTHORIZE.name] = [
        PspReply(outcome=stored, evidence=EvidenceKind.ANSWER)
    ]
    state = await world.create(world.preauth(requested_amount=Decimal(0)))
    assert state.status is Status.Succeeded
    assert state.authorized_amount == 0
    assert await world.handle(PREAUTH).result() == "Succeeded"


async def test_finalize_asks_the_psp_and_a_later_notification_finds_the_work_done(
    world: World,
) -> None:
    world.answers[activity_plans.AUTHORIZE.name] = [redirect()]
    world.answers[activity_plans.FETCH_AUTHORIZATION.name] = [reserved(EvidenceKind.READ)]
    start = world.preauth()
    state = await world.create(start)
    assert state.status is Status.Initiated
    assert state.psp_session_id == "cs_1"
    assert state.psp_transaction_id is None

    state = await world.gateway.finalize(reopening(start, state))
    assert state.status is Status.Succeeded
    assert state.evidence is not None
    assert state.evidence.kind is EvidenceKind.READ
    outcome = reserved().outcome
    assert isinstance(outcome, Approved)
    same = outcome.model_copy(update={"facts": tuple(state.facts.values())})
    await world.notify(start, NotificationResult(outcome=same, event_id="evt_1"))
    await eventually(lambda: world.webhooks)
    assert (await world.state(PREAUTH)).version == state.version
    assert len(world.webhooks) == 1


async def test_a_notification_completes_what_nobody_finalizes(world: World) -> None:
    world.answers[activity_plans.AUTHORIZE.name] = [redirect()]
    start = world.preauth()
    await world.create(start)
    await world.notify(start, NotificationResult(outcome=reserved().outcome, event_id="evt_1"))
    await eventually(lambda: world.webhooks)
    state = await world.state(PREAUTH)
    assert state.status is Status.Succeeded
    assert state.evidence.kind is EvidenceKind.NOTIFICATION


async def test_an_untrusted_notification_makes_the_workflow_ask(world: World) -> None:
    world.answers[activity_plans.AUTHORIZE.name] = [redirect()]
    world.answers[activity_plans.FETCH_AUTHORIZATION.name] = [reserved(EvidenceKind.READ)]
    start = world.preauth()
    await world.create(start)
    await world.notify(start, NotificationResult(outcome=None, event_id="evt_1", fetch=True))
    await eventually(lambda: world.webhooks)
    assert (await world.state(PREAUTH)).evidence.kind is EvidenceKind.READ


async def test_an_abandoned_checkout_expires_by_the_psps_word(world: World) -> None:
    world.answers[activity_plans.AUTHORIZE.name] = [redirect()]
    still_open = redirect().model_copy(update={"evidence": EvidenceKind.READ})
    world.answers[activity_plans.FETCH_AUTHORIZATION.name] = [
        still_open,
        still_open,
        ApplicationError("away", type=PspFailure.UNAVAILABLE, non_retryable=True),
        ended(Status.Expired),
    ]
    await world.create(world.preauth())
    await world.later(PREAUTH, timedelta(hours=2))
    assert await world.handle(PREAUTH).result() == "Expired"
    assert len(world.webhooks) == 1


async def test_a_reservation_expires_even_if_the_psp_forgets_to_say_so(world: World) -> None:
    reply = reserved()
    world.answers[activity_plans.AUTHORIZE.name] = [reply]
    world.answers[activity_plans.FETCH_AUTHORIZATION.name] = [
        reply.model_copy(update={"evidence": EvidenceKind.READ})
    ]
    await world.create(world.preauth())
    await world.later(PREAUTH, timedelta(days=6, hours=23))
    assert (await world.state(PREAUTH)).status is Status.Succeeded
    await world.later(PREAUTH, timedelta(hours=3))
    assert await world.handle(PREAUTH).result() == "Expired"
    assert len(world.webhooks) == 1


async def test_a_captured_reservation_does_not_expire(world: World) -> None:
    world.answers[activity_plans.AUTHORIZE.name] = [reserved()]
    start = world.preauth()
    state = await world.create(start)
    resumed = reopening(start, state)
    request = ReserveRequest(by="p1", amount=Decimal("10.00"), currency="EUR")
    assert (await world.gateway.reserve(resumed, request)).psp_id == "auth_1"
    await world.later(PREAUTH, timedelta(days=8))
    assert (await world.state(PREAUTH)).status is Status.Succeeded
    await world.gateway.close_reservation(resumed, ReservationResult(by="p1", booked=True))
    assert await world.handle(PREAUTH).result() == "Succeeded"


async def test_cancel_is_confirmed_by_a_void_and_repeats_succeed(world: World) -> None:
    world.answers[activity_plans.AUTHORIZE.name] = [reserved()]
    world.answers[activity_plans.VOID.name] = [ended(Status.Cancelled, EvidenceKind.ANSWER)]
    start = world.preauth()
    state = await world.create(start)
    resumed = reopening(start, state)
    replies = await asyncio.gather(*(world.gateway.cancel(resumed) for _ in range(3)))
    assert {reply.status for reply in replies} == {CancelStatus.Succeeded}
    assert len(world.called(activity_plans.VOID)) == 1
    assert await world.handle(PREAUTH).result() == "Cancelled"
    assert len(world.webhooks) == 1


async def test_capture_and_cancel_exclude_each_other(world: World) -> None:
    world.answers[activity_plans.AUTHORIZE.name] = [reserved()]
    gate = asyncio.Event()

    def refuses(_call: object) -> PspReply:
        return PspReply(
            outcome=Declined(code=PaymentErrorCode.InvalidPreconditions),
            evidence=EvidenceKind.ANSWER,
        )

    world.answers[activity_plans.VOID.name] = [
        ApplicationError("away", type=PspFailure.UNAVAILABLE),
        refuses,
    ]
    start = world.preauth()
    state = await world.create(start)
    resumed = reopening(start, state)
    cancelling = asyncio.create_task(world.gateway.cancel(resumed))
    await eventually(lambda: world.called(activity_plans.VOID))
    request = ReserveRequest(by="p1", amount=Decimal("10.00"), currency="EUR")
    refused = await world.gateway.reserve(resumed, request)
    assert refused.refusal is not None
    assert refused.refusal.code is PaymentErrorCode.InvalidPreconditions
    assert (await cancelling).status is CancelStatus.Failed
    gate.set()

    other = request.model_copy(update={"by": "p2"})
    assert (await world.gateway.reserve(resumed, other)).refusal is None
    late = await world.gateway.cancel(resumed)
    assert late.refusal is not None
    third = await world.gateway.reserve(resumed, request.model_copy(update={"by": "p3"}))
    assert third.refusal is not None


async def test_an_open_checkout_can_be_cancelled(world: World) -> None:
    world.answers[activity_plans.AUTHORIZE.name] = [redirect()]
    world.answers[activity_plans.VOID.name] = [ended(Status.Cancelled, EvidenceKind.ANSWER)]
    start = world.preauth()
    state = await world.create(start)
    reply = await world.gateway.cancel(reopening(start, state))
    assert reply.status is CancelStatus.Succeeded
    assert world.called(activity_plans.VOID)[0].psp_id == "cs_1"


async def test_a_closed_preauth_without_reservation_can_still_be_cancelled(world: World) -> None:
    stored = Approved(psp_id=None, facts=())
    world.answers[activity_plans.AUTHORIZE.name] = [
        PspReply(outcome=stored, evidence=EvidenceKind.ANSWER)
    ]
    start = world.preauth(requested_amount=Decimal(0))
    state = await world.create(start)
    await world.handle(PREAUTH).result()
    reply = await world.gateway.cancel(reopening(start, state))
    assert reply.status is CancelStatus.Succeeded
    assert world.called(activity_plans.VOID) == []
    assert (await world.state(PREAUTH)).status is Status.Cancelled


async def test_a_reservation_that_lapsed_during_a_failed_capture_expires_afterwards(
    world: World,
) -> None:
    world.answers[activity_plans.AUTHORIZE.name] = [reserved()]
    world.answers[activity_plans.FETCH_AUTHORIZATION.name] = [ended(Status.Expired)]
    start = world.preauth()
    state = await world.create(start)
    resumed = reopening(start, state)
    request = ReserveRequest(by="p1", amount=Decimal("10.00"), currency="EUR")
    await world.gateway.reserve(resumed, request)
    await world.later(PREAUTH, timedelta(days=8))
    lapsed = NotificationResult(outcome=ended(Status.Expired).outcome, event_id="evt_1")
    await world.notify(start, lapsed)
    await world.gateway.close_reservation(resumed, ReservationResult(by="p1", booked=False))
    assert await world.handle(PREAUTH).result() == "Expired"
    assert len(world.webhooks) == 1


async def test_a_capture_that_comes_before_the_answer_is_asked_to_come_again(world: World) -> None:
    world.answers[activity_plans.AUTHORIZE.name] = [redirect()]
    start = world.preauth()
    state = await world.create(start)
    request = ReserveRequest(by="p1", amount=Decimal("10.00"), currency="EUR")
    grant = await world.gateway.reserve(reopening(start, state), request)
    assert grant.undecided
    await world.notify(start, NotificationResult(outcome=reserved().outcome, event_id="evt_1"))
    await eventually(lambda: world.webhooks)
    grant = await world.gateway.reserve(reopening(start, state), request)
    assert (grant.psp_id, grant.refusal, grant.undecided) == ("auth_1", None, False)


async def test_a_capture_that_arrives_after_its_own_end_does_not_hold_the_preauth(
    world: World,
) -> None:
    world.answers[activity_plans.AUTHORIZE.name] = [reserved()]
    world.answers[activity_plans.FETCH_AUTHORIZATION.name] = [reserved()]
    start = world.preauth()
    resumed = reopening(start, await world.create(start))
    at = datetime(2026, 1, 16, 10, tzinfo=UTC)
    request = ReserveRequest(by="p1", amount=Decimal("10.00"), currency="EUR", at=at)
    assert not (await world.gateway.reserve(resumed, request)).superseded
    await world.gateway.close_reservation(resumed, ReservationResult(by="p1", booked=False, at=at))
    assert (await world.gateway.reserve(resumed, request)).superseded
    assert (await world.state(PREAUTH)).captured_by is None
    again = request.model_copy(update={"at": at + timedelta(seconds=1)})
    assert (await world.gateway.reserve(resumed, again)).psp_id == "auth_1"


async def test_a_void_that_was_only_accepted_keeps_captures_out_until_it_is_done(
    world: World,
) -> None:
    accepted = PspReply(outcome=Pending(psp_id="auth_1"), evidence=EvidenceKind.ANSWER)
    world.answers[activity_plans.AUTHORIZE.name] = [reserved(days=30)]
    world.answers[activity_plans.VOID.name] = [accepted]
    world.answers[activity_plans.FETCH_AUTHORIZATION.name] = [
        *[reserved(EvidenceKind.READ, days=30)] * 3,
        ended(Status.Cancelled),
    ]
    start = world.preauth()
    resumed = reopening(start, await world.create(start))
    assert (await world.gateway.cancel(resumed)).status is CancelStatus.Pending
    await world.later(PREAUTH, timedelta(minutes=10))
    request = ReserveRequest(by="p1", amount=Decimal("10.00"), currency="EUR")
    refusal = (await world.gateway.reserve(resumed, request)).refusal
    assert refusal is not None
    assert "being cancelled" in refusal.message
    await world.later(PREAUTH, timedelta(hours=12))
    assert await world.handle(PREAUTH).result() == "Cancelled"
    assert len(world.called(activity_plans.VOID)) == 1


async def test_a_void_that_was_accepted_and_forgotten_asks_for_attention(world: World) -> None:
    accepted = PspReply(outcome=Pending(psp_id="auth_1"), evidence=EvidenceKind.ANSWER)
    world.answers[activity_plans.AUTHORIZE.name] = [reserved(days=30)]
    world.answers[activity_plans.VOID.name] = [accepted]
    world.answers[activity_plans.FETCH_AUTHORIZATION.name] = [reserved(EvidenceKind.READ, days=30)]
    start = world.preauth()
    resumed = reopening(start, await world.create(start))
    await world.gateway.cancel(resumed)
    await world.later(PREAUTH, timedelta(days=4))
    state = await world.state(PREAUTH)
    assert (state.status, state.cancelling) == (Status.Succeeded, False)
    assert "never carried it out" in state.attention
