"""Commands of the `temporal` program at a real server: no signal or result by hand does harm."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest
from temporalio.client import Client, WorkflowQueryFailedError, WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from integrator.contract.enums import PaymentTransactionStatus
from integrator.temporal.workflow_sandbox import runner
from integrator.transactions.transaction_client import TransactionClient
from tests.integration.workflows.conftest import WorkflowHarness, approved, eventually
from tests.integration.workflows.message_scenarios import CONVERTER, list_messages
from tests.support.temporal import temporal_binary
from worker import WORKFLOWS
from workflows import activity_plans
from workflows.messages import LOOK_UP, NOTIFY, RESERVE, AnyInput, PspCall, PspReply
from workflows.payment import PaymentWorkflow
from workflows.state import TransactionKind

PAYMENT = TransactionKind.PAYMENT
TASK_FAILED = EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
MADE_UP = approved("made_up", psp_id="made_up").model_dump_json()


@dataclass
class Operated:
    """A harness with encrypted payloads; the first charge waits until `answering` is set."""

    harness: WorkflowHarness
    client: Client
    address: str
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    charges: int = 0

    @activity.defn(name=activity_plans.CHARGE.name)
    async def charge(self, call: PspCall) -> PspReply:
        self.charges += 1
        await self.answering.wait()
        return approved("ch_1")

    async def temporal(self, *arguments: str) -> tuple[int, str]:
        """Run the program on the payment; return its exit code and output."""
        process = await asyncio.create_subprocess_exec(
            temporal_binary(),
            *arguments,
            *("--address", self.address, "--workflow-id", self.workflow_id),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()

    @property
    def workflow_id(self) -> str:
        return f"m/payment/{self.harness.transaction_id}"

    async def state(self) -> Any:
        return await self.harness.state(PAYMENT)

    async def failed_tasks(self) -> int:
        handle = self.client.get_workflow_handle(self.workflow_id)
        return sum(
            [event.event_type == TASK_FAILED async for event in handle.fetch_history_events()]
        )


@pytest.fixture
async def operated(env: WorkflowEnvironment) -> AsyncIterator[Operated]:
    async with open_operated(env) as opened:
        yield opened


@asynccontextmanager
async def open_operated(env: WorkflowEnvironment) -> AsyncIterator[Operated]:
    service = env.client.service_client
    client = Client(service, namespace=env.client.namespace, data_converter=CONVERTER)
    queue = f"test-{uuid4().hex}"

    async def refresh(start: AnyInput) -> AnyInput:
        raise AssertionError("no workflow is reopened")

    harness = WorkflowHarness(env, TransactionClient(client, queue, refresh), queue)
    operated = Operated(harness, client, service.config.target_host)
    activities = harness.activities()
    names = [getattr(one, "__temporal_activity_definition").name for one in activities]
    activities[names.index(activity_plans.CHARGE.name)] = operated.charge
    async with Worker(
        client,
        task_queue=queue,
        workflows=WORKFLOWS,
        activities=activities,
        workflow_runner=runner(),
        graceful_shutdown_timeout=timedelta(seconds=1),
    ):
        yield operated
        operated.answering.set()


async def pay(operated: Operated) -> None:
    """Create a payment that succeeds."""
    operated.answering.set()
    operated.harness.answers[activity_plans.FETCH_PAYMENT.name] = [approved("ch_1")]
    await operated.harness.client.create(operated.harness.payment())


async def send_signal(operated: Operated, name: str, *payloads: Payload) -> None:
    """Send a signal past the SDK, which would encrypt its payloads."""
    request = SignalWorkflowExecutionRequest(
        namespace=operated.client.namespace,
        workflow_execution=WorkflowExecution(workflow_id=operated.workflow_id),
        signal_name=name,
        input=Payloads(payloads=payloads),
    )
    await operated.client.workflow_service.signal_workflow_execution(request)


async def test_a_look_up_by_hand_needs_no_input(operated: Operated) -> None:
    await pay(operated)
    assert (await operated.temporal("workflow", "signal", "--name", LOOK_UP))[0] == 0
    await eventually(lambda: operated.harness.calls_of(activity_plans.FETCH_PAYMENT))
    assert await operated.failed_tasks() == 0


async def test_no_malformed_signal_fails_a_workflow_task(operated: Operated) -> None:
    await pay(operated)
    messages = [message for message in list_messages(PaymentWorkflow) if message.kind == "signal"]
    for message in messages:
        await send_signal(operated, message.name, *message.payloads)
    await operated.temporal("workflow", "signal", "--name", NOTIFY, "--input", '"?"')
    assert (await operated.state()).status is PaymentTransactionStatus.Succeeded
    assert await operated.failed_tasks() == 0


async def test_a_malformed_update_or_query_gets_a_clear_error(operated: Operated) -> None:
    await pay(operated)
    code, output = await operated.temporal("workflow", "update", "execute", "--name", RESERVE)
    assert code != 0
    assert "Encoded failure" in output, "the text is encrypted; the codec server shows it"
    handle = operated.client.get_workflow_handle(operated.workflow_id)
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await handle.execute_update(RESERVE)
    assert "'reserve' is refused: the number of its arguments is wrong" in str(refused.value.cause)
    with pytest.raises(WorkflowQueryFailedError):
        await handle.query("no_such_query")
    assert await operated.failed_tasks() == 0


@pytest.mark.parametrize(
    "command",
    [("complete", "--result", MADE_UP), ("complete", "--result", '"?"'), ("fail",)],
    ids=["made up", "nonsense", "fail"],
)
async def test_a_charge_that_was_ended_by_hand_is_no_evidence(
    operated: Operated, command: tuple[str, ...]
) -> None:
    operated.harness.answers[activity_plans.FETCH_PAYMENT.name] = [approved("ch_1")]
    creating = asyncio.create_task(operated.harness.client.create(operated.harness.payment()))
    await eventually(lambda: operated.charges)
    code, output = await operated.temporal("activity", *command, "--activity-id", "1")
    assert code == 0, output
    operated.answering.set()
    # The next look-up or repetition would come after a minute.
    await operated.harness.client.look_up(operated.harness.payment())
    await operated.harness.wait_for_status(PAYMENT, PaymentTransactionStatus.Succeeded)
    assert "made_up" not in (await operated.state()).facts
    assert operated.charges + len(operated.harness.calls_of(activity_plans.FETCH_PAYMENT)) > 1
    assert await operated.failed_tasks() == 0
    await creating
