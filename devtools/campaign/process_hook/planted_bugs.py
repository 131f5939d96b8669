"""Bugs that a campaign must detect, each enabled by replacing functions of the product.

Loaded only into the processes of a campaign's stack, never into production code.
"""

import asyncio
import contextlib
import contextvars
import importlib
import secrets
import sys
from collections.abc import Callable, Sequence
from typing import Any

BUGS: dict[str, Callable[[], None]] = {}


def plant(name: str) -> None:
    """Enable a bug; raises KeyError for an unknown one."""
    BUGS[name]()
    sys.stderr.write(f"planted: {name}\n")


def swap(target: Any, name: str, function: Any) -> None:
    """Replace a function of the product; raises AttributeError if it does not exist."""
    getattr(target, name)
    setattr(target, name, function)


def _replace_facts(change: Callable[[Sequence[Any]], Sequence[Any]]) -> None:
    """Change the facts of every outcome that a workflow gets."""
    from dataclasses import replace

    from activities.outcomes import OutcomeIntake

    original = OutcomeIntake._without_private_data

    async def changed(self: Any, row: Any, checked: Any) -> Any:
        accepted = await original(self, row, checked)
        facts = tuple(change(getattr(accepted.outcome, "facts", ())))
        if not facts:
            return accepted
        return replace(accepted, outcome=accepted.outcome.model_copy(update={"facts": facts}))

    swap(OutcomeIntake, "_without_private_data", changed)


def bug(function: Callable[[], None]) -> Callable[[], None]:
    """Register a bug under the name of the function that plants it."""
    BUGS[function.__name__.replace("_", "-")] = function
    return function


@bug
def new_key_per_attempt() -> None:
    """Use a new idempotency key for every attempt at the PSP."""
    from activities import psp_requests

    common = psp_requests._common_fields

    def changed(call: Any, row: Any) -> Any:
        return {**common(call, row), "idempotency_key": secrets.token_hex(12)}

    swap(psp_requests, "_common_fields", changed)


@bug
def key_per_attempt_on_create() -> None:
    """Create a payment at Stripe with a new key for every attempt, and confirm each."""
    from integrator.psp.stripe.client import StripeClient

    create, post_action = StripeClient.create, StripeClient.post_action

    async def create_another(self: Any, *arguments: Any, key: str, **options: Any) -> Any:
        return await create(self, *arguments, key=f"{key}/{secrets.token_hex(6)}", **options)

    async def act_on_each(self: Any, model: Any, *path: str, key: str, **options: Any) -> Any:
        return await post_action(self, model, *path, key=f"{key}/{path[-2]}", **options)

    swap(StripeClient, "create", create_another)
    swap(StripeClient, "post_action", act_on_each)


@bug
def unknown_is_failed() -> None:
    """End the transaction as failed after a timeout, a lost connection or a server error."""
    from integrator.psp.types import Declined

    def failed(call: Any) -> Any:
        return Declined(message="The PSP did not answer.")

    _replace_outages(failed)


@bug
def unknown_is_succeeded() -> None:
    """Treat a timeout, a lost connection or a server error as a success."""
    from integrator.psp.types import Approved, Capture, Charge, Fact, FactKind

    def done(call: Any) -> Any:
        kind = FactKind.PAID if isinstance(call, Capture | Charge) else FactKind.REFUNDED
        id = f"guess_{call.reference}"
        return Approved(psp_id=id, facts=(Fact(kind=kind, id=id, amount=call.amount),))

    _replace_outages(done)


@bug
def refunds_without_reservation() -> None:
    """Accept a refund without checking what is left of the payment."""
    from workflows.state import PaymentState

    swap(PaymentState, "check_refund", lambda self, amount, currency, by: None)


