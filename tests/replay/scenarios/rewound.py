"""Workflows that the store is ahead of: reset, restored, or reopened after they were ended."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from temporalio.exceptions import ApplicationError

from integrator.contract.enums import PaymentCancellationStatus as CancelStatus
from integrator.contract.enums import PaymentErrorCode
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Approved, Declined, Fact, FactKind
from tests.integration.workflows.conftest import (
    WorkflowHarness,
    approved,
    eventually,
    time_skipping_disabled,
)
from tests.integration.workflows.resets import LAST, reset
from tests.replay.scenarios.builders import (
    NOON,
    NOT_FOUND,
    PENDING,
    Handle,
    declined_as,
    notification,
    reservation,
    reserve_request,
    start_detached,
    start_workflow,
    with_facts,
)
from workflows import activity_plans
from workflows.messages import (
    AnyInput,
    NotificationResult,
    PaymentInput,
    PspFailure,
    PspReply,
    ReservationResult,
    StoredState,
)
from workflows.state import (
    AnyState,
    BookedRefund,
    Evidence,
    EvidenceKind,
    PaymentState,
    PreauthState,
    TransactionKind,
)

PAYMENT, PREAUTH = TransactionKind.PAYMENT, TransactionKind.PREAUTH
CHARGE, FETCH_PAYMENT = activity_plans.CHARGE.name, activity_plans.FETCH_PAYMENT.name
ABSENT = NOT_FOUND.model_copy(update={"absence_proven": True})
READ = approved("ch_1", psp_id="ch_1", evidence=EvidenceKind.READ)


def chargeback(number: int) -> Fact:
    return Fact(kind=FactKind.CHARGED_BACK, id=f"cb_{number}", amount=Decimal("1.00"))


def ahead(reply: PspReply, version: int) -> PspReply:
    """Return the reply of an activity that has found a newer version in the store."""
    return reply.model_copy(update={"stored_version": version})


def new_state(start: AnyInput, **changes: Any) -> AnyState:
    """Build a state of the transaction before its outcome."""
    state_type = PaymentState if isinstance(start, PaymentInput) else PreauthState
    fields = start.model_dump(include=set(state_type.model_fields) - {"kind"})
    return state_type(**fields | {"last_updated": NOON, "version": 1} | changes)


def succeeded(start: AnyInput, *facts: Fact, **changes: Any) -> AnyState:
    """Build the state after the success, with further facts."""
    reply = approved("ch_1", psp_id="ch_1") if isinstance(start, PaymentInput) else reservation()
    assert isinstance(reply.outcome, Approved)
    outcome = reply.outcome.model_copy(update={"facts": reply.outcome.facts + facts})
    state = new_state(start)
    state.apply(outcome, Evidence(kind=EvidenceKind.ANSWER, source="earlier run", at=NOON))
    return state.model_copy(update={"version": 9} | changes)


def store(harness: WorkflowHarness, state: AnyState, *, due: bool = False) -> None:
    """Have the store hold this state; with `due` its announcement is due."""
    harness.stored = StoredState(
        snapshot=state.model_dump_json(), announce_version=state.version if due else None
    )


def store_recorded(harness: WorkflowHarness) -> None:
    """Have the store hold what was recorded last."""
    harness.stored = StoredState(snapshot=harness.records[-1].snapshot)


async def charge_back(harness: WorkflowHarness, start: AnyInput, number: int) -> None:
    """Notify a chargeback and wait until it is announced."""
    count = len(harness.webhooks)
    await harness.notify(start, notification(with_facts(chargeback(number))))
    await eventually(lambda: len(harness.webhooks) > count)


# --- resets ---------------------------------------------------------------------------------


async def payment_reset_to_its_start(harness: WorkflowHarness) -> Handle:
    """Reset after a chargeback, without any message; a second chargeback follows."""
    harness.answers[CHARGE] = [approved("ch_1", psp_id="ch_1")]
    start = harness.payment()
    await harness.create(start)
    await charge_back(harness, start, 1)
    store_recorded(harness)
    with time_skipping_disabled(harness.env):
        handle = await reset(harness, PAYMENT, reapply=False)
        await charge_back(harness, start, 2)
    return handle


async def payment_reset_with_its_messages(harness: WorkflowHarness) -> Handle:
    """Reset to the first task, with `create` and the notification applied again."""
    harness.answers[CHARGE] = [approved("ch_1", psp_id="ch_1")]
    start = harness.payment()
    await harness.create(start)
    await charge_back(harness, start, 1)
    store_recorded(harness)
    with time_skipping_disabled(harness.env):
        handle = await reset(harness, PAYMENT)
        await charge_back(harness, start, 2)
    return handle


async def payment_reset_to_a_later_task(harness: WorkflowHarness) -> Handle:
    """Reset to the task after the success; the chargeback is in the store alone."""
    harness.answers[CHARGE] = [approved("ch_1", psp_id="ch_1")]
    start = harness.payment()
    await harness.create_recorded(start)
    await harness.state(PAYMENT)
    store(harness, succeeded(start, chargeback(1)), due=True)
    with time_skipping_disabled(harness.env):
        handle = await reset(harness, PAYMENT, LAST)
        await eventually(lambda: harness.webhooks)
    return handle


async def payment_reset_while_undecided(harness: WorkflowHarness) -> Handle:
    """The PSP has accepted; the store holds nothing that the workflow lacks."""
    harness.answers[CHARGE] = [PENDING]
    start = harness.payment()
    await harness.create_recorded(start)
    await harness.state(PAYMENT)
    store_recorded(harness)
    with time_skipping_disabled(harness.env):
        handle = await reset(harness, PAYMENT, LAST, reapply=False)
        await harness.notify(start, notification(approved("ch_1")))
        await eventually(lambda: harness.webhooks)
    return handle


async def payment_reset_before_merges(harness: WorkflowHarness) -> Handle:
    """Recorded with the last code that did not merge after a reset."""
    harness.answers[CHARGE] = [approved("ch_1", psp_id="ch_1")]
    start = harness.payment()
    await harness.create_recorded(start)
    await harness.state(PAYMENT)
    with time_skipping_disabled(harness.env):
        handle = await reset(harness, PAYMENT, LAST)
        await charge_back(harness, start, 1)
    return handle


# --- the store is found to be ahead ---------------------------------------------------------


async def payment_record_refused(harness: WorkflowHarness) -> Handle:
    """The store holds a newer state, with a chargeback, when the success is recorded."""
    harness.answers[CHARGE] = [approved("ch_1", psp_id="ch_1")]
    start = harness.payment()
    store(harness, succeeded(start, chargeback(1)))
    await harness.create_recorded(start)
    await charge_back(harness, start, 2)
    return harness.handle(PAYMENT)


async def payment_record_refused_durably(harness: WorkflowHarness) -> Handle:
    """Like `payment_record_refused`, which was recorded before workflows read by an activity."""
    return await payment_record_refused(harness)


async def payment_record_refused_before_merges(harness: WorkflowHarness) -> Handle:
    """Recorded with the last code that took a refused record for success."""
    harness.answers[CHARGE] = [approved("ch_1", psp_id="ch_1")]
    start = harness.payment()
    store(harness, succeeded(start))
    await harness.create_recorded(start)
    harness.stored = None
    await charge_back(harness, start, 1)
    return harness.handle(PAYMENT)


async def payment_answered_in_the_store(harness: WorkflowHarness) -> Handle:
    """The activity finds the outcome in the store and sends nothing."""
    start = harness.payment()
    harness.answers[CHARGE] = [ahead(NOT_FOUND, 9)]
    store(harness, succeeded(start), due=True)
    await harness.create(start)
    await eventually(lambda: harness.webhooks)
    return harness.handle(PAYMENT)


async def payment_answered_by_notification_and_store(harness: WorkflowHarness) -> Handle:
    """A notification has brought the outcome when the activity returns that the store has it."""
    start = harness.payment()

    async def notify() -> None:
        await harness.notify(start, notification(approved("ch_1", psp_id="ch_1")))
        await harness.wait_for_status(PAYMENT, Status.Succeeded)

    harness.during_psp_call = notify
    harness.answers[CHARGE] = [ahead(NOT_FOUND, 9)]
    with time_skipping_disabled(harness.env):
        await start_detached(harness, start)
        await eventually(lambda: harness.webhooks)
    return harness.handle(PAYMENT)


async def payment_notified_behind_the_store(harness: WorkflowHarness) -> Handle:
    """The activity that reads a notification finds a newer state."""
    harness.answers[CHARGE] = [PENDING]
    start = harness.payment()
    await harness.create_recorded(start)
    store(harness, succeeded(start, chargeback(1)), due=True)
    result = NotificationResult(outcome=None, event_id="evt_0", stored_version=9)
    await harness.notify(start, result)
    await eventually(lambda: harness.webhooks)
    return harness.handle(PAYMENT)


async def payment_reserved_behind_the_store(harness: WorkflowHarness) -> Handle:
    """The activity of a refund has seen a newer state of the payment in the store."""
    harness.answers[CHARGE] = [approved("ch_1", psp_id="ch_1")]
    start = harness.payment()
    state = await harness.create_recorded(start)
    resumed = start.model_copy(update={"resume": state})
    store(harness, succeeded(start, chargeback(1)))
    request = reserve_request("r1", "9.00", NOON).model_copy(update={"stored_version": 9})
    await harness.client.reserve(resumed, request)
    await eventually(lambda: "r1" in harness.records[-1].snapshot)
    return harness.handle(PAYMENT)


# --- reopened, or never created -------------------------------------------------------------


async def payment_reopened_and_found(harness: WorkflowHarness) -> Handle:
    """Reopened without an outcome: the PSP has it, nothing is sent."""
    start = harness.payment()
    harness.answers[FETCH_PAYMENT] = [READ]
    resume = new_state(start, status=Status.Pending)
    store(harness, resume)
    handle = await start_workflow(harness, start.model_copy(update={"resume": resume}))
    await harness.advance_time(PAYMENT, timedelta(minutes=2))
    await eventually(lambda: harness.webhooks)
    return handle


async def payment_reopened_and_sent(harness: WorkflowHarness) -> Handle:
    """The PSP cannot say: the operation is sent, with its key."""
    start = harness.payment()
    harness.answers[FETCH_PAYMENT] = [NOT_FOUND]
    harness.answers[CHARGE] = [approved("ch_1", psp_id="ch_1")]
    resume = new_state(start, status=Status.Pending)
    store(harness, resume)
    handle = await start_workflow(harness, start.model_copy(update={"resume": resume}))
    await harness.advance_time(PAYMENT, timedelta(minutes=2))
    await eventually(lambda: harness.webhooks)
    return handle


async def payment_without_create_proven_absent(harness: WorkflowHarness) -> Handle:
    harness.answers[FETCH_PAYMENT] = [ABSENT]
    handle = await start_workflow(harness, harness.payment())
    await harness.advance_time(PAYMENT, timedelta(hours=2))
    await handle.result()
    return handle


async def payment_without_create_sent(harness: WorkflowHarness) -> Handle:
    harness.answers[FETCH_PAYMENT] = [NOT_FOUND]
    harness.answers[CHARGE] = [approved("ch_1", psp_id="ch_1")]
    handle = await start_workflow(harness, harness.payment())
    await harness.advance_time(PAYMENT, timedelta(hours=2))
    await eventually(lambda: harness.webhooks)
    return handle


async def payment_rewound_before_a_reservation(harness: WorkflowHarness) -> Handle:
    """The reservation of a refund is in the store alone; its end comes after the backup."""
    harness.answers[CHARGE] = [approved("ch_1", psp_id="ch_1")]
    start = harness.payment()
    resumed = start.model_copy(update={"resume": await harness.create_recorded(start)})
    reserved = {"reservations": {"r1": Decimal("4.00")}, "attempts": {"r1": NOON}}
    store(harness, succeeded(start, **reserved))
    released = ReservationResult(by="r1", booked=False, at=NOON + timedelta(minutes=2))
    count = len(harness.records)
    with time_skipping_disabled(harness.env):
        await harness.client.close_reservation(resumed, released)
        await eventually(lambda: len(harness.records) > count)
    return harness.handle(PAYMENT)


async def payment_rewound_before_create(harness: WorkflowHarness) -> Handle:
    """A restored backup lacks `create`; a notification comes."""
    start = harness.payment()
    store(harness, succeeded(start), due=True)
    handle = await start_workflow(harness, start)
    await charge_back(harness, start, 1)
    return handle


async def payment_with_parent_and_announcement_due(harness: WorkflowHarness) -> Handle:
    """A capture failed; its workflow was ended before the preauth and Billwerk+ learned of it."""
    start = harness.payment(preauth_id="a1")
    state = new_state(start)
    declined = Declined(code=PaymentErrorCode.Rejected)
    state.apply(declined, Evidence(kind=EvidenceKind.READ, source="earlier run", at=NOON))
    store(harness, state, due=True)
    due = {"resume": state, "announce_version": state.version, "parent_due": True}
    handle = await start_workflow(harness, start.model_copy(update=due))
    await handle.result()
    assert harness.reservation_results
    assert harness.webhooks
    return handle


# --- sent until the key expires -------------------------------------------------------------


async def payment_sent_until_accepted(harness: WorkflowHarness) -> Handle:
    """The merchant rotates its key after an attempt whose outcome is unknown."""
    rejected = ApplicationError("401", False, type=PspFailure.CREDENTIALS, non_retryable=True)
    harness.answers[CHARGE] = [rejected, rejected, approved("ch_1", psp_id="ch_1")]
    handle = await start_detached(harness, harness.payment())
    await eventually(lambda: harness.calls_of(activity_plans.CHARGE))
    await harness.advance_time(PAYMENT, timedelta(minutes=10))
    await eventually(lambda: harness.webhooks)
    return handle


async def payment_key_expired(harness: WorkflowHarness) -> Handle:
    """Nothing is sent once the PSP has forgotten the key; a look-up finds the payment."""
    expired = ApplicationError("forgotten", False, type=PspFailure.KEY_EXPIRED, non_retryable=True)
    harness.answers[CHARGE] = [expired]
    harness.answers[FETCH_PAYMENT] = [READ]
    handle = await start_detached(harness, harness.payment())
    await eventually(lambda: harness.calls_of(activity_plans.CHARGE))
    await harness.advance_time(PAYMENT, timedelta(minutes=10))
    await eventually(lambda: harness.webhooks)
    return handle


# --- captures -------------------------------------------------------------------------------


async def book_unknown_capture(harness: WorkflowHarness) -> Any:
    """Report a capture whose attempt only the store knows; return the preauth's state before."""
    harness.answers[activity_plans.AUTHORIZE.name] = [reservation()]
    start = harness.preauth()
    recorded = await harness.create_recorded(start)
    state = PreauthState.model_validate(recorded.model_dump())
    state.check_attempt("p1", NOON)
    state.reserve("p1", Decimal("10.00"), "EUR")
    store(harness, state)
    result = ReservationResult(by="p1", booked=True, at=NOON + timedelta(minutes=1))
    await harness.client.close_reservation(start, result)
    return recorded


