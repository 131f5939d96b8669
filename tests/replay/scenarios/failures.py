"""Failures around a transaction: outages, rejections, slow stores, lost callers."""

from datetime import timedelta
from decimal import Decimal

from temporalio.client import WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError

from activities.webhooks import delivery_error
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Fact, FactKind
from tests.integration.workflows.conftest import (
    WorkflowHarness,
    approved,
    eventually,
    time_skipping_disabled,
)
from tests.replay.scenarios.builders import (
    NOON,
    NOT_FOUND,
    PENDING,
    REJECTED,
    Handle,
    notification,
    start_detached,
    start_workflow,
    with_facts,
)
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
EMPTY_NOTIFICATION = NotificationResult(outcome=None, event_id="evt_0")


async def payment_outage_then_unknown(harness: WorkflowHarness) -> Handle:
    """The caller left, the PSP never answered, a look-up proved that nothing had arrived."""
    harness.answers[activity_plans.CHARGE.name] = [ApplicationError("lost", type="OutcomeUnknown")]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [
        PspReply(outcome=None, evidence=EvidenceKind.READ, absence_proven=True)
    ]
    start = harness.payment(key_window_seconds=3600)
    with harness.env.with_time_skipping_disabled():
        await harness.env.client.start_workflow(
            "PaymentWorkflow",
            start,
            id=harness.handle(TransactionKind.PAYMENT).id,
            task_queue=harness.queue,
        )
    await harness.client.caller_detached("m", TransactionKind.PAYMENT, harness.transaction_id)
    await eventually(lambda: harness.calls_of(activity_plans.CHARGE))
    await harness.advance_time(TransactionKind.PAYMENT, timedelta(hours=2))
    await harness.handle(TransactionKind.PAYMENT).result()
    return harness.handle(TransactionKind.PAYMENT)


async def payment_webhook_dead(harness: WorkflowHarness) -> Handle:
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    attempts: list[int] = []

    def dead(attempt: int) -> ApplicationError:
        attempts.append(attempt)
        return delivery_error("The target answered 500.", attempt)

    harness.webhook_error = dead
    start = harness.payment()
    await harness.create(start)
    await harness.notify(start, notification(approved("ch_1")))
    await eventually(lambda: attempts)
    await harness.advance_time(TransactionKind.PAYMENT, timedelta(hours=90))
    return harness.handle(TransactionKind.PAYMENT)


async def payment_credentials_refused(harness: WorkflowHarness) -> Handle:
    refused = ApplicationError("401", 1, type="CredentialsRejected", non_retryable=True)
    harness.answers[activity_plans.CHARGE.name] = [refused]
    harness.credentials_accepted = False
    with harness.env.with_time_skipping_disabled():
        await harness.env.client.start_workflow(
            "PaymentWorkflow",
            harness.payment(),
            id=harness.handle(TransactionKind.PAYMENT).id,
            task_queue=harness.queue,
        )
    await harness.client.caller_detached("m", TransactionKind.PAYMENT, harness.transaction_id)
    await eventually(lambda: harness.calls_of(activity_plans.CHECK_CREDENTIALS))
    await harness.advance_time(TransactionKind.PAYMENT, timedelta(minutes=3))
    await harness.handle(TransactionKind.PAYMENT).result()
    return harness.handle(TransactionKind.PAYMENT)


async def payment_redelivered(harness: WorkflowHarness) -> Handle:
    """The target was unavailable for days; an operator redelivers."""
    handle = await payment_webhook_dead(harness)
    harness.webhook_error = lambda attempt: None
    await handle.signal("redeliver")
    await eventually(lambda: harness.webhooks)
    return handle


async def payment_answer_unheard(harness: WorkflowHarness) -> Handle:
    """The caller detaches although there is an outcome."""
    harness.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
    start = harness.payment()
    await harness.create(start)
    await harness.client.caller_detached("m", PAYMENT, harness.transaction_id)
    await eventually(lambda: harness.webhooks)
    return harness.handle(PAYMENT)