@bug
def refund_settled_twice() -> None:
    """Report a refund's result to its payment twice, and count it each time."""
    from integrator.transactions.transaction_client import TransactionClient
    from workflows.state import PaymentState

    send, apply = TransactionClient.close_reservation, PaymentState.close_reservation

    async def send_twice(self: Any, start: Any, result: Any) -> None:
        await send(self, start, result)
        await send(self, start, result)

    def count_twice(self: Any, by: str, booked: Any, now: Any) -> Any:
        return apply(self, f"{by}/{len(self.refunds)}" if by in self.refunds else by, booked, now)

    swap(TransactionClient, "close_reservation", send_twice)
    swap(PaymentState, "close_reservation", count_twice)


@bug
def webhook_sent_once() -> None:
    """Never retry a change notification whose first delivery fails."""
    import httpx
    from temporalio.exceptions import ApplicationError

    from activities.webhooks import WebhookActivities

    post = WebhookActivities._post

    async def post_once(self: Any, target: str, body: bytes, attempt: int) -> Any:
        with contextlib.suppress(ApplicationError):
            await post(self, target, body, attempt)
        return httpx.Response(200)

    swap(WebhookActivities, "_post", post_once)


@bug
def change_not_announced() -> None:
    """Record what the PSP reports later without notifying Billwerk+."""
    from workflows.transaction_context import TransactionContext

    swap(TransactionContext, "announce_change", lambda self, change: None)


@bug
def notification_dropped() -> None:
    """Respond to a PSP notification with 200 and discard it."""
    from api.transactions import notifications

    async def discard(*_: Any) -> None:
        return

    swap(notifications, "receive", discard)


@bug
def older_snapshot_wins() -> None:
    """Let a late write of an older version overwrite a newer one."""
    from integrator.store.transactions import Transactions

    writes: Any = importlib.import_module("integrator.store.transactions")

    original = Transactions.record
    tasks: set[asyncio.Task[None]] = set()

    async def overwrite(self: Any, change: Any) -> None:
        await asyncio.sleep(1.5)
        where = writes.is_transaction(change.merchant_id, change.transaction_id)
        statement = writes.update(writes.transactions).where(where)
        key = (change.merchant_id, change.transaction_id)
        values = writes._change_values(change) | self._encrypt_snapshot(change.snapshot, *key)
        async with self._session.write_transaction() as connection:
            await connection.execute(statement.values(values))

    async def record(self: Any, change: Any) -> bool:
        if change.version == 1:
            task = asyncio.create_task(overwrite(self, change))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        return await original(self, change)

    swap(Transactions, "record", record)


@bug
def capture_without_lock() -> None:
    """Capture a preauth without reserving it."""
    from workflows.state import PreauthState

    swap(PreauthState, "reserve", lambda self, by, amount, currency: None)
    swap(PreauthState, "check_capture", lambda self, amount, currency, by: None)


@bug
def facts_counted_twice() -> None:
    """Count the same movement twice when it is reported twice."""
    _replace_facts(
        lambda facts: [
            fact.model_copy(update={"id": f"{fact.id}-{secrets.token_hex(3)}"}) for fact in facts
        ]
    )


@bug
def workflow_per_post() -> None:
    """Start a new workflow for every POST of a transaction."""
    transaction_client: Any = importlib.import_module("integrator.transactions.transaction_client")
    creating = contextvars.ContextVar("creating", default=False)
    build_id, create = transaction_client.workflow_id, transaction_client.TransactionClient.create

    def changed(merchant_id: str, kind: Any, transaction_id: str) -> str:
        id = build_id(merchant_id, kind, transaction_id)
        return f"{id}/{secrets.token_hex(3)}" if creating.get() else id

    async def create_another(self: Any, start: Any) -> Any:
        token = creating.set(True)
        try:
            return await create(self, start)
        finally:
            creating.reset(token)

    swap(transaction_client, "workflow_id", changed)
    swap(transaction_client.TransactionClient, "create", create_another)


