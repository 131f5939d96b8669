"""Faults by an operator of Temporal: resets, ends, made-up results, malformed signals."""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime

from temporalio.api.common.v1 import Payload

from devtools.campaign.integrator_view import workflow_id
from devtools.campaign.malformed_signals import SIGNALS, MalformedSignals
from devtools.campaign.scenario import PRECONDITION_FAILED
from devtools.campaign.temporal_operations import (
    REAPPLY_NOTHING,
    PendingActivity,
    TemporalOperations,
)
from devtools.campaign.transaction import Transaction
from workflows import activity_plans

_RECENT = 12
"""How many of the transactions requested last may still be in flight."""
_RECENT_TARGETS, _OTHER_TARGETS = 4, 2
_ACTIVITY_TARGETS = 6
_SCANNED = 24
_PAUSE_SECONDS = 0.2
_HELD_SECONDS = 1.5

_WRITES = frozenset(
    plan.name
    for plan in (
        activity_plans.AUTHORIZE,
        activity_plans.VOID,
        activity_plans.CAPTURE,
        activity_plans.CHARGE,
        activity_plans.REFUND,
    )
)

Transactions = Mapping[str, Transaction]


class OperatorFaults:
    """Chooses transactions and does one operation on the workflow or the activities of each.

    Each method returns how many transactions it has affected; those are marked as `interrupted`
    if an operation rewinds or ends their workflow. `erased_agreements` are those of customers that
    were erased.
    """

    def __init__(
        self,
        operations: TemporalOperations,
        signals: MalformedSignals,
        transactions: Transactions,
    ) -> None:
        self._operations = operations
        self._signals = signals
        self._transactions = transactions
        self.erased_agreements: set[str] = set()

    def interrupt_all(self) -> None:
        """Mark every transaction requested so far."""
        for transaction in self._transactions.values():
            transaction.interrupted = True

    async def change_workflows(self, operation: str, seed: int) -> int:
        """Do an operation in `WORKFLOW_OPERATIONS` on some workflows, most of them new."""
        rng = random.Random(seed)  # noqa: S311 - repeatable by design
        change = WORKFLOW_OPERATIONS[operation]

        async def change_one(transaction: Transaction) -> bool:
            # Marked before: its effect may be seen before the call returns.
            transaction.interrupted = True
            done = await change(self._operations, workflow_id(transaction), rng)
            transaction.record_exchange(f"operator: {operation}", "done" if done else "refused")
            return done

        return sum(await asyncio.gather(*map(change_one, self._targets(rng))))

    async def send_signals(self, malformation: str, seed: int) -> int:
        """Send malformed signals of one kind, each under a name drawn from all."""
        rng = random.Random(seed)  # noqa: S311 - repeatable by design

        async def send_one(transaction: Transaction) -> bool:
            name = rng.choice(SIGNALS)
            payloads = await self._signals.payloads(malformation, rng)
            sent = await self._operations.signal(workflow_id(transaction), name, payloads)
            transaction.record_exchange(
                f"operator: signal {name}, {malformation}", "sent" if sent else "refused"
            )
            return sent

        return sum(await asyncio.gather(*map(send_one, self._targets(rng))))

    async def change_activities(self, operation: str, seconds: float) -> int:
        """Do an operation in `ACTIVITY_OPERATIONS` on pending activities, once on each."""
        change = ACTIVITY_OPERATIONS[operation]
        done: set[tuple[str, str]] = set()
        end = time.monotonic() + seconds
        while time.monotonic() < end and len(done) < _ACTIVITY_TARGETS:
            for activity in await self._pending():
                key = (activity.run_id, activity.id)
                if key in done or not await change(self, activity):
                    continue
                done.add(key)
                transaction = self._transaction(activity)
                transaction.record_exchange(
                    f"operator: {operation} {activity.name}, attempt {activity.attempt}", "done"
                )
            await asyncio.sleep(_PAUSE_SECONDS)
        return len(done)

    async def wait_for_psp_call(self, seconds: float) -> None:
        """Wait until a money operation is repeated, but no longer than this."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if any(a.name in _WRITES and a.attempt > 1 for a in await self._pending()):
                return
            await asyncio.sleep(_PAUSE_SECONDS)

    async def erase_customer(
        self,
        is_charged: Callable[[str], Awaitable[bool]],
        erase: Callable[[str], Awaitable[None]],
        seconds: float,
    ) -> int:
        """Erase the customer of a charge that is booked and unknown, then reset its PSP call.

        `is_charged` takes the transaction's id; `erase` takes the agreement, whose other
        transactions may be refused from now on.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for activity in await self._pending():
                charged = self._transaction(activity)
                if activity.name == activity_plans.CHARGE.name and await is_charged(charged.id):
                    await self._erase(charged, erase)
                    await self._operations.reset_activity(activity)
                    return 1
            await asyncio.sleep(_PAUSE_SECONDS)
        return 0

    async def _erase(self, charged: Transaction, erase: Callable[[str], Awaitable[None]]) -> None:
        agreement = charged.body["agreementId"]
        self.erased_agreements.add(agreement)
        for transaction in self._transactions.values():
            if transaction.body.get("agreementId") == agreement and transaction is not charged:
                transaction.expected |= {PRECONDITION_FAILED}
        await erase(agreement)
        charged.record_exchange("operator: erase the customer", "done")

    async def _pending(self) -> list[PendingActivity]:
        """Return the pending activities of the transactions requested last."""
        newest = list(self._transactions.values())[-_SCANNED:]
        found = await asyncio.gather(
            *(self._operations.pending_activities(workflow_id(t)) for t in newest)
        )
        return [activity for one in found for activity in one]

    def _transaction(self, activity: PendingActivity) -> Transaction:
        return self._transactions[activity.workflow_id.rpartition("/")[2]]

    async def reset(self, activity: PendingActivity) -> bool:
        """Reset an activity."""
        return await self._operations.reset_activity(activity)

    async def complete(self, activity: PendingActivity) -> bool:
        """Complete an activity with a made-up success."""
        self._transaction(activity).interrupted = True
        return await self._operations.complete_activity(activity, _made_up_result(activity))

    async def fail(self, activity: PendingActivity) -> bool:
        """Fail an activity."""
        self._transaction(activity).interrupted = True
        return await self._operations.fail_activity(activity)

    async def hold(self, activity: PendingActivity) -> bool:
        """Pause an activity for a moment."""
        if not await self._operations.pause_activity(activity):
            return False
        await asyncio.sleep(_HELD_SECONDS)
        await self._operations.unpause_activity(activity)
        return True

    def _targets(self, rng: random.Random) -> Sequence[Transaction]:
        transactions = list(self._transactions.values())
        recent = transactions[-_RECENT:]
        chosen = rng.sample(recent, min(_RECENT_TARGETS, len(recent)))
        others = transactions[:-_RECENT]
        return chosen + rng.sample(others, min(_OTHER_TARGETS, len(others)))


