"""Load generator: sign-ups, charges, captures, refunds and reads."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from tests.e2e.rolling.balancer import Balancer
from tests.e2e.stack.environment import CARD, IBAN, outcome
from tests.e2e.stack.sandbox import SandboxPsp
from tests.support.billwerk import Billwerk, new_id, submit_checkout

PAUSE_SECONDS = 0.2
TIMEOUT_SECONDS = 40.0


@dataclass(frozen=True)
class Expected:
    """Expected result of a transaction; `movements` in the PSP's ledger, `notified` by webhook."""

    resource: str
    id: str
    status: str
    movements: tuple[str, ...]
    notified: bool = False


@dataclass(frozen=True)
class FinalResult:
    """Actual result of a transaction."""

    expected: Expected
    status: str
    movements: tuple[str, ...]
    notified: int

    @property
    def matches(self) -> bool:
        """Whether the result is as expected, with each movement once."""
        expected = self.expected
        notified = self.notified > 0 or not expected.notified
        return (self.status, self.movements, notified) == (
            expected.status,
            expected.movements,
            True,
        )


class Load:
    """Context in which callers run transactions; `expected` are their expected results."""

    def __init__(self, billwerk: Billwerk, psp: SandboxPsp, callers: int) -> None:
        self.expected: list[Expected] = []
        self._billwerk = billwerk
        self._psp = psp
        self._callers = callers
        self._agreements: dict[str, str] = {}
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(callers)

    def sign_up(self) -> None:
        """Create an agreement for a card and one for a direct debit."""
        for means in (CARD, IBAN):
            self._agreements[means] = new_id()
        self._billwerk.sign_up_card(self._agreements[CARD], CARD)
        self._billwerk.sign_up_debit(self._agreements[IBAN], IBAN)

    def __enter__(self) -> Self:
        self._calls = [self._pool.submit(self._play, first) for first in range(self._callers)]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._pool.shutdown()
        for call in self._calls:
            call.result()

    def final_results(self) -> list[FinalResult]:
        """Wait until all results match, up to the timeout."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        with ThreadPoolExecutor(self._callers) as pool:
            return list(
                pool.map(
                    lambda expected: self._wait_until_matching(expected, deadline), self.expected
                )
            )

    def _wait_until_matching(self, expected: Expected, deadline: float) -> FinalResult:
        result = self._read_result(expected)
        while not result.matches and time.monotonic() < deadline:
            time.sleep(0.2)
            result = self._read_result(expected)
        return result

    def _read_result(self, expected: Expected) -> FinalResult:
        status = outcome(self._billwerk.get(expected.resource, expected.id))
        movements = tuple(self._psp.kinds(expected.id))
        return FinalResult(
            expected, status, movements, len(self._billwerk.webhooks_of(expected.id))
        )

    def _play(self, first: int) -> None:
        scenarios = (self._refunded, self._late, self._captured, self._debited, self._declined)
        for number in itertools.count(first):
            scenarios[number % len(scenarios)]()
            if self._stopped.wait(PAUSE_SECONDS):
                return

    def _refunded(self) -> None:
        paid = self._pay(self._billwerk.payment(self._agreements[CARD], "10.00"), "charge")
        self._refund(paid, "4.00", notified=False)

    def _late(self) -> None:
        """Pending first; a notification of the PSP decides it."""
        self._pay(self._billwerk.payment(self._agreements[CARD], "10.05"), "charge", notified=True)

    def _captured(self) -> None:
        """A sign-up through the checkout page, with a redirect, and its capture."""
        body = self._billwerk.preauth(new_id(), requestedAmount="20.00")
        opened = self._call("Preauth", body)
        submit_checkout(opened["redirectUrl"], CARD)
        self._billwerk.finalize(body["transactionId"]).raise_for_status()
        id = body["transactionId"]
        self._expect(Expected("Preauth", id, "Succeeded", ("authorize",)))
        capture = self._billwerk.payment(body["agreementId"], "20.00", preauthTransactionId=id)
        self._pay(capture, "capture")

    def _debited(self) -> None:
        self._pay(self._billwerk.debit(self._agreements[IBAN], "30.00"), "charge", notified=True)

    def _declined(self) -> None:
        body = self._billwerk.payment(self._agreements[CARD], "10.01")
        refused = self._billwerk.post("Payment", body)
        assert outcome(refused) in ("InsufficientBalance", "Pending"), refused.text
        self._expect(Expected("Payment", body["transactionId"], "InsufficientBalance", ()))

    def _pay(self, body: dict[str, Any], movement: str, *, notified: bool = False) -> str:
        id = str(body["transactionId"])
        self._call("Payment", body)
        self._expect(Expected("Payment", id, "Succeeded", (movement,), notified))
        return id

    def _refund(self, payment: str, amount: str, *, notified: bool) -> None:
        body = self._billwerk.refund(payment, amount)
        self._call("Refund", body)
        self._expect(Expected("Refund", body["transactionId"], "Succeeded", ("refund",), notified))

    def _call(self, resource: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._billwerk.post(resource, body).raise_for_status()
        content: dict[str, Any] = answer.json()
        return content

    def _expect(self, expected: Expected) -> None:
        self._billwerk.get(expected.resource, expected.id)
        self.expected.append(expected)


def merchant(balancer: Balancer, token: str) -> Billwerk:
    """Create a Billwerk+ client whose requests go through the balancer."""
    billwerk = Billwerk("http://integrator", token)
    headers = billwerk.client.headers
    billwerk.client.close()
    billwerk.client = httpx.Client(
        transport=balancer, base_url="http://integrator", headers=headers, timeout=30
    )
    return billwerk