async def preauth_with_an_unknown_capture_booked(harness: WorkflowHarness) -> Handle:
    """A backup of Temporal was restored."""
    await book_unknown_capture(harness)
    await harness.handle(PREAUTH).result()
    return harness.handle(PREAUTH)


async def preauth_with_a_capture_that_the_store_lacks(harness: WorkflowHarness) -> Handle:
    """Neither the run nor the store has the attempt that has ended."""
    harness.answers[activity_plans.AUTHORIZE.name] = [reservation()]
    start = harness.preauth()
    await harness.create_recorded(start)
    store_recorded(harness)
    result = ReservationResult(by="p1", booked=True, at=NOON)
    await harness.client.close_reservation(start, result)
    await harness.handle(PREAUTH).result()
    return harness.handle(PREAUTH)


def _has_recorded(harness: WorkflowHarness, psp_id: str) -> bool:
    return f'"{psp_id}"' in harness.records[-1].snapshot


async def payment_with_an_unknown_refund_booked(harness: WorkflowHarness) -> Handle:
    """The same for a refund, after one that is known."""
    harness.answers[CHARGE] = [approved("ch_1", psp_id="ch_1")]
    start = harness.payment()
    resumed = start.model_copy(update={"resume": await harness.create_recorded(start)})
    await harness.client.reserve(resumed, reserve_request("r1", "4.00", NOON))
    for by in ("r1", "r2"):
        booked = BookedRefund(amount=Decimal("4.00"), psp_id=f"re_{by}", booked_on=None)
        result = ReservationResult(by=by, booked=True, refund=booked, at=NOON)
        await harness.client.close_reservation(start, result)
        await eventually(partial(_has_recorded, harness, f"re_{by}"))
    return harness.handle(PAYMENT)


