"""Clients of a running stack for many concurrent cases: API, sandbox PSP, Temporal, database."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
)
from temporalio.client import Client
from temporalio.service import RPCError

from devtools.campaign.stack import Stack
from tests.e2e.operations.receiver import Receiver
from tests.e2e.stack.environment import CARD, IBAN
from tests.e2e.stack.sandbox import Entry
from tests.support.billwerk import WEBHOOK_TYPES, Billwerk, new_id

RESOURCES = {"preauth": "Preauth", "payment": "Payment", "refund": "Refund"}
KEY_WINDOW = timedelta(hours=24)
"""The sandbox PSP's idempotency window."""
CRASH = "An unexpected error occurred."
"""The API's answer to a bug of its own."""
UNAVAILABLE_ATTEMPTS = 20
ATTEMPT_SECONDS = 2.0
"""Longer than an attempt at the sandbox PSP takes that is not held."""

View = Mapping[str, Any]


class World:
    """A running stack. `known` is what the caller last learned about each transaction.

    It learns from responses to its requests, and by reading the transaction after a notification;
    `unreadable` has the responses of reads that failed.
    """

    def __init__(self, stack: Stack, bodies: Billwerk, temporal: Client) -> None:
        self.stack = stack
        self.bodies = bodies
        self.temporal = temporal
        self.known: dict[str, View] = {}
        self.unreadable: dict[str, str] = {}
        self.receiver = Receiver(self._read_after_notification)
        self.card_agreement, self.preauth_agreement, self.debit_agreement = (
            new_id() for _ in range(3)
        )
        # The servers close idle connections after 5 s.
        limits = httpx.Limits(max_connections=200, keepalive_expiry=2)
        headers = {"Authorization": f"Bearer {stack.token}"}
        self._api = httpx.AsyncClient(
            base_url=stack.run["api"], headers=headers, timeout=30, limits=limits, trust_env=False
        )
        self._psp = httpx.AsyncClient(
            base_url=stack.run["sandbox_psp"], timeout=30, limits=limits, trust_env=False
        )

    @property
    def held_reports(self) -> Path:
        """Folder of the transactions whose reports to their parents are held back."""
        return Path(self.stack.env["OPERATIONS_HELD"])

    async def close(self) -> None:
        """Close the connections."""
        await self._api.aclose()
        await self._psp.aclose()

    def sign_up(self) -> None:
        """Create the agreements: two with a card, one with an IBAN."""
        self.bodies.sign_up_card(self.card_agreement, CARD)
        self.bodies.sign_up_card(self.preauth_agreement, CARD)
        self.bodies.sign_up_debit(self.debit_agreement, IBAN)

    # --- API ------------------------------------------------------------------------------

    async def post(self, resource: str, body: dict[str, Any]) -> httpx.Response:
        """POST a transaction as its caller, who repeats it while the API is unavailable.

        The caller remembers what the response says.
        """
        response = await self._api.post(f"/api/{resource}", json=body)
        for _ in range(UNAVAILABLE_ATTEMPTS):
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                self.known[body["transactionId"]] = view(response)
                break
            await asyncio.sleep(1)
            response = await self._api.post(f"/api/{resource}", json=body)
        return response

    async def cancel(self, id: str) -> httpx.Response:
        """Cancel a preauth as its caller, who repeats it while the API is unavailable."""
        response = await self._api.post(f"/api/Preauth/{id}/Cancel")
        for _ in range(UNAVAILABLE_ATTEMPTS):
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            await asyncio.sleep(1)
            response = await self._api.post(f"/api/Preauth/{id}/Cancel")
        if response.is_success and response.json()["cancellationStatus"] == "Succeeded":
            self.known[id] = {**self.known[id], "status": "Cancelled"}
        return response

    async def get(self, resource: str, id: str) -> httpx.Response:
        """GET a transaction as an observer: its caller does not learn from this."""
        return await self._api.get(f"/api/{resource}/{id}")

    async def _read_after_notification(self, id: str, type_number: int) -> None:
        kind = next(kind for kind, number in WEBHOOK_TYPES.items() if number == type_number)
        response = await self.get(RESOURCES[kind], id)
        if CRASH in response.text:
            self.unreadable[id] = response.text
        else:
            self.known[id] = view(response)

    # --- sandbox PSP ----------------------------------------------------------------------

    async def set_fault(self, reference: str, kind: str, **more: Any) -> str:
        """Set a fault for one transaction; return its id."""
        body = {"kind": kind, "reference": reference, **more}
        response = await self._psp.post("/_control/faults", json=body)
        return str(response.raise_for_status().json()["id"])

    async def clear_fault(self, id: str) -> None:
        """Clear a fault."""
        (await self._psp.delete(f"/_control/faults/{id}")).raise_for_status()

    async def ledger(self, reference: str) -> list[Entry]:
        """Return the movements of one transaction, oldest first."""
        response = await self._psp.get("/_control/ledger", params={"reference": reference})
        entries = json.loads(response.raise_for_status().text, parse_float=Decimal)["entries"]
        return [Entry(e["kind"], Decimal(e["amount"]), e["psp_id"]) for e in entries]

    async def hits(self, id: str, reference: str) -> bool:
        """Return whether the fault with a limited count has hit a call."""
        faults = (await self._psp.get("/_control/faults")).raise_for_status().json()["data"]
        return any(fault["id"] == id and fault["hits"] > 0 for fault in faults)

    async def settle(self, reference: str) -> bool:
        """Let the PSP decide what is pending; return whether anything was."""
        response = await self._psp.post("/_control/settlements", json={"reference": reference})
        return bool(response.raise_for_status().json()["settled"])

    async def charge_back(self, reference: str, minor_units: int) -> None:
        """Charge a part of a payment back."""
        body = {"reference": reference, "amount": minor_units}
        (await self._psp.post("/_control/chargebacks", json=body)).raise_for_status()

    # --- time and Temporal ----------------------------------------------------------------

    async def pass_the_key_window(self, workflow_id: str) -> None:
        """Make the transaction older than the key window, and let the PSP forget its keys.

        In between, an attempt ends that began while the transaction was young.
        """
        created_at = datetime.now(UTC).replace(tzinfo=None) - KEY_WINDOW - timedelta(hours=1)
        await asyncio.to_thread(self._set_creation, workflow_id.rpartition("/")[2], created_at)
        await asyncio.sleep(ATTEMPT_SECONDS)
        params = {"prefix": f"{workflow_id}/"}
        (await self._psp.delete("/_control/idempotency_keys", params=params)).raise_for_status()

    def _set_creation(self, id: str, at: datetime) -> None:
        file = self.stack.data_dir / "integrator.db"
        with closing(sqlite3.connect(file, timeout=30)) as connection, connection:
            statement = "UPDATE transactions SET created_at = ? WHERE transaction_id = ?"
            changed = connection.execute(statement, (f"{at:%Y-%m-%d %H:%M:%S.%f}", id))
            if changed.rowcount != 1:
                raise LookupError(f"{id} has {changed.rowcount} rows in {file}")

    async def describe(self, workflow_id: str) -> DescribeWorkflowExecutionResponse:
        """Return Temporal's description of the newest run."""
        return await self.temporal.workflow_service.describe_workflow_execution(
            DescribeWorkflowExecutionRequest(
                namespace=self.temporal.namespace,
                execution=WorkflowExecution(workflow_id=workflow_id),
            )
        )

    async def describe_run(self, workflow_id: str) -> str:
        """Return status and pending work of the newest run, for reports of failures."""
        try:
            description = await self.describe(workflow_id)
        except RPCError as error:
            return error.status.name
        status = WorkflowExecutionStatus.Name(description.workflow_execution_info.status)
        pending = [
            f"{activity.activity_type.name}, attempt {activity.attempt}"
            for activity in description.pending_activities
        ]
        if description.HasField("pending_workflow_task"):
            pending.append(f"workflow task, attempt {description.pending_workflow_task.attempt}")
        return "; ".join([status, *pending])


def view(response: httpx.Response) -> View:
    """Return what a caller sees of a transaction; times and the payment method are left out.

    Of a payment's refunds the caller learns by the refunds themselves.
    """
    body = json.loads(response.text, parse_float=Decimal)
    if response.status_code != httpx.codes.OK:
        return {"status": "Failed", "error": body["errorCode"]}
    seen: dict[str, Any] = {"status": body["status"]}
    if "payments" in body:
        for name in ("payments", "chargebacks"):
            seen[name] = sorted((i["externalItemId"], i["amount"]) for i in body[name])
    else:
        amount = "authorizedAmount" if "authorizedAmount" in body else "refundedAmount"
        seen[amount] = body[amount]
    return seen


@asynccontextmanager
async def open_world(stack: Stack) -> AsyncIterator[World]:
    """Open the clients of a running stack, and sign its customers up."""
    with Billwerk(stack.run["api"], stack.token) as bodies:
        world = World(stack, bodies, await Client.connect(stack.run["temporal"]))
        await asyncio.to_thread(world.sign_up)
        async with world.receiver:
            try:
                yield world
            finally:
                await world.close()
