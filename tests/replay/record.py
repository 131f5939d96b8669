"""Writes histories for the replay tests: `python -m tests.replay.record [NAME ...]`.

Existing files are left alone: they stand for transactions that are open somewhere.
"""

import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from temporalio.exceptions import ApplicationError

from activities import plan
from activities.webhooks import failed
from contract.enums import PaymentErrorCode, PublicPaymentProviderRole
from contract.enums import PaymentTransactionStatus as Status
from psp.types import Approved, Declined, Fact, FactKind, Pending, RedirectRequired
from tests.workflows.conftest import World, approved, eventually, opened, standing_still, started
from workflows.messages import NotificationResult, PspReply, ReserveRequest, Settlement
from workflows.starts import read_state
from workflows.state import (
    Adoption,
    BookedRefund,
    Decision,
    DecisionKind,
    EvidenceKind,
    Kind,
    Standing,
)

FOLDER = Path(__file__).parent / "histories"
Scenario = Callable[[World], Awaitable[Kind]]

MACHINE = {"stackTrace", "identity"}
PROCESS = re.compile(r"^\d+@[\w.]+")  # begins the names of workers' own queues

PENDING = PspReply(outcome=Pending(psp_id="ch_1"), evidence=EvidenceKind.ANSWER)


def reservation() -> PspReply:
    return approved(
        "auth_1",
        kind=FactKind.AUTHORIZED,
        expires_at=datetime.now(UTC) + timedelta(days=7),
        psp_id="auth_1",
    )


def redirect() -> PspReply:
    ends = datetime.now(UTC) + timedelta(minutes=30)
    return PspReply(
        outcome=RedirectRequired(psp_id="cs_1", expires_at=ends), evidence=EvidenceKind.ANSWER
    )


def ended(status: Status) -> PspReply:
    outcome = Declined(code=PaymentErrorCode.Canceled, status=status)
    return PspReply(outcome=outcome, evidence=EvidenceKind.READ)


def notice(reply: PspReply) -> NotificationResult:
    return NotificationResult(outcome=reply.outcome, event_id="evt_1")


async def payment_captured_open(world: World) -> Kind:
    world.answers[plan.CAPTURE.name] = [approved("ch_1").model_copy(update={"settled": True})]
    await world.create(world.payment(preauth_id="a1"))
    return Kind.PAYMENT


async def payment_captured_closed(world: World) -> Kind:
    await payment_captured_open(world)
    await world.later(Kind.PAYMENT, timedelta(days=401))
    await world.handle(Kind.PAYMENT).result()
    return Kind.PAYMENT


async def payment_declined(world: World) -> Kind:
    declined = Declined(code=PaymentErrorCode.InsufficientBalance, message="no")
    world.answers[plan.CHARGE.name] = [PspReply(outcome=declined, evidence=EvidenceKind.ANSWER)]
    await world.create(world.payment())
    await world.handle(Kind.PAYMENT).result()
    return Kind.PAYMENT


async def payment_debit_refunded_charged_back(world: World) -> Kind:
    """Pending for days, asked for, settled by notification, refunded in part, charged back."""
    world.answers[plan.CHARGE.name] = [PENDING]
    world.answers[plan.FETCH_PAYMENT.name] = [
        PENDING.model_copy(update={"evidence": EvidenceKind.READ})
    ]
    role = PublicPaymentProviderRole.Debit
    start = world.payment(role=role, execute_on=date(2026, 1, 20))
    state = await world.create(start)
    await world.later(Kind.PAYMENT, timedelta(days=2))
    await world.notify(start, notice(approved("ch_1")))
    await eventually(lambda: world.webhooks)
    resumed = start.model_copy(update={"resume": state})
    for by, booked in (("r1", True), ("r2", False)):
        request = ReserveRequest(by=by, amount=Decimal("4.00"), currency="EUR")
        await world.gateway.reserve(resumed, request)
        refund = BookedRefund(amount=Decimal("4.00"), psp_id="re_1", booked_on=date(2026, 1, 21))
        settlement = Settlement(by=by, booked=booked, refund=refund if booked else None)
        await world.gateway.settle(resumed, settlement)
    back = Fact(kind=FactKind.CHARGED_BACK, id="cb_1", amount=Decimal("6.00"))
    await world.notify(start, notice(with_facts(back)))
    await eventually(lambda: len(world.webhooks) >= 2)
    return Kind.PAYMENT