# --- voids ----------------------------------------------------------------------------------


async def preauth_void_repeated(harness: WorkflowHarness) -> Handle:
    """Its workflow was ended while a void was under way: the void is sent again."""
    start = harness.preauth()
    harness.answers[activity_plans.VOID.name] = [declined_as(Status.Cancelled)]
    resume = succeeded(start, cancelling=True)
    store(harness, resume)
    handle = await start_workflow(harness, start.model_copy(update={"resume": resume}))
    await handle.result()
    return handle


async def preauth_void_rejected_then_looked_up(harness: WorkflowHarness) -> Handle:
    """Bad credentials: an earlier attempt may have been executed, so the PSP is asked."""
    login_error = Declined(code=PaymentErrorCode.LoginError)
    harness.answers[activity_plans.AUTHORIZE.name] = [reservation()]
    harness.answers[activity_plans.VOID.name] = [
        PspReply(outcome=login_error, evidence=EvidenceKind.ANSWER)
    ]
    harness.answers[activity_plans.FETCH_AUTHORIZATION.name] = [declined_as(Status.Cancelled)]
    start = harness.preauth()
    resumed = start.model_copy(update={"resume": await harness.create(start)})
    await harness.client.cancel(resumed)
    await harness.handle(PREAUTH).result()
    return harness.handle(PREAUTH)


