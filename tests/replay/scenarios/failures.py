"""What goes wrong around a transaction: outages, refusals, slow stores, lost callers."""

from datetime import timedelta
from decimal import Decimal

from temporalio.client import WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError

from activities.webhooks import failed
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Fact, FactKind
from tests.replay.scenarios.parts import (
    NOON,
    NOT_FOUND,
    PENDING,
    REJECTED,
    Handle,
    begun,
    left_alone,
    notice,
    with_facts,
)
from tests.workflows.conftest import World, approved, eventually, standing_still
from workflows import activity_plans
from workflows.messages import (
    LOOK_UP,
    LookUpSignal,
    NotificationResult,
    PspFailure,
    PspReply,
)
from workflows.state import EvidenceKind, PaymentState, TransactionKind

PAYMENT = TransactionKind.PAYMENT
READ = approved("ch_1", evidence=EvidenceKind.READ)
SAYS_NOTHING = NotificationResult(outcome=None, event_id="evt_0")


async def payment_outage_then_unknown(world: World) -> Handle:
    """The caller left, the PSP never answered, a look-up proved that nothing had arrived."""
    world.answers[activity_plans.CHARGE.name] = [ApplicationError("lost", type="OutcomeUnknown")]
    world.answers[activity_plans.FETCH_PAYMENT.name] = [
        PspReply(outcome=None, evidence=EvidenceKind.READ, absence_proven=True)
    ]
    start = world.payment(key_window_seconds=3600)
    with world.env.with_time_skipping_disabled():
        await world.env.client.start_workflow(
            "PaymentWorkflow",
            start,
            id=world.handle(TransactionKind.PAYMENT).id,
            task_queue=world.queue,
        )
    await world.gateway.caller_detached("m", TransactionKind.PAYMENT, world.transaction_id)
    await eventually(lambda: world.called(activity_plans.CHARGE))
    await world.later(TransactionKind.PAYMENT, timedelta(hours=2))
    await world.handle(TransactionKind.PAYMENT).result()
    return world.handle(TransactionKind.PAYMENT)


async def payment_webhook_dead(world: World) -> Handle:
    world.answers[activity_plans.CHARGE.name] = [PENDING]
    attempts: list[int] = []

    def dead(attempt: int) -> ApplicationError:
        attempts.append(attempt)
        return failed("The target answered 500.", attempt)

    world.webhook_failure = dead
    start = world.payment()
    await world.create(start)
    await world.notify(start, notice(approved("ch_1")))
    await eventually(lambda: attempts)
    await world.later(TransactionKind.PAYMENT, timedelta(hours=90))
    return world.handle(TransactionKind.PAYMENT)


async def payment_credentials_refused(world: World) -> Handle:
    refused = ApplicationError("401", 1, type="CredentialsRejected", non_retryable=True)
    world.answers[activity_plans.CHARGE.name] = [refused]
    world.credentials_accepted = False
    with world.env.with_time_skipping_disabled():
        await world.env.client.start_workflow(
            "PaymentWorkflow",
            world.payment(),
            id=world.handle(TransactionKind.PAYMENT).id,
            task_queue=world.queue,
        )
    await world.gateway.caller_detached("m", TransactionKind.PAYMENT, world.transaction_id)
    await eventually(lambda: world.called(activity_plans.CHECK_CREDENTIALS))
    await world.later(TransactionKind.PAYMENT, timedelta(minutes=3))
    await world.handle(TransactionKind.PAYMENT).result()
    return world.handle(TransactionKind.PAYMENT)


async def payment_redelivered(world: World) -> Handle:
    """The target was dead for days; an operator has it told once more."""
    handle = await payment_webhook_dead(world)
    world.webhook_failure = lambda attempt: None
    await handle.signal("redeliver")
    await eventually(lambda: world.webhooks)
    return handle


async def payment_answer_unheard(world: World) -> Handle:
    """The answer is there, and its caller has left all the same."""
    world.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
    start = world.payment()
    await world.create(start)
    await world.gateway.caller_detached("m", PAYMENT, world.transaction_id)
    await eventually(lambda: world.webhooks)
    return world.handle(PAYMENT)


