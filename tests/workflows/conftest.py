"""A real Temporal server with virtual time, and activities whose answers a test writes down."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from integrator.contract.enums import PaymentTransactionStatus, PublicPaymentProviderRole
from integrator.psp.types import Approved, Fact, FactKind
from integrator.temporal.workflow_sandbox import PASSED_THROUGH, runner
from integrator.transactions.transaction_client import TransactionClient
from integrator.transactions.workflow_inputs import read_state
from tests.support.temporal import temporal_binary
from worker import WORKFLOWS
from workflows import activity_plans, search_attributes
from workflows.messages import (
    AnyInput,
    CloseReservationCall,
    CredentialsReply,
    Delivery,
    NotificationRead,
    NotificationResult,
    NotificationSignal,
    PaymentInput,
    PreauthInput,
    PspCall,
    PspReply,
    Record,
    RefundInput,
    WebhookCall,
    WebhookReply,
    workflow_id,
)
from workflows.state import EvidenceKind, TransactionKind

Answer = PspReply | ApplicationError | Callable[[PspCall], PspReply]


CONFINED = (
    *(name for name in PASSED_THROUGH if name != "workflows"),
    *("workflows.messages", "workflows.state", "workflows.timeouts"),
)
"""The workflows themselves run inside the sandbox here, which refuses what is not deterministic."""


@asynccontextmanager
async def started(more: Mapping[str, str] | None = None) -> AsyncIterator[WorkflowEnvironment]:
    """A Temporal server of our own, with a clock per workflow; `more` configures it further."""
    dynamic = {
        "frontend.WorkflowTimeSkippingEnabled": "true",
        "history.transferProcessorMaxPollRPS": "100",
        "history.timerProcessorMaxPollRPS": "100",
        "history.timerProcessorMaxTimeShift": '"50ms"',
        **(more or {}),
    }
    flags = [f"{key}={value}" for key, value in dynamic.items()]
    environment = await WorkflowEnvironment.start_time_skipping_v2(
        data_converter=pydantic_data_converter,
        search_attributes=search_attributes.KEYS,
        dev_server_existing_path=temporal_binary(),
        dev_server_extra_args=[arg for flag in flags for arg in ("--dynamic-config-value", flag)],
    )
    try:
        yield environment
    finally:
        await environment.shutdown()


@pytest.fixture(scope="session")
async def env() -> AsyncIterator[WorkflowEnvironment]:
    async with started() as environment:
        yield environment


def approved(
    *ids: str,
    kind: FactKind = FactKind.PAID,
    amount: str = "10.00",
    evidence: EvidenceKind = EvidenceKind.ANSWER,
    expires_at: datetime | None = None,
    psp_id: str = "psp_1",
) -> PspReply:
    """The PSP says yes, with one fact of `amount` per id."""
    facts = tuple(
        Fact(
            kind=kind,
            id=id,
            amount=Decimal(amount),
            booked_on=date(2026, 1, 15),
            expires_at=expires_at,
        )
        for id in ids
    )
    return PspReply(outcome=Approved(psp_id=psp_id, facts=facts), evidence=evidence)


class StandingStill:
    """Workflows started inside do not skip time; several tasks may be inside at once.

    The environment's own switch, entered by two at once, would stay off after both have left.
    """

    def __init__(self) -> None:
        self._inside = 0
        self._switch = ExitStack()

    @contextmanager
    def __call__(self, env: WorkflowEnvironment) -> Iterator[None]:
        if self._inside == 0:
            self._switch.enter_context(env.with_time_skipping_disabled())
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            if self._inside == 0:
                self._switch.close()


standing_still = StandingStill()


@dataclass
class World:
    """Everything outside the workflows: a PSP, a store and Billwerk+, as lists and dictionaries."""

    env: WorkflowEnvironment
    gateway: TransactionClient
    queue: str
    answers: dict[str, list[Answer]] = field(default_factory=lambda: defaultdict(list))
    calls: list[tuple[str, PspCall]] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    webhooks: list[WebhookCall] = field(default_factory=list)
    webhook_failure: Callable[[int], ApplicationError | None] = lambda attempt: None
    notifications: dict[int, NotificationResult] = field(default_factory=dict)
    store_failures: list[ApplicationError] = field(default_factory=list)
    unreadable: ApplicationError | None = None
    settlements: list[CloseReservationCall] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    while_settling: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0)
    credentials_accepted: bool = True
    credentials_failure: ApplicationError | None = None
    transaction_id: str = field(default_factory=lambda: f"20260115-{uuid4().hex[:24]}")

    def called(self, step: activity_plans.ActivityPlan[Any, Any]) -> list[PspCall]:
        return [call for name, call in self.calls if name == step.name]

    def common(self) -> dict[str, Any]:
        return {
            "merchant_id": "m",
            "psp": "fake",
            "psp_settings_id": "s",
            "transaction_id": self.transaction_id,
            "external_id": "e" * 24,
            "role": PublicPaymentProviderRole.CreditCard,
            "currency": "EUR",
            "requested_amount": Decimal("10.00"),
            "key_window_seconds": 86_400,
        }

    def preauth(self, **changes: Any) -> PreauthInput:
        return PreauthInput(**(self.common() | changes))

    def payment(self, **changes: Any) -> PaymentInput:
        return PaymentInput(**(self.common() | changes))

    def refund(self, **changes: Any) -> RefundInput:
        return RefundInput(**(self.common() | {"payment_id": "p1"} | changes))

    def handle(self, kind: TransactionKind) -> WorkflowHandle[Any, Any]:
        return self.env.client.get_workflow_handle(workflow_id("m", kind, self.transaction_id))

    async def create(self, start: AnyInput) -> Any:
        """As the API does; the workflow's clock stands until `later` moves it."""
        with standing_still(self.env):
            return await self.gateway.create(start)

    async def later(self, kind: TransactionKind, passed: timedelta) -> None:
        """Let virtual time pass for the transaction's workflow."""
        await self.env.fast_forward(self.handle(kind), passed)

    async def state(self, kind: TransactionKind) -> Any:
        return await self.gateway.state("m", kind, self.transaction_id, timedelta(seconds=10))

    async def until(self, kind: TransactionKind, status: PaymentTransactionStatus) -> None:
        """Wait in real time until the transaction has come that far."""
        for _ in range(500):
            if (await self.state(kind)).status is status:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"it did not become {status.name} in time")

    async def delivery(self, kind: TransactionKind) -> Delivery:
        return await self.gateway.delivery("m", kind, self.transaction_id, timedelta(seconds=10))

    async def notify(self, start: AnyInput, result: NotificationResult) -> None:
        number = len(self.notifications) + 1
        self.notifications[number] = result
        signal = NotificationSignal(notification_id=number, event_id=result.event_id)
        await self.gateway.notify(start, signal)

    def activities(self) -> list[Callable[..., Any]]:
        return [
            *(self._psp_activity(step) for step in PSP_STEPS),
            self.check_credentials,
            self.read_notification,
            self.record,
            self.settle_owner,
            self.deliver_webhook,
        ]

    def _psp_activity(
        self, step: activity_plans.ActivityPlan[PspCall, PspReply]
    ) -> Callable[..., Any]:
        @activity.defn(name=step.name)
        async def run(call: PspCall) -> PspReply:
            self.calls.append((step.name, call))
            script = self.answers[step.name]
            answer = script.pop(0) if len(script) > 1 else script[0]
            if isinstance(answer, ApplicationError):
                raise answer
            return answer(call) if callable(answer) else answer

        return run

    @activity.defn(name=activity_plans.CHECK_CREDENTIALS.name)
    async def check_credentials(self, call: PspCall) -> CredentialsReply:
        self.calls.append((activity_plans.CHECK_CREDENTIALS.name, call))
        if self.credentials_failure is not None:
            raise self.credentials_failure
        return CredentialsReply(accepted=self.credentials_accepted)

    @activity.defn(name=activity_plans.READ_NOTIFICATION.name)
    async def read_notification(self, read: NotificationRead) -> NotificationResult:
        if self.unreadable is not None:
            raise self.unreadable
        return self.notifications[read.notification_id]

    @activity.defn(name=activity_plans.RECORD.name)
    async def record(self, record: Record) -> bool:
        if self.store_failures:
            raise self.store_failures.pop()
        self.records.append(record)
        self.order.append(f"recorded {json.loads(record.snapshot)['status']}")
        return True

    @activity.defn(name=activity_plans.CLOSE_RESERVATION.name)
    async def settle_owner(self, call: CloseReservationCall) -> bool:
        self.settlements.append(call)
        await self.while_settling()
        self.order.append("settled")
        return True

    @activity.defn(name=activity_plans.DELIVER_WEBHOOK.name)
    async def deliver_webhook(self, call: WebhookCall) -> WebhookReply:
        attempt = activity.info().attempt
        failure = self.webhook_failure(attempt)
        if failure is not None:
            raise failure
        self.webhooks.append(call)
        return WebhookReply(delivered_at=datetime.now(UTC), attempt=attempt)