async def cancel_behind_the_store(
    harness: WorkflowHarness, stored: dict[str, Any], void: list[PspReply]
) -> Handle:
    """Cancel a preauth of which the store holds a newer state than its workflow."""
    harness.answers[activity_plans.AUTHORIZE.name] = [reservation()]
    harness.answers[activity_plans.VOID.name] = [ahead(NOT_FOUND, 9), *void]
    start = harness.preauth()
    state = await harness.create_recorded(start)
    store(harness, state.model_copy(update={"version": 9} | stored))
    await harness.client.cancel(start.model_copy(update={"resume": state}))
    return harness.handle(PREAUTH)


async def preauth_void_of_one_cancelled_in_the_store(harness: WorkflowHarness) -> Handle:
    handle = await cancel_behind_the_store(harness, {"status": Status.Cancelled}, [])
    await handle.result()
    return handle


async def preauth_void_of_one_captured_in_the_store(harness: WorkflowHarness) -> Handle:
    taken = {"captured_by": "p1", "captured": True}
    handle = await cancel_behind_the_store(harness, taken, [])
    await handle.result()
    return handle


async def preauth_void_that_the_store_knows_as_ended(harness: WorkflowHarness) -> Handle:
    return await cancel_behind_the_store(harness, {"voids": 1}, [])