async def payment_reopened_unanswered(world: World) -> Handle:
    """The only run is lost before its answer: the PSP is asked, nothing is sent again."""
    world.answers[activity_plans.FETCH_PAYMENT.name] = [READ]
    start = world.payment()
    state = PaymentState(
        **start.model_dump(include=set(PaymentState.model_fields) - {"kind"}),
        status=Status.Pending,
        version=1,
        last_updated=NOON,
    )
    handle = await begun(world, start.model_copy(update={"resume": state}))
    await world.later(PAYMENT, timedelta(minutes=2))
    await eventually(lambda: world.webhooks)
    return handle


async def payment_cancelled_in_temporal(world: World) -> Handle:
    world.answers[activity_plans.CHARGE.name] = [PENDING]
    start = world.payment()
    await world.create(start)
    await world.handle(PAYMENT).cancel()
    await world.notify(start, notice(approved("ch_1")))
    await eventually(lambda: world.webhooks)
    return world.handle(PAYMENT)


async def payment_cancelled_before_create(world: World) -> Handle:
    world.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
    start = world.payment()
    handle = await begun(world, start)
    await handle.cancel()
    await world.state(PAYMENT)  # answered once the cancellation has been dealt with
    await world.create(start)
    await eventually(lambda: world.records)
    return handle


async def payment_never_created(world: World) -> Handle:
    handle = await begun(world, world.payment())
    await world.later(PAYMENT, timedelta(hours=2))
    await handle.result()
    return handle


async def payment_looked_up_by_id(world: World) -> Handle:
    """Reconciliation names movements, one of them twice; at first the PSP is away."""
    world.answers[activity_plans.CHARGE.name] = [approved("ch_1", psp_id="ch_1")]
    world.answers[activity_plans.FETCH_PAYMENT.name] = [
        ApplicationError("away", type=PspFailure.UNAVAILABLE, non_retryable=True),
        lambda call: approved(
            call.psp_id or "", psp_id=call.psp_id or "", evidence=EvidenceKind.READ
        ),
    ]
    start = world.payment()
    await world.create(start)
    for psp_id in ("ch_2", "ch_2", None):
        await world.gateway.look_up(start, psp_id)
    await eventually(lambda: world.called(activity_plans.FETCH_PAYMENT))
    await world.later(PAYMENT, timedelta(hours=1))
    await eventually(lambda: world.webhooks)
    return world.handle(PAYMENT)


async def payment_reopened_by_look_up(world: World) -> Handle:
    """The question is there before the first wait for work."""
    world.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
    world.answers[activity_plans.FETCH_PAYMENT.name] = [READ]
    state = await world.create(world.payment())
    await world.later(PAYMENT, timedelta(days=401))
    await world.handle(PAYMENT).result()
    handle = await begun(
        world,
        world.payment(resume=state),
        start_signal=LOOK_UP,
        start_signal_args=[LookUpSignal()],
    )
    await eventually(lambda: world.called(activity_plans.FETCH_PAYMENT))
    return handle


async def payment_notified_during_look_up(world: World) -> Handle:
    """Notifications that say nothing, that make it ask, and one while the PSP is away."""
    away = ApplicationError(
        "away", type=PspFailure.UNAVAILABLE, next_retry_delay=timedelta(seconds=9)
    )
    world.answers[activity_plans.CHARGE.name] = [PENDING]
    world.answers[activity_plans.FETCH_PAYMENT.name] = [away]
    start = world.payment()
    await world.create(start)
    await world.notify(start, SAYS_NOTHING)
    await world.notify(start, SAYS_NOTHING.model_copy(update={"fetch": True}))
    await eventually(lambda: world.called(activity_plans.FETCH_PAYMENT))
    await world.notify(start, notice(approved("ch_1")))
    await eventually(lambda: world.webhooks)
    await world.later(PAYMENT, timedelta(minutes=1))
    return world.handle(PAYMENT)


async def payment_notification_unreadable(world: World) -> Handle:
    world.answers[activity_plans.CHARGE.name] = [PENDING]
    world.answers[activity_plans.FETCH_PAYMENT.name] = [READ]
    start = world.payment()
    await world.create(start)
    world.unreadable = ApplicationError("No such notification.", non_retryable=True)
    await world.notify(start, notice(approved("ch_1")))
    await eventually(lambda: world.webhooks)
    return world.handle(PAYMENT)


