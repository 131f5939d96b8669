"""Bugs to be found by a campaign, each switched on by replacing functions of the product.

Lives in the processes of a campaign's stack, never in production code.
"""

import asyncio
import contextlib
import contextvars
import importlib
import secrets
import sys
from collections.abc import Callable
from typing import Any

BUGS: dict[str, Callable[[], None]] = {}


def plant(name: str) -> None:
    """Switch a bug on; KeyError for an unknown one."""
    BUGS[name]()
    sys.stderr.write(f"planted: {name}\n")


def swap(owner: Any, name: str, function: Any) -> None:
    """Put another function in the place of one of the product's; AttributeError without it."""
    getattr(owner, name)
    setattr(owner, name, function)


def bug(function: Callable[[], None]) -> Callable[[], None]:
    """Offer a bug under the name of the function that plants it."""
    BUGS[function.__name__.replace("_", "-")] = function
    return function


@bug
def new_key_per_attempt() -> None:
    """Every attempt at the PSP has an idempotency key of its own."""
    from activities import psp_requests

    common = psp_requests._common

    def renamed(call: Any, row: Any) -> Any:
        return {**common(call, row), "idempotency_key": secrets.token_hex(12)}

    swap(psp_requests, "_common", renamed)


@bug
def unknown_is_failed() -> None:
    """A timeout, a lost connection or a server error ends the transaction as failed."""
    from integrator.psp.types import Declined

    def failed(call: Any) -> Any:
        return Declined(message="The PSP did not answer.")

    _answer_instead_of_outage(failed)


@bug
def unknown_is_succeeded() -> None:
    """A timeout, a lost connection or a server error is taken for a success."""
    from integrator.psp.types import Approved, Capture, Charge, Fact, FactKind

    def done(call: Any) -> Any:
        kind = FactKind.PAID if isinstance(call, Capture | Charge) else FactKind.REFUNDED
        id = f"guess_{call.reference}"
        return Approved(psp_id=id, facts=(Fact(kind=kind, id=id, amount=call.amount),))

    _answer_instead_of_outage(done)


@bug
def refunds_without_reservation() -> None:
    """A refund is granted whatever is left of the payment."""
    from workflows.state import PaymentState

    swap(PaymentState, "refuse_refund", lambda self, amount, currency, by: None)


@bug
def refund_settled_twice() -> None:
    """What a refund gave back is told to its payment twice, and counted each time."""
    from integrator.transactions.transaction_client import TransactionClient
    from workflows.state import PaymentState

    tell, settle = TransactionClient.close_reservation, PaymentState.close_reservation

    async def twice(self: Any, start: Any, settlement: Any) -> None:
        await tell(self, start, settlement)
        await tell(self, start, settlement)

    def counted(self: Any, by: str, booked: Any, now: Any) -> Any:
        return settle(self, f"{by}/{len(self.refunds)}" if by in self.refunds else by, booked, now)

    swap(TransactionClient, "close_reservation", twice)
    swap(PaymentState, "close_reservation", counted)


@bug
def webhook_sent_once() -> None:
    """A change notification that is not delivered at once is never sent again."""
    import httpx
    from temporalio.exceptions import ApplicationError

    from activities.webhooks import WebhookActivities

    post = WebhookActivities._post

    async def once(self: Any, target: str, body: bytes, attempt: int) -> Any:
        with contextlib.suppress(ApplicationError):
            await post(self, target, body, attempt)
        return httpx.Response(200)

    swap(WebhookActivities, "_post", once)


@bug
def change_not_announced() -> None:
    """What the PSP reports later is recorded, and Billwerk+ never hears of it."""
    from workflows.transaction_workflow import TransactionWorkflow

    swap(TransactionWorkflow, "_note", lambda self, change_state: change_state())


@bug
def notification_dropped() -> None:
    """A PSP's notification is answered with 200 and forgotten."""
    from api import notifications

    async def forget(*_: Any) -> None:
        return

    swap(notifications, "receive", forget)


