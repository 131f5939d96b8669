"""Lives of the three workflows, and every message with every fault, for the tests of messages."""

import asyncio
import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.exceptions import ApplicationError

from integrator.contract.enums import PublicPaymentProviderRole
from integrator.crypto.keys import KeyRing
from integrator.psp.types import Approved, FactKind
from integrator.temporal.payload_codec import encrypting_converter
from integrator.transactions.transaction_client import STATE_TYPES
from tests.integration.workflows.activation_engine import START, Engine, PendingActivity
from tests.integration.workflows.conftest import approved
from tests.support.key_ids import ALWAYS, FakeKeyIds
from workflows import activity_plans
from workflows.messages import (
    CALLER_DETACHED,
    CANCEL,
    CREATE,
    LOOK_UP,
    NOTIFY,
    REDELIVER,
    AnyInput,
    NotificationResult,
    NotificationSignal,
    PaymentInput,
    PreauthInput,
    PspFailure,
    PspReply,
    Record,
    RefundInput,
    StoredState,
    WebhookReply,
    kind_of,
)
from workflows.payment import PaymentWorkflow
from workflows.preauth import PreauthWorkflow
from workflows.refund import RefundWorkflow
from workflows.state import EvidenceKind

KEYS = KeyRing({"k1": bytes(range(32))})
CONVERTER = encrypting_converter(KEYS, FakeKeyIds(k1=ALWAYS))
STRANGER = encrypting_converter(KeyRing({"stranger": os.urandom(32)}), FakeKeyIds())
UNKNOWN_NAME = "no_such_message"
LONGEST_LIFE = 80
"""Steps: a life that takes more does not end."""

SUCCEEDED = b'\\"status\\":\\"Succeeded\\"'
"""Part of a record: the snapshot is JSON text within JSON."""

LOST = ApplicationError("The connection was lost.", type=PspFailure.UNKNOWN, non_retryable=True)


class Fault(StrEnum):
    """How a message is malformed; `NONE` is a message without arguments."""

    NONE = "none"
    TOO_MANY = "too many"
    WRONG_TYPE = "wrong type"
    WRONG_ENCODING = "wrong encoding"
    UNKNOWN_KEY = "unknown key"
    TRUNCATED = "truncated"


@dataclass(frozen=True)
class Message:
    """Message to a workflow; a `usable` one has an effect like any other."""

    kind: str
    name: str
    fault: Fault
    usable: bool
    payloads: tuple[Payload, ...] = field(repr=False, compare=False)

    def send(self, engine: Engine) -> None:
        """Send it and check the reply."""
        send((self,), engine)


def send(messages: Sequence[Message], engine: Engine) -> None:
    """Send messages at once and check that malformed ones are refused and leave no trace.

    Queries have activations of their own.
    """
    for queries in (False, True):
        batch = [message for message in messages if (message.kind == "query") is queries]
        if queries:
            for message in batch:
                _send([message], engine)
        elif batch:
            _send(batch, engine)


def _send(messages: Sequence[Message], engine: Engine) -> None:
    before = (engine.activities.copy(), engine.timers.copy())
    jobs = [engine.job(message.kind, message.name, message.payloads) for message in messages]
    replies = engine.activate(*jobs)
    malformed = [message.kind for message in messages if not message.usable]
    assert len(replies.rejected) == malformed.count("update"), (messages, replies)
    assert len(replies.query_failed) == malformed.count("query"), (messages, replies)
    assert all(map(_is_clear, replies.rejected + replies.query_failed)), (messages, replies)
    if len(malformed) == len(messages):
        assert (engine.activities, engine.timers) == before, messages


def _is_clear(error: str) -> bool:
    return " is refused: " in error or "expected but not found" in error


REPLIES = ("update_response", "respond_to_query")


@dataclass(frozen=True)
class End:
    """How a life ended: the workflow's result, its last record, and all commands but replies."""

    result: str
    record: bytes
    commands: tuple[str, ...]
    steps: int = field(compare=False)


