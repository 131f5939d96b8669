"""PreauthWorkflow on a real server with virtual time."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from temporalio.exceptions import ApplicationError

from integrator.contract.enums import PaymentCancellationStatus as CancelStatus
from integrator.contract.enums import PaymentErrorCode
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Approved, Declined, Fact, FactKind, Pending, RedirectRequired
from tests.integration.workflows.conftest import WorkflowHarness, eventually
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


def resumed_input(start: PreauthInput, state: PreauthState) -> PreauthInput:
    return start.model_copy(update={"resume": state})


async def test_a_plain_preauth_succeeds_and_activates_its_agreement_once(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.AUTHORIZE.name] = [reserved()]
    start = harness.preauth()
    state = await harness.create(start)
    assert state.status is Status.Succeeded
    assert state.authorized_amount == Decimal("10.00")
    request = ReserveRequest(by="p1", amount=Decimal("10.00"), currency="EUR")
    await harness.client.reserve(resumed_input(start, state), request)
    await eventually(lambda: len(harness.records) == 2)
    assert [record.activate_agreement for record in harness.records] == [True, False]


async def test_a_preauth_without_a_reservation_completes_at_once(harness: WorkflowHarness) -> None:
    stored = Approved(psp_id="mdt_1", facts=())
    harness.answers[activity_plans.AUTHORIZE.name] = [
        PspReply(outcome=stored, evidence=EvidenceKind.ANSWER)
    ]
    state = await harness.create(harness.preauth(requested_amount=Decimal(0)))
    assert state.status is Status.Succeeded
    assert state.authorized_amount == 0
    assert await harness.handle(PREAUTH).result() == "Succeeded"


async def test_finalize_asks_the_psp_and_a_later_notification_changes_nothing(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.AUTHORIZE.name] = [redirect()]
    harness.answers[activity_plans.FETCH_AUTHORIZATION.name] = [reserved(EvidenceKind.READ)]
    start = harness.preauth()
    state = await harness.create(start)
    assert state.status is Status.Initiated
    assert state.psp_session_id == "cs_1"
    assert state.psp_transaction_id is None

    state = await harness.client.finalize(resumed_input(start, state))
    assert state.status is Status.Succeeded
    assert state.evidence is not None
    assert state.evidence.kind is EvidenceKind.READ
    outcome = reserved().outcome
    assert isinstance(outcome, Approved)
    same = outcome.model_copy(update={"facts": tuple(state.facts.values())})
    await harness.notify(start, NotificationResult(outcome=same, event_id="evt_1"))
    await eventually(lambda: harness.webhooks)
    assert (await harness.state(PREAUTH)).version == state.version
    assert len(harness.webhooks) == 1


async def test_a_notification_completes_a_preauth_that_is_not_finalized(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.AUTHORIZE.name] = [redirect()]
    start = harness.preauth()
    await harness.create(start)
    await harness.notify(start, NotificationResult(outcome=reserved().outcome, event_id="evt_1"))
    await eventually(lambda: harness.webhooks)
    state = await harness.state(PREAUTH)
    assert state.status is Status.Succeeded
    assert state.evidence.kind is EvidenceKind.NOTIFICATION


async def test_an_untrusted_notification_causes_a_look_up(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.AUTHORIZE.name] = [redirect()]
    harness.answers[activity_plans.FETCH_AUTHORIZATION.name] = [reserved(EvidenceKind.READ)]
    start = harness.preauth()
    await harness.create(start)
    await harness.notify(start, NotificationResult(outcome=None, event_id="evt_1", fetch=True))
    await eventually(lambda: harness.webhooks)
    assert (await harness.state(PREAUTH)).evidence.kind is EvidenceKind.READ


async def test_an_abandoned_checkout_expires_when_the_psp_reports_it(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.AUTHORIZE.name] = [redirect()]
    still_open = redirect().model_copy(update={"evidence": EvidenceKind.READ})
    harness.answers[activity_plans.FETCH_AUTHORIZATION.name] = [
        still_open,
        still_open,
        ApplicationError("unavailable", type=PspFailure.UNAVAILABLE, non_retryable=True),
        ended(Status.Expired),
    ]
    await harness.create(harness.preauth())
    await harness.advance_time(PREAUTH, timedelta(hours=2))
    assert await harness.handle(PREAUTH).result() == "Expired"
    assert len(harness.webhooks) == 1


VOIDED = PspReply(outcome=Approved(psp_id="auth_1"), evidence=EvidenceKind.ANSWER)
REFUSED = PspReply(
    outcome=Declined(code=PaymentErrorCode.InvalidPreconditions), evidence=EvidenceKind.ANSWER
)
LOST = ApplicationError("lost", type=PspFailure.UNKNOWN, non_retryable=True)
RESERVED = reserved()
STILL_HELD = RESERVED.model_copy(update={"evidence": EvidenceKind.READ})


async def reserve_and_wait(harness: WorkflowHarness, duration: timedelta) -> None:
    """Reserve for seven days at a PSP that goes on showing the reservation, and let time pass."""
    harness.answers[activity_plans.AUTHORIZE.name] = [RESERVED]
    harness.answers.setdefault(activity_plans.FETCH_AUTHORIZATION.name, [STILL_HELD])
    await harness.create(harness.preauth())
    await harness.advance_time(PREAUTH, timedelta(days=6, hours=23))
    assert (await harness.state(PREAUTH)).status is Status.Succeeded
    assert harness.calls_of(activity_plans.VOID) == []
    await harness.advance_time(PREAUTH, duration)


async def test_a_reservation_that_the_psp_shows_after_its_end_is_voided_and_expires(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.VOID.name] = [VOIDED]
    await reserve_and_wait(harness, timedelta(hours=3))
    assert await harness.handle(PREAUTH).result() == "Expired"
    assert len(harness.calls_of(activity_plans.VOID)) == 1
    assert len(harness.webhooks) == 1


async def test_it_does_not_expire_before_its_release_is_confirmed(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.VOID.name] = [LOST]
    await reserve_and_wait(harness, timedelta(hours=3))
    state = await harness.state(PREAUTH)
    assert (state.status, state.cancelling) == (Status.Succeeded, True)
    harness.answers[activity_plans.FETCH_AUTHORIZATION.name] = [ended(Status.Expired)]
    await harness.advance_time(PREAUTH, timedelta(days=2))
    assert await harness.handle(PREAUTH).result() == "Expired"
    keys = {call.idempotency_key for call in harness.calls_of(activity_plans.VOID)}
    assert len(keys) == 1


async def test_a_refused_release_asks_for_attention_and_a_read_shows_its_end(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.VOID.name] = [REFUSED]
    harness.answers[activity_plans.FETCH_AUTHORIZATION.name] = [
        *[STILL_HELD] * 14,
        ended(Status.Expired),
    ]
    await reserve_and_wait(harness, timedelta(hours=3))
    state = await harness.state(PREAUTH)
    assert (state.status, state.cancelling) == (Status.Succeeded, False)
    assert "refuses to release" in state.attention
    await harness.advance_time(PREAUTH, timedelta(days=2))
    assert await harness.handle(PREAUTH).result() == "Expired"


async def test_a_checkout_that_is_open_after_its_end_is_closed_at_the_psp(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.AUTHORIZE.name] = [redirect()]
    harness.answers[activity_plans.FETCH_AUTHORIZATION.name] = [
        redirect().model_copy(update={"evidence": EvidenceKind.READ})
    ]
    harness.answers[activity_plans.VOID.name] = [VOIDED]
    await harness.create(harness.preauth())
    await harness.advance_time(PREAUTH, timedelta(hours=4))
    assert await harness.handle(PREAUTH).result() == "Expired"
    assert len(harness.calls_of(activity_plans.VOID)) == 1


async def test_a_cancellation_without_an_answer_is_repeated_while_the_psp_shows_the_reservation(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.AUTHORIZE.name] = [reserved(days=30)]
    harness.answers[activity_plans.VOID.name] = [
        ApplicationError("lost", type=PspFailure.KEY_EXPIRED, non_retryable=True),
        VOIDED,
    ]
    harness.answers[activity_plans.FETCH_AUTHORIZATION.name] = [
        reserved(EvidenceKind.READ, days=30)
    ]
    start = harness.preauth()
    resumed = resumed_input(start, await harness.create(start))
    assert (await harness.client.cancel(resumed)).status is CancelStatus.Pending
    await harness.advance_time(PREAUTH, timedelta(minutes=10))
    assert await harness.handle(PREAUTH).result() == "Cancelled"
    keys = [call.idempotency_key for call in harness.calls_of(activity_plans.VOID)]
    assert len(keys) == 2
    assert len(set(keys)) == 1


async def test_a_captured_reservation_does_not_expire(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.AUTHORIZE.name] = [reserved()]
    start = harness.preauth()
    state = await harness.create(start)
    resumed = resumed_input(start, state)
    request = ReserveRequest(by="p1", amount=Decimal("10.00"), currency="EUR")
    assert (await harness.client.reserve(resumed, request)).psp_id == "auth_1"
    await harness.advance_time(PREAUTH, timedelta(days=8))
    assert (await harness.state(PREAUTH)).status is Status.Succeeded
    await harness.client.close_reservation(resumed, ReservationResult(by="p1", booked=True))
    assert await harness.handle(PREAUTH).result() == "Succeeded"


async def test_cancel_is_confirmed_by_a_void_and_repeats_succeed(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.AUTHORIZE.name] = [reserved()]
    harness.answers[activity_plans.VOID.name] = [ended(Status.Cancelled, EvidenceKind.ANSWER)]
    start = harness.preauth()
    state = await harness.create(start)
    resumed = resumed_input(start, state)
    replies = await asyncio.gather(*(harness.client.cancel(resumed) for _ in range(3)))
    assert {reply.status for reply in replies} == {CancelStatus.Succeeded}
    assert len(harness.calls_of(activity_plans.VOID)) == 1
    assert await harness.handle(PREAUTH).result() == "Cancelled"
    assert len(harness.webhooks) == 1


async def test_capture_and_cancel_exclude_each_other(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.AUTHORIZE.name] = [reserved()]
    gate = asyncio.Event()

    def refuses(_call: object) -> PspReply:
        return PspReply(
            outcome=Declined(code=PaymentErrorCode.InvalidPreconditions),
            evidence=EvidenceKind.ANSWER,
        )

    harness.answers[activity_plans.VOID.name] = [
        ApplicationError("unavailable", type=PspFailure.UNAVAILABLE),
        refuses,
    ]
    start = harness.preauth()
    state = await harness.create(start)
    resumed = resumed_input(start, state)
    cancelling = asyncio.create_task(harness.client.cancel(resumed))
    await eventually(lambda: harness.calls_of(activity_plans.VOID))
    request = ReserveRequest(by="p1", amount=Decimal("10.00"), currency="EUR")
    refused = await harness.client.reserve(resumed, request)
    assert refused.refusal is not None
    assert refused.refusal.code is PaymentErrorCode.InvalidPreconditions
    assert (await cancelling).status is CancelStatus.Failed
    gate.set()

    other = request.model_copy(update={"by": "p2"})
    assert (await harness.client.reserve(resumed, other)).refusal is None
    late = await harness.client.cancel(resumed)
    assert late.refusal is not None
    third = await harness.client.reserve(resumed, request.model_copy(update={"by": "p3"}))
    assert third.refusal is not None


async def test_an_open_checkout_can_be_cancelled(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.AUTHORIZE.name] = [redirect()]
    harness.answers[activity_plans.VOID.name] = [ended(Status.Cancelled, EvidenceKind.ANSWER)]
    start = harness.preauth()
    state = await harness.create(start)
    reply = await harness.client.cancel(resumed_input(start, state))
    assert reply.status is CancelStatus.Succeeded
    assert harness.calls_of(activity_plans.VOID)[0].psp_id == "cs_1"


async def test_a_closed_preauth_without_reservation_can_still_be_cancelled(
    harness: WorkflowHarness,
) -> None:
    stored = Approved(psp_id=None, facts=())
    harness.answers[activity_plans.AUTHORIZE.name] = [
        PspReply(outcome=stored, evidence=EvidenceKind.ANSWER)
    ]
    start = harness.preauth(requested_amount=Decimal(0))
    state = await harness.create(start)
    await harness.handle(PREAUTH).result()
    reply = await harness.client.cancel(resumed_input(start, state))
    assert reply.status is CancelStatus.Succeeded
    assert harness.calls_of(activity_plans.VOID) == []
    assert (await harness.state(PREAUTH)).status is Status.Cancelled


async def test_a_reservation_that_lapsed_during_a_failed_capture_expires_afterwards(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.AUTHORIZE.name] = [reserved()]
    harness.answers[activity_plans.FETCH_AUTHORIZATION.name] = [ended(Status.Expired)]
    start = harness.preauth()
    state = await harness.create(start)
    resumed = resumed_input(start, state)
    request = ReserveRequest(by="p1", amount=Decimal("10.00"), currency="EUR")
    await harness.client.reserve(resumed, request)
    await harness.advance_time(PREAUTH, timedelta(days=8))
    lapsed = NotificationResult(outcome=ended(Status.Expired).outcome, event_id="evt_1")
    await harness.notify(start, lapsed)
    await harness.client.close_reservation(resumed, ReservationResult(by="p1", booked=False))
    assert await harness.handle(PREAUTH).result() == "Expired"
    assert len(harness.webhooks) == 1


async def test_a_capture_before_the_outcome_is_undecided(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.AUTHORIZE.name] = [redirect()]
    start = harness.preauth()
    state = await harness.create(start)
    request = ReserveRequest(by="p1", amount=Decimal("10.00"), currency="EUR")
    reply = await harness.client.reserve(resumed_input(start, state), request)
    assert reply.undecided
    await harness.notify(start, NotificationResult(outcome=reserved().outcome, event_id="evt_1"))
    await eventually(lambda: harness.webhooks)
    reply = await harness.client.reserve(resumed_input(start, state), request)
    assert (reply.psp_id, reply.refusal, reply.undecided) == ("auth_1", None, False)


async def test_a_capture_attempt_that_arrives_after_its_end_does_not_reserve(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.AUTHORIZE.name] = [reserved()]
    harness.answers[activity_plans.FETCH_AUTHORIZATION.name] = [reserved()]
    start = harness.preauth()
    resumed = resumed_input(start, await harness.create(start))
    at = datetime(2026, 1, 16, 10, tzinfo=UTC)
    request = ReserveRequest(by="p1", amount=Decimal("10.00"), currency="EUR", at=at)
    assert not (await harness.client.reserve(resumed, request)).superseded
    await harness.client.close_reservation(resumed, ReservationResult(by="p1", booked=False, at=at))
    assert (await harness.client.reserve(resumed, request)).superseded
    assert (await harness.state(PREAUTH)).captured_by is None
    again = request.model_copy(update={"at": at + timedelta(seconds=1)})
    assert (await harness.client.reserve(resumed, again)).psp_id == "auth_1"


async def test_captures_are_refused_while_an_accepted_void_is_not_executed(
    harness: WorkflowHarness,
) -> None:
    accepted = PspReply(outcome=Pending(psp_id="auth_1"), evidence=EvidenceKind.ANSWER)
    harness.answers[activity_plans.AUTHORIZE.name] = [reserved(days=30)]
    harness.answers[activity_plans.VOID.name] = [accepted]
    harness.answers[activity_plans.FETCH_AUTHORIZATION.name] = [
        *[reserved(EvidenceKind.READ, days=30)] * 3,
        ended(Status.Cancelled),
    ]
    start = harness.preauth()
    resumed = resumed_input(start, await harness.create(start))
    assert (await harness.client.cancel(resumed)).status is CancelStatus.Pending
    await harness.advance_time(PREAUTH, timedelta(minutes=10))
    request = ReserveRequest(by="p1", amount=Decimal("10.00"), currency="EUR")
    refusal = (await harness.client.reserve(resumed, request)).refusal
    assert refusal is not None
    assert "being cancelled" in refusal.message
    await harness.advance_time(PREAUTH, timedelta(hours=12))
    assert await harness.handle(PREAUTH).result() == "Cancelled"
    assert len(harness.calls_of(activity_plans.VOID)) == 1


async def test_a_void_that_was_accepted_and_not_executed_flags_attention(
    harness: WorkflowHarness,
) -> None:
    accepted = PspReply(outcome=Pending(psp_id="auth_1"), evidence=EvidenceKind.ANSWER)
    harness.answers[activity_plans.AUTHORIZE.name] = [reserved(days=30)]
    harness.answers[activity_plans.VOID.name] = [accepted]
    harness.answers[activity_plans.FETCH_AUTHORIZATION.name] = [
        reserved(EvidenceKind.READ, days=30)
    ]
    start = harness.preauth()
    resumed = resumed_input(start, await harness.create(start))
    await harness.client.cancel(resumed)
    await harness.advance_time(PREAUTH, timedelta(days=4))
    state = await harness.state(PREAUTH)
    assert (state.status, state.cancelling) == (Status.Succeeded, False)
    assert "never carried it out" in state.attention