async def preauth_void_sent_after_the_merge(harness: WorkflowHarness) -> Handle:
    changes = {"attention": "A line of another run."}
    handle = await cancel_behind_the_store(harness, changes, [declined_as(Status.Cancelled)])
    await handle.result()
    return handle


async def preauth_cancelled_as_the_store_knows(harness: WorkflowHarness) -> Handle:
    """Only the store knows that the reservation was made: the cancellation would be refused."""
    cancelled = asyncio.Event()

    async def wait() -> None:
        harness.during_psp_call = partial(asyncio.sleep, 0)
        await cancelled.wait()

    harness.during_psp_call = wait
    harness.answers[activity_plans.AUTHORIZE.name] = [ahead(NOT_FOUND, 9)]
    harness.answers[activity_plans.VOID.name] = [declined_as(Status.Cancelled)]
    start = harness.preauth()
    with time_skipping_disabled(harness.env):
        await start_detached(harness, start)
        await eventually(lambda: harness.records)
        stored = succeeded(start)
        store(harness, stored)
        await harness.client.cancel(start.model_copy(update={"resume": stored}))
        cancelled.set()
    await harness.handle(PREAUTH).result()
    return harness.handle(PREAUTH)


async def preauth_refuses_a_cancellation_as_the_store_does(harness: WorkflowHarness) -> Handle:
    harness.answers[activity_plans.AUTHORIZE.name] = [reservation()]
    start = harness.preauth()
    state = await harness.create_recorded(start)
    resumed = start.model_copy(update={"resume": state})
    await harness.client.reserve(resumed, reserve_request("p1", "4.00", NOON))
    await eventually(lambda: '"attempts":{"p1"' in harness.records[-1].snapshot)
    reply = await harness.client.cancel(resumed)
    assert reply.status is CancelStatus.NotCancelled
    return harness.handle(PREAUTH)


