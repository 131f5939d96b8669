"""One case: a transaction is brought to its phase, the operation is made, everything goes on."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import httpx

from tests.e2e.operations.cases import VOID_PHASES, Case, Kind, Phase
from tests.e2e.operations.operator_commands import OperatorCommands
from tests.e2e.operations.receiver import Answer
from tests.e2e.operations.transactions import Transaction, build
from tests.e2e.operations.world import World

PHASE_SECONDS = 60.0
AFTER_OPERATION_SECONDS = 1.5
EARLIER_CHARGEBACK, LATER_CHARGEBACK = 500, 300
"""Minor units charged back before and after the operation."""
PENDING_AMOUNT = "20.05"
"""The sandbox PSP leaves it pending until it is settled."""
PENDING_REFUND = "10.05"
MANY = 1_000_000


class PhaseNotReached(RuntimeError):
    """The transaction did not get to its phase: the case says nothing."""


class Scenario:
    """A case in progress; `refusal` is what Temporal refused, `target` what the operation hits."""

    def __init__(self, world: World, commands: OperatorCommands, case: Case) -> None:
        self.case = case
        self.refusal: str | None = None
        self._world = world
        self._commands = commands
        self._faults: list[str] = []
        self._post: asyncio.Task[httpx.Response] | None = None
        parent = None
        if case.kind in (Kind.CAPTURE, Kind.REFUND):
            parent = build(world, Kind.PREAUTH if case.kind is Kind.CAPTURE else Kind.CHARGE)
        if case.kind is Kind.CAPTURE and case.phase is Phase.REFUNDED:
            parent = build(world, Kind.PREAUTH)
        amount = None
        if case.phase is Phase.PARENT_OPEN:
            amount = PENDING_AMOUNT if case.kind is Kind.CAPTURE else PENDING_REFUND
        self.target = build(world, case.kind, parent, amount)

    @property
    def transactions(self) -> list[Transaction]:
        """Return the target with its parent and its children."""
        parents = [] if self.target.parent is None else [self.target.parent]
        return [*parents, self.target, *self.target.children, *self._siblings()]

    @property
    def booked(self) -> bool:
        """Return whether the PSP has booked what the phase leaves open."""
        unbooked = {Phase.THROTTLED, Phase.IN_FLIGHT, Phase.UNKNOWN_UNBOOKED, Phase.VOID_UNBOOKED}
        return self.case.phase not in unbooked

    def _siblings(self) -> list[Transaction]:
        if self.target.parent is None:
            return []
        return [child for child in self.target.parent.children if child is not self.target]

    # --- steps ----------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Create what the target needs: its parent."""
        if self.target.parent is not None:
            await self._succeed(self.target.parent)

    async def reach(self) -> None:
        """Bring the target to the case's phase. Raises `PhaseNotReached`."""
        steps: dict[Phase, Callable[[], Awaitable[None]]] = {
            Phase.BEFORE_SEND: self._post_and_wait,
            Phase.THROTTLED: self._reach_throttled,
            Phase.IN_FLIGHT: self._reach_in_flight,
            Phase.UNKNOWN_BOOKED: lambda: self._reach_unknown(self.target, "after"),
            Phase.UNKNOWN_UNBOOKED: lambda: self._reach_unknown(self.target, "before"),
            Phase.SETTLED: self._reach_settled,
            Phase.RECORDED: lambda: self._reach_announcement(Answer.UNREACHABLE),
            Phase.ANNOUNCING: lambda: self._reach_announcement(Answer.HOLD),
            Phase.PARENT_OPEN: self._reach_parent_open,
            Phase.VOID_BOOKED: lambda: self._reach_void("after"),
            Phase.VOID_UNBOOKED: lambda: self._reach_void("before"),
            Phase.DATED: self._post_and_wait,
            Phase.REFUNDED: self._reach_refunded,
            Phase.CHILD_UNKNOWN: self._reach_child_unknown,
        }
        await steps[self.case.phase]()

    async def operate(self) -> None:
        """Let the PSP forget its keys if the case says so, and make the operation."""
        if self.case.keys_forgotten:
            for transaction in [self.target, *self.target.children]:
                await self._world.pass_the_key_window(transaction.workflow_id)
        self.refusal = await self._commands.apply(
            self.case.operation, self.target.workflow_id, booked=self.booked
        )
        await asyncio.sleep(AFTER_OPERATION_SECONDS)

    async def go_on(self) -> None:
        """Remove all faults, end a pause, and let the PSP decide."""
        for fault in self._faults:
            await self._world.clear_fault(fault)
        self._faults.clear()
        await self._world.receiver.answer(self.target.id, Answer.ACCEPT)
        (self._world.held_reports / self.target.id).unlink(missing_ok=True)
        refusal = await self._commands.undo(self.case.operation, self.target.workflow_id)
        self.refusal = self.refusal or refusal
        if self._post is not None:
            await self._post
        if self.case.phase is Phase.DATED:
            await self._settle()

    # --- phases ---------------------------------------------------------------------------

    def _start_post(self, transaction: Transaction) -> asyncio.Task[httpx.Response]:
        self._post = asyncio.create_task(self._world.post(transaction.resource, transaction.body))
        return self._post

    async def _post_and_wait(self) -> None:
        await self._start_post(self.target)

    async def _succeed(self, transaction: Transaction) -> None:
        response = await self._world.post(transaction.resource, transaction.body)
        await self._wait_for_status(transaction, "Succeeded", response.text)

    async def _reach_throttled(self) -> None:
        fault = await self._fault(self.target, "rate", seconds=1, count=MANY)
        await self._start_post(self.target)
        await self._wait(lambda: self._world.hits(fault, self.target.id), "a throttled attempt")

    async def _reach_in_flight(self) -> None:
        fault = await self._fault(self.target, "hold", count=MANY)
        self._start_post(self.target)
        await self._wait(lambda: self._world.hits(fault, self.target.id), "a call in flight")

    async def _reach_unknown(self, transaction: Transaction, when: str) -> None:
        fault = await self._lose_answers(transaction, transaction.psp_operation, when)
        await self._start_post(transaction)
        await self._wait(lambda: self._world.hits(fault, transaction.id), "a lost answer")

    async def _reach_settled(self) -> None:
        await self._succeed(self.target)
        if self.case.kind in (Kind.CHARGE, Kind.CAPTURE):
            await self._charge_back_and_wait()

    async def _reach_announcement(self, answer: Answer) -> None:
        """Hold the PSP's answer until the caller has left, and the announcement after that."""
        await self._world.receiver.answer(self.target.id, answer)
        fault = await self._fault(self.target, "hold", count=MANY)
        await self._start_post(self.target)
        await self._clear(fault)
        await self._wait_for_status(self.target, "Succeeded", "the PSP's answer")
        await self._wait(self._is_announcing, "an attempt to announce")

    async def _is_announcing(self) -> bool:
        return self._world.receiver.attempts[self.target.id] > 0

    async def _reach_parent_open(self) -> None:
        (self._world.held_reports / self.target.id).touch()
        await self._start_post(self.target)
        await self._settle()
        await self._wait_for_status(self.target, "Succeeded", "the PSP's decision")

    async def _reach_void(self, when: str) -> None:
        await self._succeed(self.target)
        fault = await self._lose_answers(self.target, "void", when)
        await self._world.cancel(self.target.id)
        await self._wait(lambda: self._world.hits(fault, self.target.id), "a lost answer")

    async def _reach_refunded(self) -> None:
        await self._succeed(self.target)
        await self._charge_back_and_wait()
        await self._succeed(build(self._world, Kind.REFUND, self.target))

    async def _reach_child_unknown(self) -> None:
        await self._succeed(self.target)
        kind = Kind.CAPTURE if self.case.kind is Kind.PREAUTH else Kind.REFUND
        await self._reach_unknown(build(self._world, kind, self.target), "after")

    async def _settle(self) -> None:
        await self._wait(lambda: self._world.settle(self.target.id), "a pending booking")

    async def _charge_back_and_wait(self) -> None:
        await self._world.charge_back(self.target.id, EARLIER_CHARGEBACK)
        await self._wait(self._knows_a_chargeback, "the chargeback's announcement")

    async def _knows_a_chargeback(self) -> bool:
        return bool(self._world.known[self.target.id].get("chargebacks"))

    # --- faults and waits -----------------------------------------------------------------

    async def _fault(self, transaction: Transaction, kind: str, **more: object) -> str:
        operations = [transaction.psp_operation]
        id = await self._world.set_fault(transaction.id, kind, operations=operations, **more)
        self._faults.append(id)
        return id

    async def _lose_answers(self, transaction: Transaction, operation: str, when: str) -> str:
        """Lose answers, notifications and look-ups; return the fault of the answers."""
        id, set_fault = transaction.id, self._world.set_fault
        lost = await set_fault(id, "drop", operations=[operation], when=when, count=MANY)
        self._faults += [
            lost,
            await set_fault(id, "drop", operations=["fetch"]),
            await set_fault(id, "drop_webhook"),
        ]
        return lost

    async def _clear(self, fault: str) -> None:
        self._faults.remove(fault)
        await self._world.clear_fault(fault)

    async def _wait_for_status(self, transaction: Transaction, status: str, what: str) -> None:
        async def has_status() -> bool:
            response = await self._world.get(transaction.resource, transaction.id)
            return response.is_success and response.json()["status"] == status

        await self._wait(has_status, what)

    async def _wait(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        deadline = time.monotonic() + PHASE_SECONDS
        while not await condition():
            if time.monotonic() > deadline:
                raise PhaseNotReached(f"{self.case.name}: waited in vain for {what}")
            await asyncio.sleep(0.15)

    @property
    def must_be_voided(self) -> bool:
        """Return whether the caller has requested a cancellation."""
        return self.case.phase in VOID_PHASES
