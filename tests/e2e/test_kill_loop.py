"""Processes are killed over and over in the middle of writes; what was acknowledged stays so.

It is slow, 35 to 60 s: a killed server has to come back before it can be killed again, the
supervisor waits longer after every death of the same process, and a call that died with its worker
is missed only when its time is up (12 s). So the whole stack loses its power twice, which is one
more way to die and lets the supervisor start afresh.
"""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pytest

from tests.e2e.platform import CARD, World, around, outcome, wait_until
from tests.support.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ROUND = (("temporal",), ("temporal", "worker"), ("temporal",), ("temporal", "api"))
"""Who is killed together, one after the other, before the power goes."""
LIVES = 3
PATIENT, HASTY = 4, 1
PAUSE_SECONDS = 0.1
HASTE_SECONDS = 0.5
"""A caller in a hurry leaves a service that is away alone for so long."""
REST_SECONDS = 30.0
"""Longer than a call that died with its worker takes to be made again."""


@pytest.fixture(scope="session", autouse=True)
def _from_the_start() -> None:
    """The shared stack and what is played on it are not needed here."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack to be killed; its callers are told Pending soon."""
    stack = Stack(tmp_path_factory.mktemp("kills"), {"INTEGRATOR_SYNC_BUDGET_SECONDS": "2"})
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@dataclass
class Sent:
    """A payment that was sent: its request and every answer, None for one that was lost."""

    body: dict[str, Any]
    answers: list[str | None] = field(default_factory=list)

    @property
    def id(self) -> str:
        return str(self.body["transactionId"])

    @property
    def acknowledged(self) -> bool:
        return "Succeeded" in self.answers

    @property
    def unanswered(self) -> bool:
        return not any(self.answers)


class Callers:
    """Inside, several callers pay without a break; those in a hurry never repeat a request."""

    def __init__(self, world: World) -> None:
        self.sent: list[Sent] = []
        self._world = world
        self._under_way = 0
        self._acknowledged = 0
        self._news = threading.Condition()
        self._over = threading.Event()
        patience = [True] * PATIENT + [False] * HASTY
        self._pool = ThreadPoolExecutor(len(patience))
        self._calls = [self._pool.submit(self._pay, patient) for patient in patience]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._pool.shutdown()
        for call in self._calls:
            call.result()

    def wait_for_the_middle(self, acknowledged: int) -> int:
        """Return right after that many more are acknowledged, with others still under way."""
        with self._news:
            target = self._acknowledged + acknowledged
            came = self._news.wait_for(
                lambda: self._acknowledged >= target and self._under_way > 0, REST_SECONDS
            )
            assert came, "no more payments are acknowledged"
            return self._under_way

    def post(self, sent: Sent) -> bool:
        """One attempt; whether it was answered."""
        with self._news:
            self._under_way += 1
        try:
            answer = outcome(answered(self._world.billwerk.post("Payment", sent.body)))
        except httpx.TransportError:
            answer = None
        sent.answers.append(answer)
        with self._news:
            self._under_way -= 1
            self._acknowledged += answer == "Succeeded"
            self._news.notify_all()
        return answer is not None

    def _pay(self, patient: bool) -> None:
        while not self._over.is_set():
            sent = Sent(self._world.billwerk.payment(self._world.agreements[CARD], "10.00"))
            self.sent.append(sent)
            while not self.post(sent) and not self._over.wait(PAUSE_SECONDS) and patient:
                pass
            self._over.wait(PAUSE_SECONDS if sent.answers[-1] else HASTE_SECONDS)


def answered(response: httpx.Response) -> httpx.Response:
    """An answer that says no more than that the service is away is as good as lost."""
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        raise httpx.NetworkError("away")
    return response


def pids(stack: Stack) -> dict[str, int]:
    """Who runs now."""
    found: dict[str, int] = stack.run["pids"]
    return found


def kill(stack: Stack, *names: str) -> None:
    """End processes without a word; they are started again by themselves."""
    old = pids(stack)
    for name in names:
        os.kill(old[name], signal.SIGKILL)
    wait_until(lambda: all(pids(stack)[name] != old[name] for name in names), f"new {names}")


def lose_power(stack: Stack) -> None:
    """End everything at once, the supervisor as well, and start again."""
    some_child = pids(stack)["temporal"]
    status = Path(f"/proc/{some_child}/status").read_text().splitlines()
    supervisor = next(line.split()[1] for line in status if line.startswith("PPid:"))
    os.kill(int(supervisor), signal.SIGKILL)
    assert stack.stop() == -signal.SIGKILL
    (stack.data_dir / "run.json").unlink()
    stack.start()