@bug
def older_snapshot_wins() -> None:
    """A record that comes late again overwrites what is newer."""
    from integrator.store.transaction_writes import TransactionWrites

    recording: Any = importlib.import_module("integrator.store.transaction_writes")

    keep = TransactionWrites.record
    late: set[asyncio.Task[None]] = set()

    async def overwrite(self: Any, change: Any) -> None:
        await asyncio.sleep(1.5)
        where = recording._is(change.merchant_id, change.transaction_id)
        statement = recording.update(recording.transactions).where(where)
        key = (change.merchant_id, change.transaction_id)
        values = recording._changes(change) | self._snapshot(change.snapshot, *key)
        async with self._writing() as connection:
            await connection.execute(statement.values(values))

    async def record(self: Any, change: Any) -> bool:
        if change.version == 1:
            task = asyncio.create_task(overwrite(self, change))
            late.add(task)
            task.add_done_callback(late.discard)
        return await keep(self, change)

    swap(TransactionWrites, "record", record)


@bug
def capture_without_lock() -> None:
    """A capture does not hold its preauth."""
    from workflows.state import PreauthState

    swap(PreauthState, "reserve", lambda self, by, amount, currency: None)
    swap(PreauthState, "refuse_capture", lambda self, amount, currency, by: None)


@bug
def facts_counted_twice() -> None:
    """The same movement, heard of twice, is taken for two."""
    from activities.psp import PspActivities

    keep = PspActivities._keep_private

    async def renamed(self: Any, row: Any, outcome: Any) -> Any:
        kept = await keep(self, row, outcome)
        facts = [
            fact.model_copy(update={"id": f"{fact.id}-{secrets.token_hex(3)}"})
            for fact in getattr(kept, "facts", ())
        ]
        return kept.model_copy(update={"facts": tuple(facts)}) if facts else kept

    swap(PspActivities, "_keep_private", renamed)


@bug
def workflow_per_post() -> None:
    """Every POST of a transaction starts a workflow of its own."""
    gateway: Any = importlib.import_module("integrator.transactions.transaction_client")
    creating = contextvars.ContextVar("creating", default=False)
    named, create = gateway.workflow_id, gateway.TransactionClient.create

    def renamed(merchant_id: str, kind: Any, transaction_id: str) -> str:
        id = named(merchant_id, kind, transaction_id)
        return f"{id}/{secrets.token_hex(3)}" if creating.get() else id

    async def afresh(self: Any, start: Any) -> Any:
        token = creating.set(True)
        try:
            return await create(self, start)
        finally:
            creating.reset(token)

    swap(gateway, "workflow_id", renamed)
    swap(gateway.TransactionClient, "create", afresh)


@bug
def cancelled_without_asking() -> None:
    """A cancel is confirmed, and the PSP is never told."""
    from activities.psp import PspActivities
    from integrator.psp.types import Approved
    from workflows.messages import PspReply
    from workflows.state import EvidenceKind

    async def void(self: Any, call: Any) -> Any:
        return PspReply(outcome=Approved(psp_id=call.psp_id), evidence=EvidenceKind.ANSWER)

    _replace_activity(PspActivities, "void", void)


@bug
def chargeback_overlooked() -> None:
    """A chargeback is not understood and left out."""
    from activities.psp import PspActivities
    from integrator.psp.types import FactKind

    keep = PspActivities._keep_private

    async def without(self: Any, row: Any, outcome: Any) -> Any:
        kept = await keep(self, row, outcome)
        facts = [f for f in getattr(kept, "facts", ()) if f.kind is not FactKind.CHARGED_BACK]
        return kept.model_copy(update={"facts": tuple(facts)}) if facts else kept

    swap(PspActivities, "_keep_private", without)


def _answer_instead_of_outage(answer: Callable[[Any], Any]) -> None:
    from integrator.psp.errors import CredentialsRejected, PspError
    from integrator.psp.sandbox.connection import SandboxConnection

    def sure(operation: Any) -> Any:
        async def called(self: Any, call: Any) -> Any:
            try:
                return await operation(self, call)
            except CredentialsRejected:
                raise
            except PspError:
                return answer(call)

        return called

    for name in ("capture", "charge", "refund"):
        swap(SandboxConnection, name, sure(getattr(SandboxConnection, name)))


def _replace_activity(owner: Any, name: str, function: Any) -> None:
    """Under the same name, so that the worker registers it instead."""
    from temporalio import activity

    function.__annotations__ = getattr(owner, name).__annotations__
    swap(owner, name, activity.defn(name=name)(function))
