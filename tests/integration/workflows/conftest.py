"""Temporal test server with virtual time, and fake activities with scripted results."""

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
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from integrator.contract.enums import PaymentTransactionStatus, PublicPaymentProviderRole
from integrator.psp.types import Approved, Fact, FactKind
from integrator.temporal.workflow_sandbox import PASSTHROUGH_MODULES, runner
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
    ReadStored,
    Record,
    RecordReply,
    RefundInput,
    StoredState,
    WebhookCall,
    WebhookReply,
    workflow_id,
)
from workflows.state import EvidenceKind, TransactionKind

Answer = PspReply | ApplicationError | Callable[[PspCall], PspReply]


QUERY_ATTEMPTS, QUERY_TIMEOUT = 6, timedelta(seconds=10)

PASSED_THROUGH_TO_SANDBOX = (
    *(name for name in PASSTHROUGH_MODULES if name != "workflows"),
    *("workflows.messages", "workflows.state", "workflows.timeouts"),
)
"""The workflows themselves run in the sandbox here, which rejects non-deterministic code."""


@asynccontextmanager
async def start_environment(
    config: Mapping[str, str] | None = None,
) -> AsyncIterator[WorkflowEnvironment]:
    """Start a Temporal server with a clock per workflow; `config` adds dynamic configuration."""
    dynamic = {
        "frontend.WorkflowTimeSkippingEnabled": "true",
        "history.transferProcessorMaxPollRPS": "100",
        "history.timerProcessorMaxPollRPS": "100",
        "history.timerProcessorMaxTimeShift": '"50ms"',
        **(config or {}),
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
    async with start_environment() as environment:
        yield environment


def approved(
    *ids: str,
    kind: FactKind = FactKind.PAID,
    amount: str = "10.00",
    evidence: EvidenceKind = EvidenceKind.ANSWER,
    expires_at: datetime | None = None,
    psp_id: str = "psp_1",
) -> PspReply:
    """Build an approval of the PSP with one fact of `amount` per id."""
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


class TimeSkippingSwitch:
    """Reentrant context manager that disables time skipping for workflows started in it.

    The environment's own switch, entered by two tasks at once, would stay off after both have left.
    """

    def __init__(self) -> None:
        self._depth = 0
        self._switch = ExitStack()

    @contextmanager
    def __call__(self, env: WorkflowEnvironment) -> Iterator[None]:
        if self._depth == 0:
            self._switch.enter_context(env.with_time_skipping_disabled())
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                self._switch.close()


time_skipping_disabled = TimeSkippingSwitch()


@dataclass
class WorkflowHarness:
    """Client, worker activities and fakes of PSP, store and Billwerk+ for one transaction."""

    env: WorkflowEnvironment
    client: TransactionClient
    queue: str
    answers: dict[str, list[Answer]] = field(default_factory=lambda: defaultdict(list))
    calls: list[tuple[str, PspCall]] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    webhooks: list[WebhookCall] = field(default_factory=list)
    webhook_error: Callable[[int], ApplicationError | None] = lambda attempt: None
    notifications: dict[int, NotificationResult] = field(default_factory=dict)
    stored: StoredState | None = None
    store_errors: list[ApplicationError] = field(default_factory=list)
    notification_error: ApplicationError | None = None
    reservation_results: list[CloseReservationCall] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    during_close_reservation: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0)
    reads: list[ReadStored] = field(default_factory=list)
    during_read_stored: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0)
    during_psp_call: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0)
    credentials_accepted: bool = True
    credentials_error: ApplicationError | None = None
    transaction_id: str = field(default_factory=lambda: f"20260115-{uuid4().hex[:24]}")

    def calls_of(self, step: activity_plans.ActivityPlan[Any, Any]) -> list[PspCall]:
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
            "durable_reads": True,
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
        """Create the transaction as the API does; its clock stands until `advance_time`."""
        with time_skipping_disabled(self.env):
            return await self.client.create(start)

    async def create_recorded(self, start: AnyInput) -> Any:
        """Create the transaction and wait until its first outcome is recorded."""
        state = await self.create(start)
        await eventually(lambda: self.records)
        return state

    async def advance_time(self, kind: TransactionKind, duration: timedelta) -> None:
        """Advance the virtual time of the transaction's workflow."""
        await self.env.fast_forward(self.handle(kind), duration)

    async def state(self, kind: TransactionKind) -> Any:
        return await self._query(self.client.state, kind)

    async def wait_for_status(
        self, kind: TransactionKind, status: PaymentTransactionStatus
    ) -> None:
        """Wait in real time until the transaction has this status."""
        for _ in range(500):
            if (await self.state(kind)).status is status:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"the transaction did not become {status.name} in time")

    async def delivery(self, kind: TransactionKind) -> Delivery:
        delivery: Delivery = await self._query(self.client.delivery, kind)
        return delivery

    async def _query(self, query: Callable[..., Awaitable[Any]], kind: TransactionKind) -> Any:
        """Query the workflow, and again if no answer came in time.

        A query that waits for a task of a run that is being reset or continued gets no answer.
        """
        for _ in range(QUERY_ATTEMPTS - 1):
            try:
                return await query("m", kind, self.transaction_id, QUERY_TIMEOUT)
            except RPCError as error:
                if error.status not in (RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED):
                    raise
        return await query("m", kind, self.transaction_id, QUERY_TIMEOUT)

    async def notify(self, start: AnyInput, result: NotificationResult) -> None:
        number = len(self.notifications) + 1
        self.notifications[number] = result
        signal = NotificationSignal(notification_id=number, event_id=result.event_id)
        await self.client.notify(start, signal)

    def activities(self) -> list[Callable[..., Any]]:
        return [
            *(self._psp_activity(step) for step in PSP_STEPS),
            self.check_credentials,
            self.read_notification,
            self.record,
            self.read_stored,
            self.close_reservation,
            self.deliver_webhook,
        ]

    def _psp_activity(
        self, step: activity_plans.ActivityPlan[PspCall, PspReply]
    ) -> Callable[..., Any]:
        @activity.defn(name=step.name)
        async def run(call: PspCall) -> PspReply:
            self.calls.append((step.name, call))
            await self.during_psp_call()
            script = self.answers[step.name]
            answer = script.pop(0) if len(script) > 1 else script[0]
            if isinstance(answer, ApplicationError):
                raise answer
            return answer(call) if callable(answer) else answer

        return run

    @activity.defn(name=activity_plans.CHECK_CREDENTIALS.name)
    async def check_credentials(self, call: PspCall) -> CredentialsReply:
        self.calls.append((activity_plans.CHECK_CREDENTIALS.name, call))
        if self.credentials_error is not None:
            raise self.credentials_error
        return CredentialsReply(accepted=self.credentials_accepted)

    @activity.defn(name=activity_plans.READ_NOTIFICATION.name)
    async def read_notification(self, read: NotificationRead) -> NotificationResult:
        if self.notification_error is not None:
            raise self.notification_error
        return self.notifications[read.notification_id]

    @activity.defn(name=activity_plans.RECORD.name)
    async def record(self, record: Record) -> RecordReply:
        if self.store_errors:
            raise self.store_errors.pop()
        self.records.append(record)
        self.order.append(f"recorded {json.loads(record.snapshot)['status']}")
        is_newer = self.stored is None or (
            _version(record.snapshot) > _version(self.stored.snapshot)
        )
        return RecordReply(is_newer or RecordReply.REFUSED)

    @activity.defn(name=activity_plans.READ_STORED.name)
    async def read_stored(self, read: ReadStored) -> StoredState:
        self.reads.append(read)
        await self.during_read_stored()
        own = [r.snapshot for r in self.records if r.transaction_id == read.transaction_id]
        return self.stored or StoredState(snapshot=own[-1])

    @activity.defn(name=activity_plans.CLOSE_RESERVATION.name)
    async def close_reservation(self, call: CloseReservationCall) -> bool:
        self.reservation_results.append(call)
        await self.during_close_reservation()
        self.order.append("reservation closed")
        return True

    @activity.defn(name=activity_plans.DELIVER_WEBHOOK.name)
    async def deliver_webhook(self, call: WebhookCall) -> WebhookReply:
        attempt = activity.info().attempt
        failure = self.webhook_error(attempt)
        if failure is not None:
            raise failure
        self.webhooks.append(call)
        return WebhookReply(delivered_at=datetime.now(UTC), attempt=attempt)


