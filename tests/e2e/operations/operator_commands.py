"""Temporal operations as an operator makes them: with the `temporal` program."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from temporalio.api.enums.v1 import EventType

from integrator.contract.enums import PaymentErrorCode
from integrator.psp.types import Approved, Declined, Fact, FactKind
from tests.e2e.operations.cases import RESETS_TO_A_TASK, Operation
from tests.e2e.operations.world import World
from tests.support.temporal import temporal_binary
from workflows.messages import PspReply, WebhookReply
from workflows.state import EvidenceKind

MAX_CONCURRENT = 3
REASON = "--reason=test"
ACTIVITY_PATIENCE_SECONDS = 4.0
BUSY, BUSY_ATTEMPTS = "Workflow is busy", 5
CONFIRMATION = b"y\n"

RESET_OPTIONS: Mapping[Operation, tuple[str, ...]] = {
    Operation.RESET_FIRST: ("--type=FirstWorkflowTask",),
    Operation.RESET_FIRST_NO_MESSAGES: ("--type=FirstWorkflowTask", "--reapply-exclude=All"),
    Operation.RESET_FIRST_NO_SIGNALS: ("--type=FirstWorkflowTask", "--reapply-exclude=Signal"),
    Operation.RESET_FIRST_NO_UPDATES: ("--type=FirstWorkflowTask", "--reapply-exclude=Update"),
    Operation.RESET_LAST: ("--type=LastWorkflowTask",),
    Operation.RESET_LAST_NO_MESSAGES: ("--type=LastWorkflowTask", "--reapply-exclude=All"),
}
WORKFLOW_COMMANDS: Mapping[Operation, str] = {
    Operation.TERMINATE: "terminate",
    Operation.CANCEL: "cancel",
    Operation.DELETE: "delete",
    Operation.PAUSE: "pause",
}
WRITES = {
    "authorize": FactKind.AUTHORIZED,
    "charge": FactKind.PAID,
    "capture": FactKind.PAID,
    "refund": FactKind.REFUNDED,
    "void": None,
}


class OperatorCommands:
    """Runs `temporal` against the stack; returns what Temporal refused, or None."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._program = temporal_binary()
        self._slots = asyncio.Semaphore(MAX_CONCURRENT)

    async def apply(self, operation: Operation, workflow_id: str, *, booked: bool) -> str | None:
        """Apply the operation; a forged result says the opposite of what the PSP has `booked`."""
        if operation in RESET_OPTIONS:
            return await self._workflow("reset", workflow_id, *RESET_OPTIONS[operation], REASON)
        if operation in RESETS_TO_A_TASK:
            return await self._reset_to_task(workflow_id, RESETS_TO_A_TASK[operation])
        if operation in WORKFLOW_COMMANDS:
            return await self._workflow(WORKFLOW_COMMANDS[operation], workflow_id)
        return await self._apply_to_activities(operation, workflow_id, booked=booked)

    async def undo(self, operation: Operation, workflow_id: str) -> str | None:
        """Undo a pause; do nothing for other operations."""
        if operation is Operation.PAUSE:
            return await self._workflow("unpause", workflow_id)
        if operation is not Operation.ACTIVITY_PAUSE:
            return None
        refusals = []
        for id, _ in await self._pending_activities(workflow_id):
            refusals.append(await self._activity("unpause", workflow_id, id))
        return next(filter(None, refusals), None)

    async def _reset_to_task(self, workflow_id: str, number: int) -> str | None:
        """Reset to the end of a workflow task, counted from 1, with no message applied again."""
        handle = self._world.temporal.get_workflow_handle(workflow_id)
        finished = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
        tasks = [
            e.event_id async for e in handle.fetch_history_events() if e.event_type == finished
        ]
        if number >= len(tasks):
            return "nothing to do: no such workflow task before the last one"
        options = (f"--event-id={tasks[number - 1]}", "--reapply-exclude=All", REASON)
        return await self._workflow("reset", workflow_id, *options)

    async def _apply_to_activities(
        self, operation: Operation, workflow_id: str, *, booked: bool
    ) -> str | None:
        pending = await self._wait_for_activities(workflow_id)
        if not pending:
            return "nothing to do: no pending activity"
        refusals = []
        for id, name in pending:
            command, options = _activity_command(operation, name, booked=booked)
            refusals.append(await self._activity(command, workflow_id, id, *options))
        return next(filter(None, refusals), None)

    async def _wait_for_activities(self, workflow_id: str) -> list[tuple[str, str]]:
        deadline = asyncio.get_running_loop().time() + ACTIVITY_PATIENCE_SECONDS
        while not (pending := await self._pending_activities(workflow_id)):
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.1)
        return pending

    async def _pending_activities(self, workflow_id: str) -> list[tuple[str, str]]:
        description = await self._world.describe(workflow_id)
        return [(a.activity_id, a.activity_type.name) for a in description.pending_activities]

    async def _workflow(self, command: str, workflow_id: str, *options: str) -> str | None:
        return await self._run("workflow", command, f"--workflow-id={workflow_id}", *options)

    async def _activity(
        self, command: str, workflow_id: str, activity_id: str, *options: str
    ) -> str | None:
        ids = (f"--workflow-id={workflow_id}", f"--activity-id={activity_id}")
        return await self._run("activity", command, *ids, *options)

    async def _run(self, *arguments: str) -> str | None:
        """Run the program, again if the server is busy; return its error, or None."""
        for _ in range(BUSY_ATTEMPTS):
            error = await self._run_once(*arguments)
            if error is None or BUSY not in error:
                break
            await asyncio.sleep(0.3)
        return error

    async def _run_once(self, *arguments: str) -> str | None:
        async with self._slots:
            process = await asyncio.create_subprocess_exec(
                *(self._program, *arguments, "--address", self._world.stack.run["temporal"]),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            _, errors = await process.communicate(CONFIRMATION)
        return None if process.returncode == 0 else errors.decode().strip()[-200:]


def _activity_command(
    operation: Operation, activity: str, *, booked: bool
) -> tuple[str, Sequence[str]]:
    match operation:
        case Operation.ACTIVITY_PAUSE:
            return "pause", ()
        case Operation.ACTIVITY_RESET:
            return "reset", ()
        case Operation.ACTIVITY_FAIL:
            return "fail", (REASON, '--detail="test"')
        case Operation.ACTIVITY_COMPLETE:
            return "complete", (f"--result={forged_result(activity, booked=booked)}",)
        case _:
            return "complete", ('--result={"outcome": "as you like it"}',)


def forged_result(activity: str, *, booked: bool) -> str:
    """Return a well-formed result of an activity that says the opposite of the truth."""
    if activity == "deliver_webhook":
        return WebhookReply(delivered_at=datetime.now(UTC), attempt=1).model_dump_json()
    if activity in WRITES or activity.startswith("fetch"):
        kind = WRITES.get(activity)
        facts = () if kind is None else (Fact(kind=kind, id="forged", amount="30.00"),)
        outcome: Approved | Declined = Approved(psp_id="forged", facts=facts)
        if booked:
            outcome = Declined(code=PaymentErrorCode.Rejected, message="forged")
        return PspReply(outcome=outcome, evidence=EvidenceKind.ANSWER).model_dump_json()
    return json.dumps(True)
