"""Test repeated kills of processes in the middle of writes: acknowledged payments are kept.

It is slow, 35 to 60 s: a killed server has to restart before it can be killed again, the
supervisor waits longer after every exit of the same process, and a call lost with its worker is
retried only after its timeout (12 s). So the whole stack is killed twice, which also resets the
supervisor.
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

from tests.e2e.stack.environment import CARD, Environment, open_environment, outcome, wait_until
from tests.support.stack import Stack, running_stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ROUND = (("temporal",), ("temporal", "worker"), ("temporal",), ("temporal", "api"))
"""Processes killed together, in order, before the whole stack is killed."""
ROUNDS = 3
RETRYING_CALLERS, IMPATIENT_CALLERS = 4, 1
PAUSE_SECONDS = 0.1
UNAVAILABLE_PAUSE_SECONDS = 0.5
"""An impatient caller's pause after an unavailable service."""
DECISION_SECONDS = 30.0
"""Longer than a call lost with its worker takes to be retried."""


@pytest.fixture(scope="session", autouse=True)
def _start_background() -> None:
    """Disable the shared stack and its scenarios."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack to be killed; its callers soon get Pending."""
    env = {"INTEGRATOR_SYNC_BUDGET_SECONDS": "2"}
    with running_stack(tmp_path_factory.mktemp("kills"), env) as stack:
        yield stack


@dataclass
class Sent:
    """A payment's request and all responses, None for a lost payment."""

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
    """Context in which several callers make payments; impatient ones never repeat a request."""

    def __init__(self, environment: Environment) -> None:
        self.sent: list[Sent] = []
        self._world = environment
        self._under_way = 0
        self._acknowledged = 0
        self._changed = threading.Condition()
        self._over = threading.Event()
        retrying = [True] * RETRYING_CALLERS + [False] * IMPATIENT_CALLERS
        self._pool = ThreadPoolExecutor(len(retrying))
        self._calls = [self._pool.submit(self._pay, retries) for retries in retrying]

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
        """Wait until that many more are acknowledged while others are in progress."""
        with self._changed:
            target = self._acknowledged + acknowledged
            reached = self._changed.wait_for(
                lambda: self._acknowledged >= target and self._under_way > 0, DECISION_SECONDS
            )
            assert reached, "no more payments are acknowledged"
            return self._under_way

    def post(self, sent: Sent) -> bool:
        """Make one attempt; return whether it got a response."""
        with self._changed:
            self._under_way += 1
        try:
            answer = outcome(raise_if_unavailable(self._world.billwerk.post("Payment", sent.body)))
        except httpx.TransportError:
            answer = None
        sent.answers.append(answer)
        with self._changed:
            self._under_way -= 1
            self._acknowledged += answer == "Succeeded"
            self._changed.notify_all()
        return answer is not None

    def _pay(self, retries: bool) -> None:
        while not self._over.is_set():
            sent = Sent(self._world.billwerk.payment(self._world.agreements[CARD], "10.00"))
            self.sent.append(sent)
            while not self.post(sent) and not self._over.wait(PAUSE_SECONDS) and retries:
                pass
            self._over.wait(PAUSE_SECONDS if sent.answers[-1] else UNAVAILABLE_PAUSE_SECONDS)


def raise_if_unavailable(response: httpx.Response) -> httpx.Response:
    """Treat 503 as a lost response."""
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        raise httpx.NetworkError("unavailable")
    return response


def pids(stack: Stack) -> dict[str, int]:
    """Return the running processes."""
    running: dict[str, int] = stack.run["pids"]
    return running


def kill(stack: Stack, *names: str) -> None:
    """Kill processes; the supervisor restarts them."""
    old = pids(stack)
    for name in names:
        os.kill(old[name], signal.SIGKILL)
    wait_until(lambda: all(pids(stack)[name] != old[name] for name in names), f"new {names}")


def kill_stack(stack: Stack) -> None:
    """Kill all processes including the supervisor, and start again."""
    some_child = pids(stack)["temporal"]
    status = Path(f"/proc/{some_child}/status").read_text().splitlines()
    supervisor = next(line.split()[1] for line in status if line.startswith("PPid:"))
    os.kill(int(supervisor), signal.SIGKILL)
    assert stack.stop() == -signal.SIGKILL
    (stack.data_dir / "run.json").unlink()
    stack.start()


@dataclass(frozen=True)
class KillResults:
    """Payments sent during the kills, kills by process, and payments in progress at each kill."""

    sent: list[Sent]
    killed: Counter[str]
    under_way: list[int]


