"""Payments made while parts of the stack are unavailable."""

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx

from tests.e2e.stack.environment import CARD, TIMEOUT_SECONDS, Environment

PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class AnsweredPayment:
    """A payment with its response, after `lost` attempts without one."""

    request: dict[str, Any]
    answer: httpx.Response
    lost: int


def pay_until_answered(environment: Environment, body: dict[str, Any]) -> AnsweredPayment:
    """Repeat a payment until it gets a response other than 503."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    lost = 0
    while time.monotonic() < deadline:
        try:
            answer = environment.billwerk.post("Payment", body)
        except httpx.TransportError:
            answer = None
        if answer is not None and answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            return AnsweredPayment(body, answer, lost)
        lost += 1
        time.sleep(PAUSE_SECONDS)
    raise AssertionError(f"{body['transactionId']} was never got a response")


@dataclass
class Traffic:
    """Context in which several callers make payments; `payments` are the results."""

    environment: Environment
    callers: int = 8
    payments: list[AnsweredPayment] = field(default_factory=list)
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
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while len(self.payments) < target:
            assert time.monotonic() < deadline, "no more payments are answered"
            time.sleep(0.05)

    def _pay(self) -> None:
        while not self._over.wait(PAUSE_SECONDS):
            body = self.environment.billwerk.payment(self.environment.agreements[CARD], "10.00")
            try:
                self.payments.append(pay_until_answered(self.environment, body))
            except AssertionError as error:
                self.failures.append(error)
