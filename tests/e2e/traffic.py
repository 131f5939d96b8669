"""Payments that go on while parts of the stack are away."""

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx

from tests.e2e.platform import CARD, HANG_SECONDS, World

PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Answered:
    """A payment whose caller has its answer, after `lost` attempts without one."""

    request: dict[str, Any]
    answer: httpx.Response
    lost: int


def insist(world: World, body: dict[str, Any]) -> Answered:
    """Repeat a payment for as long as the answer is lost or the service says it is away."""
    deadline = time.monotonic() + HANG_SECONDS
    lost = 0
    while time.monotonic() < deadline:
        try:
            answer = world.billwerk.post("Payment", body)
        except httpx.TransportError:
            answer = None
        if answer is not None and answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            return Answered(body, answer, lost)
        lost += 1
        time.sleep(PAUSE_SECONDS)
    raise AssertionError(f"{body['transactionId']} was never answered")


@dataclass
class Traffic:
    """Inside, several callers make one payment after the other; `payments` is what came of it."""

    world: World
    callers: int = 8
    payments: list[Answered] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._pay) for _ in range(self.callers)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        assert self.failures == []

    def wait_for_more(self, count: int) -> None:
        """Wait until that many further payments have been answered."""
        target = len(self.payments) + count
        deadline = time.monotonic() + HANG_SECONDS
        while len(self.payments) < target:
            assert time.monotonic() < deadline, "no more payments are answered"
            time.sleep(0.05)

    def _pay(self) -> None:
        while not self._over.wait(PAUSE_SECONDS):
            body = self.world.billwerk.payment(self.world.agreements[CARD], "10.00")
            try:
                self.payments.append(insist(self.world, body))
            except AssertionError as error:
                self.failures.append(error)