@dataclass(frozen=True)
class Aftermath:
    """What was sent while processes died, how often each did, and what was under way then."""

    sent: list[Sent]
    killed: Counter[str]
    under_way: list[int]


@pytest.fixture(scope="module")
def world(stack: Stack) -> Iterator[World]:
    with around(stack) as world:
        world.sign_up(CARD)
        yield world


@pytest.fixture(scope="module")
def aftermath(stack: Stack, world: World, figures: list[str]) -> Aftermath:
    """Everything that was sent, after every caller with patience has had an answer."""
    chance = random.Random(20260115)  # noqa: S311 - moments, not secrets
    killed: Counter[str] = Counter()
    under_way = []
    began = time.monotonic()
    with Callers(world) as callers:
        for life in range(LIVES):
            for names in ROUND:
                under_way.append(callers.wait_for_the_middle(chance.randint(2, 4)))
                time.sleep(chance.choice((0, 0, chance.uniform(0, 0.06))))
                kill(stack, *names)
                killed.update(names)
            if life < LIVES - 1:
                under_way.append(callers.wait_for_the_middle(2))
                lose_power(stack)
                killed["power"] += 1
        callers.wait_for_the_middle(2)
    figures.append(
        f"{sum(killed.values())} kills in {time.monotonic() - began:.0f} s under "
        f"{len(callers.sent)} payments: "
        f"{sum(sent.acknowledged for sent in callers.sent)} acknowledged as Succeeded, "
        f"{sum(None in sent.answers for sent in callers.sent)} with lost answers, "
        f"{sum(sent.unanswered for sent in callers.sent)} never answered"
    )
    return Aftermath(callers.sent, killed, under_way)


@dataclass(frozen=True)
class Found:
    """What is known of a payment when everything has come to rest; None: nobody knows it."""

    sent: Sent
    status: str | None
    shown: list[str]
    booked: list[str]


def look(world: World, sent: Sent) -> Found:
    response = world.billwerk.get("Payment", sent.id)
    booked = [f"{entry.kind} {entry.psp_id}" for entry in world.psp.ledger(sent.id)]
    if response.status_code == httpx.codes.NOT_FOUND:
        return Found(sent, None, [], booked)
    shown = [f"charge {item['externalItemId']}" for item in response.json()["payments"]]
    return Found(sent, outcome(response), shown, booked)


def come_to_rest(world: World, sent: Sent, deadline: float) -> Found:
    """Wait until it is decided; one that was never answered is repeated, as its caller would."""
    found = look(world, sent)
    while found.status in ("Initiated", "Pending") and time.monotonic() < deadline:
        if sent.unanswered:
            world.billwerk.post("Payment", sent.body)
        time.sleep(0.5)
        found = look(world, sent)
    return found


@pytest.fixture(scope="module")
def found(world: World, aftermath: Aftermath) -> list[Found]:
    deadline = time.monotonic() + REST_SECONDS
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda sent: come_to_rest(world, sent, deadline), aftermath.sent))


def test_processes_die_in_the_middle_of_writes(aftermath: Aftermath) -> None:
    assert aftermath.killed == {"temporal": 12, "worker": 3, "api": 3, "power": 2}
    assert min(aftermath.under_way) > 0
    assert any(None in sent.answers for sent in aftermath.sent)


def test_every_answer_is_that_of_a_payment_that_succeeds(aftermath: Aftermath) -> None:
    answers = {answer for sent in aftermath.sent for answer in sent.answers}
    assert answers <= {"Succeeded", "Pending", None}


def test_what_was_acknowledged_is_kept_with_exactly_one_movement(found: list[Found]) -> None:
    acknowledged = [one for one in found if one.sent.acknowledged]
    assert len(acknowledged) >= LIVES * len(ROUND) * 2
    wrong = [one for one in acknowledged if one.status != "Succeeded" or len(one.booked) != 1]
    assert wrong == []


def test_everything_that_was_ever_sent_is_decided_or_unknown_and_unpaid(found: list[Found]) -> None:
    for one in found:
        assert one.status in ("Succeeded", None)
        assert len(one.booked) == (one.status is not None)
        assert one.shown == one.booked


def test_a_repeat_of_what_was_acknowledged_moves_nothing(world: World, found: list[Found]) -> None:
    for one in [one for one in found if one.sent.acknowledged][-5:]:
        assert outcome(world.billwerk.post("Payment", one.sent.body)) == "Succeeded"
        assert look(world, one.sent) == one