@bug
def cancelled_without_asking() -> None:
    """Confirm a cancellation without calling the PSP."""
    from activities.psp import PspActivities
    from integrator.psp.types import Approved
    from workflows.messages import PspReply
    from workflows.state import EvidenceKind

    async def void(self: Any, call: Any) -> Any:
        return PspReply(outcome=Approved(psp_id=call.psp_id), evidence=EvidenceKind.ANSWER)

    _replace_activity(PspActivities, "void", void)


@bug
def chargeback_overlooked() -> None:
    """Ignore chargebacks."""
    from integrator.psp.types import FactKind

    _replace_facts(lambda facts: [fact for fact in facts if fact.kind is not FactKind.CHARGED_BACK])


@bug
def key_window_from_workflow_start() -> None:
    """Let a workflow that was reset send again, for as long as its own clock allows."""
    from activities import psp
    from activities.send_attempt import SendAttempt

    swap(SendAttempt, "_require_key", lambda self: None)
    swap(psp, "is_answered", lambda row: False)
    _ignore_stored_state()


@bug
def refused_record_is_success() -> None:
    """Treat a record that the store refuses as stored, and never read the store's state."""
    from integrator.store.transactions import Transactions

    original = Transactions.record

    async def record(self: Any, change: Any) -> bool:
        await original(self, change)
        return True

    swap(Transactions, "record", record)
    _ignore_stored_state()


@bug
def unsealed_result_is_evidence() -> None:
    """Believe a result of a PSP call that an operator made up."""
    from integrator import sealing

    swap(sealing, "is_sealed", lambda payload: True)
    swap(sealing, "is_failure_sealed", lambda failure: True)


@bug
def attempt_number_is_proof() -> None:
    """Take the first attempt that Temporal counts for the first one that was sent."""
    from activities.errors import current_attempt
    from activities.send_attempt import SendAttempt

    original = SendAttempt.__init__

    def changed(self: Any, *arguments: Any) -> None:
        original(self, *arguments)
        self.nothing_sent = current_attempt() == 1

    swap(SendAttempt, "__init__", changed)


@bug
def unknown_marked_as_not_sent() -> None:
    """Mark every failed attempt as one that has not reached the PSP."""
    from activities.send_attempt import SendAttempt
    from integrator.store.models import NOT_SENT

    async def leave_mark(self: Any, error: Any) -> None:
        await self._set_mark(NOT_SENT)

    swap(SendAttempt, "_leave_mark", leave_mark)


@bug
def malformed_signal_stops_workflow() -> None:
    """Pass every message on to the SDK, with any content."""
    from integrator.temporal.message_guard import MessageGuard

    swap(MessageGuard, "screen", lambda self, activation: None)


@bug
def ended_workflow_not_recovered() -> None:
    """Leave a transaction alone whose workflow was terminated or deleted."""
    from integrator.jobs.workflow_recovery import WorkflowRecovery

    async def run(self: Any, *_: Any) -> int:
        return 0

    swap(WorkflowRecovery, "run", run)


def _ignore_stored_state() -> None:
    """Let a workflow that reads the store's state go on with its own."""
    from workflows.stored_state import StoredStateMerger

    swap(StoredStateMerger, "_unite", lambda self, stored: None)


def _replace_outages(answer: Callable[[Any], Any]) -> None:
    from integrator.psp.errors import CredentialsRejected, PspError
    from integrator.psp.sandbox.connection import SandboxConnection

    def replace_outage(operation: Any) -> Any:
        async def call_or_replace(self: Any, call: Any) -> Any:
            try:
                return await operation(self, call)
            except CredentialsRejected:
                raise
            except PspError:
                return answer(call)

        return call_or_replace

    for name in ("capture", "charge", "refund"):
        swap(SandboxConnection, name, replace_outage(getattr(SandboxConnection, name)))


def _replace_activity(target: Any, name: str, function: Any) -> None:
    """Replace an activity under the same name, so that the worker registers the replacement."""
    from temporalio import activity

    function.__annotations__ = getattr(target, name).__annotations__
    swap(target, name, activity.defn(name=name)(function))