async def payment_reserved_at_another_state_of_its_version(harness: WorkflowHarness) -> Handle:
    """The store holds another refund in the version that the workflow is recording."""
    harness.answers[CHARGE] = [approved("ch_1", psp_id="ch_1")]
    start = harness.payment()
    state = await harness.create_recorded(start)
    version = state.version + 1
    booked = BookedRefund(amount=Decimal("7.00"), psp_id="re_1", booked_on=None)
    store(harness, succeeded(start, refunds={"r1": booked}, version=version))
    await harness.notify(start, notification(with_facts(chargeback(1))))
    request = reserve_request("r2", "4.00", NOON).model_copy(update={"stored_version": version})
    await harness.client.reserve(start.model_copy(update={"resume": state}), request)
    await eventually(lambda: harness.webhooks)
    return harness.handle(PAYMENT)


SCENARIOS = (
    payment_reset_to_its_start,
    payment_reset_with_its_messages,
    payment_reset_to_a_later_task,
    payment_reset_while_undecided,
    payment_record_refused,
    payment_record_refused_durably,
    payment_reset_before_merges,
    payment_record_refused_before_merges,
    payment_answered_in_the_store,
    payment_answered_by_notification_and_store,
    payment_notified_behind_the_store,
    payment_reserved_behind_the_store,
    payment_reopened_and_found,
    payment_reopened_and_sent,
    payment_without_create_proven_absent,
    payment_without_create_sent,
    payment_rewound_before_create,
    payment_rewound_before_a_reservation,
    payment_with_parent_and_announcement_due,
    payment_sent_until_accepted,
    payment_key_expired,
    preauth_with_an_unknown_capture_booked,
    preauth_with_a_capture_that_the_store_lacks,
    payment_with_an_unknown_refund_booked,
    preauth_void_repeated,
    preauth_void_rejected_then_looked_up,
    preauth_void_of_one_cancelled_in_the_store,
    preauth_void_of_one_captured_in_the_store,
    preauth_void_that_the_store_knows_as_ended,
    preauth_void_sent_after_the_merge,
    preauth_cancelled_as_the_store_knows,
    preauth_refuses_a_cancellation_as_the_store_does,
    payment_reserved_at_another_state_of_its_version,
)