def _made_up_result(activity: PendingActivity) -> Payload:
    """Return the result that an operator may give a stuck activity, not encrypted."""
    now = datetime.now(UTC).isoformat()
    fact = {"kind": "paid", "id": f"made_up_{activity.id}", "amount": "1.00"}
    outcome = {"outcome": "approved", "psp_id": f"made_up_{activity.id}", "facts": [fact]}
    reply: object = {"outcome": outcome, "evidence": "answer"}
    if activity.name == activity_plans.DELIVER_WEBHOOK.name:
        reply = {"delivered_at": now, "attempt": 1}
    elif activity.name in (activity_plans.CLOSE_RESERVATION.name, activity_plans.RECORD.name):
        reply = True
    return Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(reply).encode())


async def _reset_to_first(on: TemporalOperations, id: str, _: random.Random) -> bool:
    return await on.reset(id, 0.0, ())


async def _reset_to_last(on: TemporalOperations, id: str, _: random.Random) -> bool:
    return await on.reset(id, 1.0, ())


async def _reset_to_any(on: TemporalOperations, id: str, rng: random.Random) -> bool:
    return await on.reset(id, rng.random(), ())


async def _reset_without_messages(on: TemporalOperations, id: str, _: random.Random) -> bool:
    return await on.reset(id, 0.0, REAPPLY_NOTHING)


async def _terminate(on: TemporalOperations, id: str, _: random.Random) -> bool:
    return await on.terminate(id)


async def _cancel(on: TemporalOperations, id: str, _: random.Random) -> bool:
    return await on.cancel(id)


async def _delete(on: TemporalOperations, id: str, _: random.Random) -> bool:
    return await on.delete(id)


WORKFLOW_OPERATIONS: Mapping[
    str, Callable[[TemporalOperations, str, random.Random], Awaitable[bool]]
] = {
    "reset to the first task": _reset_to_first,
    "reset to the last task": _reset_to_last,
    "reset to any task": _reset_to_any,
    "reset without messages": _reset_without_messages,
    "terminate": _terminate,
    "cancel": _cancel,
    "delete": _delete,
}

ACTIVITY_OPERATIONS: Mapping[str, Callable[[OperatorFaults, PendingActivity], Awaitable[bool]]] = {
    "reset": OperatorFaults.reset,
    "complete": OperatorFaults.complete,
    "fail": OperatorFaults.fail,
    "pause": OperatorFaults.hold,
}