def with_facts(*facts: Fact) -> PspReply:
    return PspReply(
        outcome=Approved(psp_id="ch_1", facts=facts), evidence=EvidenceKind.NOTIFICATION
    )


async def payment_outage_then_unknown(world: World) -> Kind:
    """The caller left, the PSP never answered, a look-up proved that nothing had arrived."""
    world.answers[plan.CHARGE.name] = [ApplicationError("lost", type="OutcomeUnknown")]
    world.answers[plan.FETCH_PAYMENT.name] = [
        PspReply(outcome=None, evidence=EvidenceKind.READ, absence_proven=True)
    ]
    start = world.payment(key_window_seconds=3600)
    with world.env.with_time_skipping_disabled():
        await world.env.client.start_workflow(
            "PaymentWorkflow",
            start,
            id=world.handle(Kind.PAYMENT).id,
            task_queue=world.queue,
        )
    await world.gateway.caller_left("m", Kind.PAYMENT, world.transaction_id)
    await eventually(lambda: world.called(plan.CHARGE))
    await world.later(Kind.PAYMENT, timedelta(hours=2))
    await world.handle(Kind.PAYMENT).result()
    return Kind.PAYMENT


async def payment_webhook_dead(world: World) -> Kind:
    world.answers[plan.CHARGE.name] = [PENDING]
    attempts: list[int] = []

    def dead(attempt: int) -> ApplicationError:
        attempts.append(attempt)
        return failed("The target answered 500.", attempt)

    world.webhook_failure = dead
    start = world.payment()
    await world.create(start)
    await world.notify(start, notice(approved("ch_1")))
    await eventually(lambda: attempts)
    await world.later(Kind.PAYMENT, timedelta(hours=90))
    return Kind.PAYMENT


async def payment_credentials_refused(world: World) -> Kind:
    refused = ApplicationError("401", 1, type="CredentialsRejected", non_retryable=True)
    world.answers[plan.CHARGE.name] = [refused]
    world.credentials_accepted = False
    with world.env.with_time_skipping_disabled():
        await world.env.client.start_workflow(
            "PaymentWorkflow",
            world.payment(),
            id=world.handle(Kind.PAYMENT).id,
            task_queue=world.queue,
        )
    await world.gateway.caller_left("m", Kind.PAYMENT, world.transaction_id)
    await eventually(lambda: world.called(plan.CHECK_CREDENTIALS))
    await world.later(Kind.PAYMENT, timedelta(minutes=3))
    await world.handle(Kind.PAYMENT).result()
    return Kind.PAYMENT


async def payment_refunded_elsewhere(world: World) -> Kind:
    """Reconciliation has it looked up and tells it of a refund made in the PSP's dashboard."""
    world.answers[plan.CHARGE.name] = [approved("ch_1")]
    world.answers[plan.FETCH_PAYMENT.name] = [approved("ch_1", evidence=EvidenceKind.READ)]
    start = world.payment()
    await world.create(start)
    await world.gateway.look_up(start)
    await eventually(lambda: world.called(plan.FETCH_PAYMENT))
    await world.gateway.adopt(start, made_elsewhere("re_9", "4.00"))
    await eventually(lambda: world.webhooks)
    return Kind.PAYMENT


async def preauth_captured_elsewhere(world: World) -> Kind:
    """A capture made in the PSP's dashboard, announced, ends the preauth."""
    world.answers[plan.AUTHORIZE.name] = [reservation()]
    start = world.preauth()
    await world.create(start)
    await world.gateway.adopt(start, made_elsewhere("ch_9", "10.00"))
    await world.handle(Kind.PREAUTH).result()
    return Kind.PREAUTH


def made_elsewhere(psp_id: str, amount: str) -> Adoption:
    return Adoption(
        psp_id=psp_id,
        amount=Decimal(amount),
        currency="EUR",
        standing=Standing.BOOKED,
        booked_on=date(2026, 1, 16),
    )


async def preauth_redirect_finalized_captured(world: World) -> Kind:
    world.answers[plan.AUTHORIZE.name] = [redirect()]
    world.answers[plan.FETCH_AUTHORIZATION.name] = [reservation()]
    start = world.preauth()
    state = await world.create(start)
    resumed = start.model_copy(update={"resume": state})
    await world.gateway.finalize(resumed)
    request = ReserveRequest(by="p1", amount=Decimal("10.00"), currency="EUR")
    await world.gateway.reserve(resumed, request)
    await world.gateway.settle(resumed, Settlement(by="p1", booked=True))
    await world.handle(Kind.PREAUTH).result()
    return Kind.PREAUTH