@dataclass(frozen=True)
class Life:
    """Script of a transaction, from its creation to its end, with every kind of work in flight.

    `answers` are the results of the activities in order, the last one again and again; `events` are
    the messages that arrive, each when nothing else but timers is left to do. Those from
    number `after_approval` on come only when the success is recorded. `ends` are the results that
    are right, with any messages without arguments at any time.
    """

    cls: type
    start: AnyInput
    answers: dict[str, list[Any]]
    events: tuple[Callable[[Engine], object], ...]
    ends: frozenset[str]
    after_approval: int = 99

    @property
    def name(self) -> str:
        return self.cls.__name__

    def play(self, phase: int, messages: Sequence[Message] = ()) -> "End":
        """Live, with messages after `phase` steps."""
        player = Player(self, phase)
        for message in messages:
            message.send(player.engine)
        return player.finish()


class Player:
    """One run of a life."""

    def __init__(self, life: Life, phase: int = 0) -> None:
        """Live for `phase` steps."""
        self.engine = Engine(life.cls, life.start, CONVERTER, loop=LOOP)
        self.steps = 0
        self._start = life.start
        self._answers = {name: list(results) for name, results in life.answers.items()}
        self._events = list(life.events)
        self._after_approval = life.after_approval
        for _ in range(phase):
            self.step()

    def step(self) -> bool:
        """Do the next step of the script; return False at the end of the life."""
        self.steps += 1
        assert self.steps < LONGEST_LIFE, "the transaction does not end"
        if self._event_is_due():
            self._after_approval -= 1
            self._events.pop(0)(self.engine)
            return self.engine.result is None
        return self.engine.step(self._answer)

    def _event_is_due(self) -> bool:
        if self.engine.result is not None or self.engine.activities or not self._events:
            return False
        return self._after_approval > 0 or SUCCEEDED in self.engine.records[-1]

    def finish(self) -> "End":
        """Live to the end."""
        while self.engine.result is None:
            self.step()
        commands = tuple(name for name in self.engine.commands if name not in REPLIES)
        return End(self.engine.result, self.engine.records[-1], commands, self.steps)

    def _stored_snapshot(self) -> str:
        if not self.engine.records:
            return _initial_snapshot(self._start)
        return Record.model_validate_json(self.engine.records[-1]).snapshot

    def _answer(self, pending: PendingActivity) -> Any:
        if pending.name == activity_plans.READ_STORED.name:
            return StoredState(snapshot=self._stored_snapshot())
        results = self._answers[pending.name]
        return results.pop(0) if len(results) > 1 else results[0]


def _initial_snapshot(start: AnyInput) -> str:
    """Return what the store holds before the first record."""
    state_type = STATE_TYPES[kind_of(start)]
    fields = start.model_dump(include=set(state_type.model_fields) - {"kind"})
    return state_type(**fields | {"last_updated": START}).model_dump_json()


LOOP = asyncio.new_event_loop()
WEBHOOK = WebhookReply(delivered_at=START, attempt=1)
COMMON: dict[str, Any] = {
    "merchant_id": "m",
    "psp": "fake",
    "psp_settings_id": "s",
    "transaction_id": "t1",
    "external_id": "e" * 24,
    "role": PublicPaymentProviderRole.CreditCard,
    "currency": "EUR",
    "requested_amount": Decimal("10.00"),
    "key_window_seconds": 86_400,
    "durable_reads": True,
}
ALWAYS_DONE: dict[str, list[Any]] = {
    "record": [True],
    "settle_owner": [True],
    "deliver_webhook": [WEBHOOK],
}


def _create(engine: Engine) -> object:
    return engine.update(CREATE)


def _detach(engine: Engine) -> object:
    return engine.signal(CALLER_DETACHED)


def _redeliver(engine: Engine) -> object:
    return engine.signal(REDELIVER)


def _look_up(engine: Engine) -> object:
    return engine.signal(LOOK_UP)


def _cancel(engine: Engine) -> object:
    return engine.update(CANCEL)


def _notify(engine: Engine) -> object:
    return engine.signal(NOTIFY, *engine.encrypt(NotificationSignal(notification_id=1)))