async def payment_reopened_unanswered(harness: WorkflowHarness) -> Handle:
    """The only run is lost before its outcome: the PSP is asked, nothing is sent again."""
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [READ]
    start = harness.payment()
    state = PaymentState(
        **start.model_dump(include=set(PaymentState.model_fields) - {"kind"}),
        status=Status.Pending,
        version=1,
        last_updated=NOON,
    )
    handle = await start_workflow(harness, start.model_copy(update={"resume": state}))
    await harness.advance_time(PAYMENT, timedelta(minutes=2))
    await eventually(lambda: harness.webhooks)
    return handle


async def payment_cancelled_in_temporal(harness: WorkflowHarness) -> Handle:
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    start = harness.payment()
    await harness.create(start)
    await harness.handle(PAYMENT).cancel()
    await harness.notify(start, notification(approved("ch_1")))
    await eventually(lambda: harness.webhooks)
    return harness.handle(PAYMENT)


async def payment_cancelled_before_create(harness: WorkflowHarness) -> Handle:
    harness.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
    start = harness.payment()
    handle = await start_workflow(harness, start)
    await handle.cancel()
    await harness.state(PAYMENT)  # returns once the cancellation was handled
    await harness.create(start)
    await eventually(lambda: harness.records)
    return handle


async def payment_never_created(harness: WorkflowHarness) -> Handle:
    handle = await start_workflow(harness, harness.payment())
    await harness.advance_time(PAYMENT, timedelta(hours=2))
    await handle.result()
    return handle


async def payment_looked_up_by_id(harness: WorkflowHarness) -> Handle:
    """Reconciliation requests look-ups by id, one id twice; at first the PSP is unavailable."""
    harness.answers[activity_plans.CHARGE.name] = [approved("ch_1", psp_id="ch_1")]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [
        ApplicationError("unavailable", type=PspFailure.UNAVAILABLE, non_retryable=True),
        lambda call: approved(
            call.psp_id or "", psp_id=call.psp_id or "", evidence=EvidenceKind.READ
        ),
    ]
    start = harness.payment()
    await harness.create(start)
    for psp_id in ("ch_2", "ch_2", None):
        await harness.client.look_up(start, psp_id)
    await eventually(lambda: harness.calls_of(activity_plans.FETCH_PAYMENT))
    await harness.advance_time(PAYMENT, timedelta(hours=1))
    await eventually(lambda: harness.webhooks)
    return harness.handle(PAYMENT)


async def payment_reopened_by_look_up(harness: WorkflowHarness) -> Handle:
    """The look-up is requested before the first wait for work."""
    harness.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [READ]
    state = await harness.create(harness.payment())
    await harness.advance_time(PAYMENT, timedelta(days=401))
    await harness.handle(PAYMENT).result()
    handle = await start_workflow(
        harness,
        harness.payment(resume=state),
        start_signal=LOOK_UP,
        start_signal_args=[LookUpSignal()],
    )
    await eventually(lambda: harness.calls_of(activity_plans.FETCH_PAYMENT))
    return handle


async def payment_notified_during_look_up(harness: WorkflowHarness) -> Handle:
    """An empty notification, one that needs a look-up, and one while the PSP is unavailable."""
    unavailable = ApplicationError(
        "unavailable", type=PspFailure.UNAVAILABLE, next_retry_delay=timedelta(seconds=9)
    )
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [unavailable]
    start = harness.payment()
    await harness.create(start)
    await harness.notify(start, EMPTY_NOTIFICATION)
    await harness.notify(start, EMPTY_NOTIFICATION.model_copy(update={"fetch": True}))
    await eventually(lambda: harness.calls_of(activity_plans.FETCH_PAYMENT))
    await harness.notify(start, notification(approved("ch_1")))
    await eventually(lambda: harness.webhooks)
    await harness.advance_time(PAYMENT, timedelta(minutes=1))
    return harness.handle(PAYMENT)


