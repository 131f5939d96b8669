"""Messages whose key is unknown or missing, and the verdict on them in a replay."""

import os
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.converter import DataConverter

from integrator.crypto.keys import KeyRing
from integrator.temporal import message_guard
from integrator.temporal.payload_codec import encrypting_converter
from tests.integration.workflows.activation_engine import SECOND, START, Engine, TaskFailed
from tests.integration.workflows.conftest import approved
from tests.integration.workflows.message_scenarios import COMMON, LOOP, WEBHOOK
from tests.support.key_ids import ALWAYS, FakeKeyIds
from workflows.messages import (
    CANCEL,
    CREATE,
    LOOK_UP,
    NOTIFY,
    RESERVE,
    LookUpSignal,
    PaymentInput,
    ReserveRequest,
)
from workflows.payment import PaymentWorkflow

K1, K2 = os.urandom(32), os.urandom(32)
OLD_RING, NEW_RING = KeyRing({"k1": K1}), KeyRing({"k1": K1, "k2": K2})
SENDER = encrypting_converter(KeyRing({"k2": K2}), FakeKeyIds())
ANSWERS = {
    "charge": approved("ch_1"),
    "fetch_payment": approved("ch_1"),
    "record": True,
    "deliver_webhook": WEBHOOK,
}


def converter(ring: KeyRing, **known: datetime) -> DataConverter:
    return encrypting_converter(ring, FakeKeyIds(k1=ALWAYS, **known))


def paid(with_converter: DataConverter) -> Engine:
    """Return a payment that has succeeded and been announced."""
    engine = Engine(PaymentWorkflow, PaymentInput(**COMMON), with_converter, loop=LOOP)
    engine.update(CREATE)
    run(engine)
    return engine


def run(engine: Engine) -> None:
    while engine.activities:
        engine.step(lambda pending: ANSWERS[pending.name])


def encrypt(sender: DataConverter, value: object) -> Payload:
    (payload,) = LOOP.run_until_complete(sender.encode([value]))
    return payload


def look_up(engine: Engine) -> bool:
    """Send a signal of the new key; return whether it led to a look-up."""
    engine.signal(LOOK_UP, encrypt(SENDER, LookUpSignal(psp_id="ch_2")))
    return [pending.name for pending in engine.activities.values()] == ["fetch_payment"]


def replayed(engine: Engine, with_converter: DataConverter) -> Engine:
    """Replay a run's history with another key ring."""
    copy = Engine(PaymentWorkflow, PaymentInput(**COMMON), with_converter, loop=LOOP)
    copy.replay(engine.history[1:])
    assert copy.commands == engine.commands
    assert copy.state() == engine.state()
    return copy


@pytest.fixture
def unusable() -> Callable[[], float]:
    """Return a function that counts the unusable messages of this test."""

    def count() -> float:
        metrics = message_guard.UNUSABLE_MESSAGES.collect()
        return sum(float(sample.value) for metric in metrics for sample in metric.samples)

    before = count()
    return lambda: count() - before


def test_a_message_of_a_key_that_no_process_ever_had_is_dropped_and_counted(
    unusable: Callable[[], float],
) -> None:
    engine = paid(converter(OLD_RING))
    assert not look_up(engine)
    assert unusable() == 1


def test_a_dropped_message_stays_dropped_in_a_replay_with_a_ring_that_gained_its_key(
    unusable: Callable[[], float],
) -> None:
    engine = paid(converter(OLD_RING))
    assert not look_up(engine)
    gained_at = engine.now + SECOND
    engine.now += timedelta(minutes=1)
    again = replayed(engine, converter(NEW_RING, k2=gained_at))
    again.now = engine.now
    assert look_up(again), "a message from after the registration is handled"
    assert unusable() == 1, "a replay counts nothing"


def test_a_dropped_message_stays_dropped_where_only_another_process_has_gained_its_key() -> None:
    engine = paid(converter(OLD_RING))
    assert not look_up(engine)
    replayed(engine, converter(OLD_RING, k2=engine.now + SECOND))


def test_a_handled_message_is_handled_in_every_replay() -> None:
    engine = paid(converter(NEW_RING, k2=ALWAYS))
    assert look_up(engine)
    run(engine)
    replayed(engine, converter(NEW_RING, k2=ALWAYS))


@pytest.mark.parametrize("since", [ALWAYS, START])
def test_a_message_of_a_key_in_use_that_the_ring_lacks_fails_the_task_and_names_the_key(
    since: datetime,
) -> None:
    engine = paid(converter(OLD_RING, k2=since))
    missing = message_guard.MISSING_KEYS.labels("k2")
    before = missing._value.get()
    with pytest.raises(message_guard.MissingKeyError, match=r"'k2', .* missing in this worker"):
        look_up(engine)
    assert missing._value.get() == before + 1


def test_a_message_waits_for_a_worker_that_has_its_key() -> None:
    engine = paid(converter(OLD_RING, k2=ALWAYS))
    with pytest.raises(message_guard.MissingKeyError):
        look_up(engine)
    # The server gives the task to another worker, which replays the history and goes on.
    with_key = Engine(
        PaymentWorkflow, PaymentInput(**COMMON), converter(NEW_RING, k2=ALWAYS), loop=LOOP
    )
    with_key.replay(engine.history[1:-1])
    with_key.now = engine.now
    assert look_up(with_key)


@pytest.mark.parametrize("kind", ["update", "query"])
def test_an_update_or_query_of_a_missing_key_is_not_refused(kind: str) -> None:
    """Only the update may wait: another worker, with the key, accepts it."""
    request = ReserveRequest(by="r1", amount="1.00", currency="EUR")
    payload = encrypt(SENDER, request)
    engine = paid(converter(OLD_RING, k2=ALWAYS))
    if kind == "update":
        with pytest.raises(message_guard.MissingKeyError):
            engine.update(RESERVE, payload)
    else:
        (error,) = engine.query("state", payload).query_failed
        assert "no key of this system can decrypt it" in error


def test_an_accepted_update_is_accepted_in_a_replay() -> None:
    request = ReserveRequest(by="r1", amount="1.00", currency="EUR")
    engine = paid(converter(NEW_RING, k2=ALWAYS))
    assert engine.update(RESERVE, encrypt(SENDER, request)).completed
    replayed(engine, converter(NEW_RING, k2=engine.now + SECOND))


def test_a_look_up_by_hand_needs_no_argument() -> None:
    engine = paid(converter(OLD_RING))
    engine.signal(LOOK_UP)
    assert [pending.name for pending in engine.activities.values()] == ["fetch_payment"]


def test_a_refused_update_says_why_and_what_to_do() -> None:
    engine = paid(converter(OLD_RING))
    (error,) = engine.update(RESERVE).rejected
    assert error == (
        "The message 'reserve' is refused: the number of its arguments is wrong. "
        "Send as many arguments as the message takes."
    )
    (error,) = engine.update(RESERVE, encrypt(converter(OLD_RING), 1)).rejected
    assert "its argument has the wrong type or encoding" in error
    (error,) = engine.update(CANCEL).rejected
    assert "'cancel' expected but not found" in error


def test_without_the_guard_such_a_message_stops_the_workflow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Remove the guard when the SDK itself survives it."""
    monkeypatch.setattr(message_guard.MessageGuard, "screen", lambda _self, _activation: None)
    engine = paid(converter(OLD_RING))
    with pytest.raises(TaskFailed, match="missing 1 required positional argument"):
        engine.signal(NOTIFY)