PSP_STEPS = (
    activity_plans.AUTHORIZE,
    activity_plans.VOID,
    activity_plans.CAPTURE,
    activity_plans.CHARGE,
    activity_plans.REFUND,
    activity_plans.FETCH_AUTHORIZATION,
    activity_plans.FETCH_PAYMENT,
    activity_plans.FETCH_REFUND,
)


@pytest.fixture
async def world(env: WorkflowEnvironment) -> AsyncIterator[World]:
    async with opened(env) as made:
        yield made


@pytest.fixture
async def forgetful_world(env: WorkflowEnvironment) -> AsyncIterator[World]:
    """A world whose worker keeps no workflow in memory: every step replays the whole history."""
    async with opened(env, max_cached_workflows=0) as made:
        yield made


@asynccontextmanager
async def opened(env: WorkflowEnvironment, **options: Any) -> AsyncIterator[World]:
    """A world of its own, with a worker on its own task queue."""
    queue = f"test-{uuid4().hex}"
    records: list[Record] = []

    async def refresh(start: AnyInput) -> AnyInput:
        newest = max(records, key=lambda record: json.loads(record.snapshot)["version"])
        return start.model_copy(update={"resume": read_state(newest.kind, newest.snapshot)})

    gateway = TransactionClient(env.client, queue, refresh)
    made = World(env=env, gateway=gateway, queue=queue, records=records)
    async with Worker(
        env.client,
        task_queue=queue,
        workflows=WORKFLOWS,
        activities=made.activities(),
        workflow_runner=runner(CONFINED),
        graceful_shutdown_timeout=timedelta(seconds=1),
        **options,
    ):
        yield made


async def eventually(check: Callable[[], Any], seconds: float = 10) -> None:
    """Wait in real time until `check` holds; the workflow's own clock does not matter here."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not check():
        assert asyncio.get_running_loop().time() < deadline, "it did not come true in time"
        await asyncio.sleep(0.02)