async def payment_notification_unreadable(harness: WorkflowHarness) -> Handle:
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [READ]
    start = harness.payment()
    await harness.create(start)
    harness.notification_error = ApplicationError("No such notification.", non_retryable=True)
    await harness.notify(start, notification(approved("ch_1")))
    await eventually(lambda: harness.webhooks)
    return harness.handle(PAYMENT)


async def payment_store_slow(harness: WorkflowHarness) -> Handle:
    """The local activity gives up and the regular one records."""
    harness.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
    harness.store_errors = [ApplicationError("store unavailable") for _ in range(6)]
    await harness.create(harness.payment())
    await eventually(lambda: harness.records, seconds=20)
    return harness.handle(PAYMENT)


async def payment_open_for_weeks(harness: WorkflowHarness) -> Handle:
    """Sent once to a PSP that does not recognise repetitions; never found, absence never proven."""
    harness.answers[activity_plans.CHARGE.name] = [
        ApplicationError("lost", 1, type=PspFailure.UNKNOWN)
    ]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [NOT_FOUND]
    await harness.create(harness.payment(key_window_seconds=0))
    await harness.advance_time(PAYMENT, timedelta(days=16))
    return harness.handle(PAYMENT)


async def payment_not_sent_while_away(harness: WorkflowHarness) -> Handle:
    """The same PSP is unavailable for longer than the retry window."""
    harness.answers[activity_plans.CHARGE.name] = [
        ApplicationError("unavailable", 1, type=PspFailure.UNAVAILABLE, non_retryable=True)
    ]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [
        NOT_FOUND.model_copy(update={"absence_proven": True})
    ]
    handle = await start_detached(harness, harness.payment(key_window_seconds=0))
    await eventually(lambda: harness.calls_of(activity_plans.CHARGE))
    await harness.advance_time(PAYMENT, timedelta(hours=20))
    await handle.result()
    return handle


async def payment_not_configured(harness: WorkflowHarness) -> Handle:
    harness.answers[activity_plans.CHARGE.name] = [
        ApplicationError("none", 1, type=PspFailure.CONFIGURATION, non_retryable=True)
    ]
    await harness.create(harness.payment())
    await harness.handle(PAYMENT).result()
    return harness.handle(PAYMENT)


async def payment_failed_while_credentials_are_in_doubt(harness: WorkflowHarness) -> Handle:
    """The check of the credentials fails, too; the PSP reports the failure during the pause."""
    harness.answers[activity_plans.CHARGE.name] = [
        ApplicationError("401", 1, type=PspFailure.CREDENTIALS, non_retryable=True)
    ]
    harness.credentials_error = ApplicationError("unavailable", non_retryable=True)
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [
        REJECTED.model_copy(update={"evidence": EvidenceKind.READ})
    ]
    start = harness.payment()
    with time_skipping_disabled(harness.env):
        handle = await start_detached(harness, start)
        await eventually(lambda: harness.calls_of(activity_plans.CHECK_CREDENTIALS))
        await harness.notify(start, notification(REJECTED))
        await handle.result()
    return handle


async def payment_moved_on(harness: WorkflowHarness) -> Handle:
    """The history has grown long: the workflow continues as a new run."""
    harness.answers[activity_plans.CHARGE.name] = [approved("ch_1", amount="99.00")]
    first = (await start_workflow(harness, harness.payment())).first_execution_run_id
    start = harness.payment()
    await harness.create(start)
    handle = harness.env.client.get_workflow_handle(harness.handle(PAYMENT).id, run_id=first)
    for number in range(20):
        if (await handle.describe()).status is not WorkflowExecutionStatus.RUNNING:
            return handle
        chargeback = Fact(kind=FactKind.CHARGED_BACK, id=f"cb_{number}", amount=Decimal("1.00"))
        await harness.notify(start, notification(with_facts(chargeback)))
        await eventually(lambda: len(harness.webhooks) > number)  # noqa: B023 - awaited here
    raise AssertionError("the workflow did not continue as a new run")


SCENARIOS = (
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

LONG_SCENARIOS = (payment_moved_on,)
"""Recorded on a server that suggests continue-as-new much earlier than by default."""