async def payment_store_slow(world: World) -> Handle:
    """The local activity gives up and its patient twin records."""
    world.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
    world.store_failures = [ApplicationError("store away") for _ in range(6)]
    await world.create(world.payment())
    await eventually(lambda: world.records, seconds=20)
    return world.handle(PAYMENT)


async def payment_open_for_weeks(world: World) -> Handle:
    """Sent once to a PSP that recognises no repetition, never found there and never disproved."""
    world.answers[activity_plans.CHARGE.name] = [
        ApplicationError("lost", 1, type=PspFailure.UNKNOWN)
    ]
    world.answers[activity_plans.FETCH_PAYMENT.name] = [NOT_FOUND]
    await world.create(world.payment(key_window_seconds=0))
    await world.later(PAYMENT, timedelta(days=16))
    return world.handle(PAYMENT)


async def payment_not_sent_while_away(world: World) -> Handle:
    """The same PSP is away for longer than anybody tries."""
    world.answers[activity_plans.CHARGE.name] = [
        ApplicationError("away", 1, type=PspFailure.UNAVAILABLE, non_retryable=True)
    ]
    world.answers[activity_plans.FETCH_PAYMENT.name] = [
        NOT_FOUND.model_copy(update={"absence_proven": True})
    ]
    handle = await left_alone(world, world.payment(key_window_seconds=0))
    await eventually(lambda: world.called(activity_plans.CHARGE))
    await world.later(PAYMENT, timedelta(hours=20))
    await handle.result()
    return handle


async def payment_not_configured(world: World) -> Handle:
    world.answers[activity_plans.CHARGE.name] = [
        ApplicationError("none", 1, type=PspFailure.CONFIGURATION, non_retryable=True)
    ]
    await world.create(world.payment())
    await world.handle(PAYMENT).result()
    return world.handle(PAYMENT)


async def payment_failed_while_credentials_are_in_doubt(world: World) -> Handle:
    """The check of the credentials fails, too; the PSP tells of the failure during the pause."""
    world.answers[activity_plans.CHARGE.name] = [
        ApplicationError("401", 1, type=PspFailure.CREDENTIALS, non_retryable=True)
    ]
    world.credentials_failure = ApplicationError("away", non_retryable=True)
    world.answers[activity_plans.FETCH_PAYMENT.name] = [
        REJECTED.model_copy(update={"evidence": EvidenceKind.READ})
    ]
    start = world.payment()
    with standing_still(world.env):
        handle = await left_alone(world, start)
        await eventually(lambda: world.called(activity_plans.CHECK_CREDENTIALS))
        await world.notify(start, notice(REJECTED))
        await handle.result()
    return handle


async def payment_moved_on(world: World) -> Handle:
    """Its history has grown long: it goes on as a new run, from where it stood."""
    world.answers[activity_plans.CHARGE.name] = [approved("ch_1", amount="99.00")]
    first = (await begun(world, world.payment())).first_execution_run_id
    start = world.payment()
    await world.create(start)
    handle = world.env.client.get_workflow_handle(world.handle(PAYMENT).id, run_id=first)
    for number in range(20):
        if (await handle.describe()).status is not WorkflowExecutionStatus.RUNNING:
            return handle
        back = Fact(kind=FactKind.CHARGED_BACK, id=f"cb_{number}", amount=Decimal("1.00"))
        await world.notify(start, notice(with_facts(back)))
        await eventually(lambda: len(world.webhooks) > number)  # noqa: B023 - awaited here
    raise AssertionError("it never moved on")


STORIES = (
    payment_outage_then_unknown,
    payment_webhook_dead,
    payment_credentials_refused,
    payment_redelivered,
    payment_answer_unheard,
    payment_reopened_unanswered,
    payment_cancelled_in_temporal,
    payment_cancelled_before_create,
    payment_never_created,
    payment_looked_up_by_id,
    payment_reopened_by_look_up,
    payment_notified_during_look_up,
    payment_notification_unreadable,
    payment_store_slow,
    payment_open_for_weeks,
    payment_not_sent_while_away,
    payment_not_configured,
    payment_failed_while_credentials_are_in_doubt,
)

LONG = (payment_moved_on,)
"""To be recorded where a history counts as long much sooner than it does by default."""