async def preauth_redirect_notified_open(world: World) -> Kind:
    world.answers[plan.AUTHORIZE.name] = [redirect()]
    start = world.preauth()
    await world.create(start)
    await world.notify(start, notice(reservation()))
    await eventually(lambda: world.webhooks)
    return Kind.PREAUTH


async def preauth_abandoned(world: World) -> Kind:
    world.answers[plan.AUTHORIZE.name] = [redirect()]
    world.answers[plan.FETCH_AUTHORIZATION.name] = [redirect(), ended(Status.Expired)]
    await world.create(world.preauth())
    await world.later(Kind.PREAUTH, timedelta(hours=2))
    await world.handle(Kind.PREAUTH).result()
    return Kind.PREAUTH


async def preauth_cancelled(world: World) -> Kind:
    world.answers[plan.AUTHORIZE.name] = [reservation()]
    world.answers[plan.VOID.name] = [
        ApplicationError("away", type="PspUnavailable"),
        ended(Status.Cancelled),
    ]
    start = world.preauth()
    state = await world.create(start)
    await world.gateway.cancel(start.model_copy(update={"resume": state}))
    await world.handle(Kind.PREAUTH).result()
    return Kind.PREAUTH


async def preauth_expired(world: World) -> Kind:
    world.answers[plan.AUTHORIZE.name] = [reservation()]
    world.answers[plan.FETCH_AUTHORIZATION.name] = [ended(Status.Expired)]
    await world.create(world.preauth())
    await world.later(Kind.PREAUTH, timedelta(days=8))
    await world.handle(Kind.PREAUTH).result()
    return Kind.PREAUTH


async def refund_failed_between_attempts(world: World) -> Kind:
    """The PSP told of the failure while its answer was still being asked for again."""
    declined = PspReply(
        outcome=Declined(code=PaymentErrorCode.Rejected), evidence=EvidenceKind.READ
    )
    world.answers[plan.REFUND.name] = [ApplicationError("lost", 1, type="OutcomeUnknown")]
    world.answers[plan.FETCH_REFUND.name] = [declined]
    start = world.refund()
    with standing_still(world.env):
        await world.gateway.begin(start)
        await world.gateway.caller_left("m", Kind.REFUND, world.transaction_id)
        await eventually(lambda: world.called(plan.REFUND))
        await world.notify(start, notice(declined))
        await eventually(lambda: world.settlements)
    await world.handle(Kind.REFUND).result()
    return Kind.REFUND


async def refund_succeeded(world: World) -> Kind:
    done = approved("re_1", kind=FactKind.REFUNDED, psp_id="re_1")
    world.answers[plan.REFUND.name] = [done.model_copy(update={"settled": True})]
    await world.create(world.refund())
    await world.handle(Kind.REFUND).result()
    return Kind.REFUND


async def refund_pending_then_failed(world: World) -> Kind:
    world.answers[plan.REFUND.name] = [PENDING]
    world.answers[plan.FETCH_REFUND.name] = [ended(Status.Failed)]
    await world.create(world.refund())
    await world.later(Kind.REFUND, timedelta(minutes=5))
    await world.handle(Kind.REFUND).result()
    return Kind.REFUND


async def payment_searchable_captured(world: World) -> Kind:
    """As `payment_captured_open`, begun with search attributes."""
    return await payment_captured_open(world)


async def payment_searchable_debit_charged_back(world: World) -> Kind:
    """As `payment_debit_refunded_charged_back`, begun with search attributes."""
    return await payment_debit_refunded_charged_back(world)


async def payment_searchable_webhook_dead_then_redelivered(world: World) -> Kind:
    """Given up, which can be searched for, and delivered after all."""
    await payment_webhook_dead(world)
    world.webhook_failure = lambda attempt: None
    with standing_still(world.env):
        await world.gateway.redeliver(world.payment())
        await eventually(lambda: world.webhooks)
    await world.state(Kind.PAYMENT)
    return Kind.PAYMENT


async def preauth_searchable_captured(world: World) -> Kind:
    """As `preauth_redirect_finalized_captured`, begun with search attributes."""
    return await preauth_redirect_finalized_captured(world)


def decided(kind: DecisionKind, **given: Any) -> Decision:
    return Decision(kind=kind, by="ops", reason="asked the PSP", at=datetime.now(UTC), **given)