def _charged_back() -> NotificationResult:
    outcome = approved("cb_1", kind=FactKind.CHARGED_BACK, amount="4.00").outcome
    return NotificationResult(outcome=outcome, event_id="evt_1")


def _reserved() -> PspReply:
    expires = START + timedelta(days=7)
    return approved("auth_1", kind=FactKind.AUTHORIZED, expires_at=expires, psp_id="auth_1")


LIVES = (
    Life(
        PaymentWorkflow,
        PaymentInput(**COMMON),
        {
            **ALWAYS_DONE,
            "charge": [LOST, approved("ch_1")],
            "fetch_payment": [LOST, approved("ch_1", evidence=EvidenceKind.READ)],
            "read_notification": [_charged_back()],
        },
        (_create, _detach, _notify, _redeliver, _look_up),
        ends=frozenset({'"Succeeded"'}),
    ),
    Life(
        PreauthWorkflow,
        PreauthInput(**COMMON),
        {
            **ALWAYS_DONE,
            "authorize": [LOST, _reserved()],
            "fetch_authorization": [LOST, _reserved()],
            "void": [PspReply(outcome=Approved(psp_id="auth_1"), evidence=EvidenceKind.ANSWER)],
            "read_notification": [NotificationResult(outcome=None, event_id="evt_1", fetch=True)],
        },
        (_create, _detach, _notify, _redeliver, _cancel),
        ends=frozenset({'"Cancelled"'}),
        after_approval=4,
    ),
    Life(
        RefundWorkflow,
        RefundInput(**COMMON, payment_id="p1"),
        {
            **ALWAYS_DONE,
            "refund": [LOST, approved("re_1", kind=FactKind.REFUNDED)],
            "fetch_refund": [LOST, approved("re_1", kind=FactKind.REFUNDED)],
            "read_notification": [NotificationResult(outcome=None, event_id="evt_1", fetch=True)],
        },
        (_create, _detach),
        ends=frozenset({'"Succeeded"'}),
    ),
)


def list_messages(cls: type) -> list[Message]:
    """Return every message of a workflow with every fault, and one that it does not have."""
    definition = workflow._Definition.must_from_class(cls)
    kinds = {
        "signal": definition.signals,
        "update": definition.updates,
        "query": definition.queries,
    }
    return [
        Message(kind, name, fault, _is_usable(fault, handlers.get(name)), payloads)
        for kind, handlers in kinds.items()
        for name in (*(name for name in handlers if name is not None), UNKNOWN_NAME)
        if not name.startswith("__")
        for fault, payloads in _malformed_payloads()
    ]


def _is_usable(fault: Fault, handler: Any) -> bool:
    """Return whether the message has no required argument; without any, readable ones are ignored.

    The SDK ignores them, too, and histories contain such messages.
    """
    if handler is None or fault in (Fault.UNKNOWN_KEY, Fault.TRUNCATED):
        return False
    parameters = list(inspect.signature(handler.fn).parameters.values())[1:]
    if fault is not Fault.NONE:
        return not parameters
    return all(parameter.default is not parameter.empty for parameter in parameters)


def _malformed_payloads() -> Iterator[tuple[Fault, tuple[Payload, ...]]]:
    fine = _encrypt(CONVERTER, {"notification_id": 1, "event_id": "evt_1"})
    yield Fault.NONE, ()
    yield Fault.TOO_MANY, (fine, fine)
    yield Fault.WRONG_TYPE, (_encrypt(CONVERTER, ["?"]),)
    yield Fault.WRONG_ENCODING, (Payload(metadata={"encoding": b"binary/foo"}, data=b"?"),)
    yield Fault.UNKNOWN_KEY, (_encrypt(STRANGER, {}),)
    yield Fault.TRUNCATED, (Payload(metadata=fine.metadata, data=fine.data[:-3]),)


def _encrypt(converter: Any, value: object) -> Payload:
    """Encrypt also while a loop is running: with keys in memory nothing has to be waited for."""
    try:
        converter.encode([value]).send(None)
    except StopIteration as done:
        payload: Payload = done.value[0]
        return payload
    raise AssertionError("encrypting waited for something")