@pytest.fixture(scope="module")
def environment(stack: Stack) -> Iterator[Environment]:
    with open_environment(stack) as environment:
        environment.sign_up(CARD)
        yield environment


@pytest.fixture(scope="module")
def kill_results(stack: Stack, environment: Environment, figures: list[str]) -> KillResults:
    """All payments sent, after every retrying caller got a response."""
    generator = random.Random(20260115)  # noqa: S311 - times, not secrets
    killed: Counter[str] = Counter()
    under_way = []
    began = time.monotonic()
    with Callers(environment) as callers:
        for round_number in range(ROUNDS):
            for names in ROUND:
                under_way.append(callers.wait_for_the_middle(generator.randint(2, 4)))
                time.sleep(generator.choice((0, 0, generator.uniform(0, 0.06))))
                kill(stack, *names)
                killed.update(names)
            if round_number < ROUNDS - 1:
                under_way.append(callers.wait_for_the_middle(2))
                kill_stack(stack)
                killed["power"] += 1
        callers.wait_for_the_middle(2)
    figures.append(
        f"{sum(killed.values())} kills in {time.monotonic() - began:.0f} s under "
        f"{len(callers.sent)} payments: "
        f"{sum(sent.acknowledged for sent in callers.sent)} acknowledged as Succeeded, "
        f"{sum(None in sent.answers for sent in callers.sent)} with lost answers, "
        f"{sum(sent.unanswered for sent in callers.sent)} without a response"
    )
    return KillResults(callers.sent, killed, under_way)


@dataclass(frozen=True)
class FinalPayment:
    """A payment's final state; status None if it is unknown."""

    sent: Sent
    status: str | None
    reported: list[str]
    booked: list[str]


def read_payment(environment: Environment, sent: Sent) -> FinalPayment:
    response = environment.billwerk.get("Payment", sent.id)
    booked = [f"{entry.kind} {entry.psp_id}" for entry in environment.psp.ledger(sent.id)]
    if response.status_code == httpx.codes.NOT_FOUND:
        return FinalPayment(sent, None, [], booked)
    reported = [f"charge {item['externalItemId']}" for item in response.json()["payments"]]
    return FinalPayment(sent, outcome(response), reported, booked)


def wait_until_decided(environment: Environment, sent: Sent, deadline: float) -> FinalPayment:
    """Wait until it is decided; repeat a request without a response, as its caller would."""
    payment = read_payment(environment, sent)
    while payment.status in ("Initiated", "Pending") and time.monotonic() < deadline:
        if sent.unanswered:
            environment.billwerk.post("Payment", sent.body)
        time.sleep(0.5)
        payment = read_payment(environment, sent)
    return payment


@pytest.fixture(scope="module")
def payments(environment: Environment, kill_results: KillResults) -> list[FinalPayment]:
    deadline = time.monotonic() + DECISION_SECONDS
    with ThreadPoolExecutor(4) as pool:
        return list(
            pool.map(
                lambda sent: wait_until_decided(environment, sent, deadline), kill_results.sent
            )
        )


def test_processes_are_killed_during_writes(kill_results: KillResults) -> None:
    assert kill_results.killed == {"temporal": 12, "worker": 3, "api": 3, "power": 2}
    assert min(kill_results.under_way) > 0
    assert any(None in sent.answers for sent in kill_results.sent)


def test_every_response_belongs_to_a_successful_payment(kill_results: KillResults) -> None:
    answers = {answer for sent in kill_results.sent for answer in sent.answers}
    assert answers <= {"Succeeded", "Pending", None}


def test_every_acknowledged_payment_has_exactly_one_movement(
    payments: list[FinalPayment],
) -> None:
    acknowledged = [payment for payment in payments if payment.sent.acknowledged]
    assert len(acknowledged) >= ROUNDS * len(ROUND) * 2
    wrong = [
        payment
        for payment in acknowledged
        if payment.status != "Succeeded" or len(payment.booked) != 1
    ]
    assert wrong == []


def test_every_payment_sent_is_decided_or_unknown_and_unpaid(
    payments: list[FinalPayment],
) -> None:
    for payment in payments:
        assert payment.status in ("Succeeded", None)
        assert len(payment.booked) == (payment.status is not None)
        assert payment.reported == payment.booked


def test_repeating_an_acknowledged_payment_books_nothing(
    environment: Environment, payments: list[FinalPayment]
) -> None:
    for payment in [payment for payment in payments if payment.sent.acknowledged][-5:]:
        assert outcome(environment.billwerk.post("Payment", payment.sent.body)) == "Succeeded"
        assert read_payment(environment, payment.sent) == payment