async def payment_decided_failed(world: World) -> Kind:
    """The PSP never told; the decision gives the reservation back."""
    world.answers[plan.CAPTURE.name] = [
        PspReply(outcome=Pending(psp_id=None), evidence=EvidenceKind.ANSWER)
    ]
    start = world.payment(preauth_id="a1")
    await world.create(start)
    with standing_still(world.env):
        await world.gateway.resolve(start, decided(DecisionKind.FAILED))
    await world.handle(Kind.PAYMENT).result()
    return Kind.PAYMENT


async def payment_reopened_contradicted_acknowledged(world: World) -> Kind:
    """The run after `payment_decided_failed`: the PSP says otherwise, and somebody looks at it."""
    await payment_decided_failed(world)
    start = world.payment(preauth_id="a1")
    closed = read_state(Kind.PAYMENT, world.records[-1].snapshot)
    resumed = start.model_copy(update={"resume": closed})
    with standing_still(world.env):
        await world.notify(resumed, notice(approved("ch_1")))
        await eventually(lambda: read_state(Kind.PAYMENT, world.records[-1].snapshot).attention)
        await world.gateway.resolve(resumed, decided(DecisionKind.ACKNOWLEDGE))
    await world.handle(Kind.PAYMENT).result()
    return Kind.PAYMENT


async def payment_decided_succeeded_while_sending(world: World) -> Kind:
    """The attempts are called off; the look-up puts the PSP's own fact in the decision's place."""
    world.answers[plan.CHARGE.name] = [ApplicationError("lost", 1, type="OutcomeUnknown")]
    world.answers[plan.FETCH_PAYMENT.name] = [approved("ch_1", evidence=EvidenceKind.READ)]
    start = world.payment()
    amount = Decimal("10.00")
    with standing_still(world.env):
        await world.gateway.begin(start)
        await world.gateway.caller_left("m", Kind.PAYMENT, world.transaction_id)
        await eventually(lambda: world.called(plan.CHARGE))
        success = decided(DecisionKind.SUCCEEDED, psp_id="pi_1", amount=amount)
        await world.gateway.resolve(start, success)
        await eventually(lambda: world.called(plan.FETCH_PAYMENT))
        await eventually(lambda: world.webhooks)
    await world.state(Kind.PAYMENT)
    return Kind.PAYMENT


async def refund_decided_failed_before_anything_was_sent(world: World) -> Kind:
    start = world.refund()
    with standing_still(world.env):
        await world.gateway.begin(start)
        await world.gateway.resolve(start, decided(DecisionKind.FAILED))
    await world.handle(Kind.REFUND).result()
    return Kind.REFUND


SCENARIOS: tuple[Scenario, ...] = (
    payment_captured_open,
    payment_captured_closed,
    payment_declined,
    payment_debit_refunded_charged_back,
    payment_outage_then_unknown,
    payment_webhook_dead,
    payment_credentials_refused,
    payment_refunded_elsewhere,
    preauth_captured_elsewhere,
    preauth_redirect_finalized_captured,
    preauth_redirect_notified_open,
    preauth_abandoned,
    preauth_cancelled,
    preauth_expired,
    refund_succeeded,
    refund_pending_then_failed,
    refund_failed_between_attempts,
    payment_searchable_captured,
    payment_searchable_debit_charged_back,
    payment_searchable_webhook_dead_then_redelivered,
    preauth_searchable_captured,
    payment_decided_failed,
    payment_reopened_contradicted_acknowledged,
    payment_decided_succeeded_while_sending,
    refund_decided_failed_before_anything_was_sent,
)


async def main(names: list[str]) -> None:
    """Record the named scenarios, or all, that have no file yet."""
    async with started() as env:
        for scenario in SCENARIOS:
            name = scenario.__name__.replace("_", "-")
            path = FOLDER / f"{name}.json"
            if path.exists() or (names and name not in names):
                continue
            async with opened(env) as world:
                kind = await scenario(world)
                history = await world.handle(kind).fetch_history()
            path.write_text(json.dumps(anonymous(history.to_json_dict()), indent=1) + "\n")


def anonymous(part: Any) -> Any:
    """The same without what tells of the machine it was recorded on; replaying needs none of it."""
    if isinstance(part, dict):
        return {key: anonymous(value) for key, value in part.items() if key not in MACHINE}
    if isinstance(part, list):
        return [anonymous(item) for item in part]
    return PROCESS.sub("worker", part) if isinstance(part, str) else part


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