def _version(snapshot: str) -> int:
    return int(json.loads(snapshot)["version"])


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
async def harness(env: WorkflowEnvironment) -> AsyncIterator[WorkflowHarness]:
    async with open_harness(env) as opened:
        yield opened


@pytest.fixture
async def uncached_harness(env: WorkflowEnvironment) -> AsyncIterator[WorkflowHarness]:
    """Harness whose worker caches no workflow: every task replays the whole history."""
    async with open_harness(env, max_cached_workflows=0) as opened:
        yield opened


@asynccontextmanager
async def open_harness(env: WorkflowEnvironment, **options: Any) -> AsyncIterator[WorkflowHarness]:
    """Open a harness with a worker on its own task queue."""
    queue = f"test-{uuid4().hex}"
    records: list[Record] = []

    async def refresh(start: AnyInput) -> AnyInput:
        newest = max(records, key=lambda record: json.loads(record.snapshot)["version"])
        return start.model_copy(update={"resume": read_state(newest.kind, newest.snapshot)})

    client = TransactionClient(env.client, queue, refresh)
    harness = WorkflowHarness(env=env, client=client, queue=queue, records=records)
    async with Worker(
        env.client,
        task_queue=queue,
        workflows=WORKFLOWS,
        activities=harness.activities(),
        workflow_runner=runner(PASSED_THROUGH_TO_SANDBOX),
        graceful_shutdown_timeout=timedelta(seconds=1),
        **options,
    ):
        yield harness


async def eventually(check: Callable[[], Any], seconds: float = 60) -> None:
    """Wait in real time until `check` returns true; the workflow's clock does not matter."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not check():
        assert asyncio.get_running_loop().time() < deadline, "the condition was not met in time"
        await asyncio.sleep(0.02)
