"""Test environment: a running stack with a fake Billwerk+ and the sandbox PSP's control API."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.e2e.stack.sandbox import Entry, SandboxPsp, decoded, total
from tests.support.billwerk import WEBHOOK_TYPES, Billwerk, new_id
from tests.support.stack import Stack

CARD = "4242424242424242"
IBAN = "DE89370400440532013000"
IBAN_FAILS = "DE62370400440532013001"
IBAN_CHARGED_BACK = "DE35370400440532013002"

SETTLING_SECONDS = 1.0
"""Longer than the sandbox takes to send the last webhook about something that has happened."""

TIMEOUT_SECONDS = 60.0
"""Upper limit for all waits."""

MONEY_IN = ("charge", "capture")


@dataclass(frozen=True)
class TransactionResult:
    """A transaction in its final state; `parent` is the preauth or payment it belongs to."""

    request: dict[str, Any]
    answer: httpx.Response
    later: httpx.Response
    webhooks: list[dict[str, Any]]
    ledger: list[Entry]
    parent: dict[str, Any] | None = None

    @property
    def id(self) -> str:
        """The transaction's id."""
        return str(self.request["transactionId"])

    @property
    def first(self) -> str:
        """The POST's result: the status, or the error code."""
        return outcome(self.answer)

    @property
    def last(self) -> str:
        """The final GET's result: the status, or the error code."""
        return outcome(self.later)

    @property
    def body(self) -> dict[str, Any]:
        """The GET's body."""
        return decoded(self.later)

    @property
    def booked(self) -> list[str]:
        """The kinds of the movements in the PSP's ledger."""
        return [entry.kind for entry in self.ledger]


@dataclass
class Environment:
    """A running stack, its merchant's Billwerk+ and its PSP."""

    stack: Stack
    billwerk: Billwerk
    psp: SandboxPsp
    agreements: dict[str, str] = field(default_factory=dict)

    def sign_up(self, *means: str) -> None:
        """Create an agreement for each of these cards and IBANs."""
        for number in means:
            agreement = self.agreements[number] = new_id()
            if number.startswith("DE"):
                self.billwerk.sign_up_debit(agreement, number)
            else:
                self.billwerk.sign_up_card(agreement, number)

    def authorized(self, amount: str = "119.00") -> dict[str, Any]:
        """Create an agreement with an authorization to capture; return its request."""
        return self.billwerk.sign_up_card(new_id(), requestedAmount=amount)

    def paid(self, amount: str) -> dict[str, Any]:
        """Create a payment that succeeds; return its request."""
        body = self.billwerk.payment(self.agreements[CARD], amount)
        answer = self.billwerk.post("Payment", body)
        assert outcome(answer) == "Succeeded", answer.text
        return body

    def capture(self, preauth: dict[str, Any], amount: str, **changes: Any) -> dict[str, Any]:
        """Build the request of a capture."""
        members = {"preauthTransactionId": preauth["transactionId"], **changes}
        agreement = members.pop("agreementId", preauth["agreementId"])
        return self.billwerk.payment(agreement, amount, **members)

    def at_once(self, *calls: Callable[[], httpx.Response]) -> list[httpx.Response]:
        """Make calls concurrently; return the responses in the calls' order."""
        gate = threading.Barrier(len(calls))

        def make(call: Callable[[], httpx.Response]) -> httpx.Response:
            gate.wait()
            return call()

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(make, calls))

    def play(
        self,
        resource: str,
        body: dict[str, Any],
        webhooks: int = 0,
        parent: dict[str, Any] | None = None,
    ) -> TransactionResult:
        """POST, wait for that many webhooks, and collect the transaction's final state."""
        answer = self.billwerk.post(resource, body)
        return self.seen(resource, body, answer, webhooks, parent)

    def seen(
        self,
        resource: str,
        body: dict[str, Any],
        answer: httpx.Response,
        webhooks: int = 0,
        parent: dict[str, Any] | None = None,
    ) -> TransactionResult:
        """Collect the final state of a request that already has its response."""
        id = body["transactionId"]
        wait_until(lambda: len(self.billwerk.webhooks_of(id)) >= webhooks, f"webhooks of {id}")
        time.sleep(SETTLING_SECONDS)
        return TransactionResult(
            request=body,
            answer=answer,
            later=self.billwerk.get(resource, id),
            webhooks=self.billwerk.webhooks_of(id),
            ledger=self.psp.ledger(id),
            parent=parent,
        )


def outcome(response: httpx.Response) -> str:
    """Return the status of a transaction, or the code of an error."""
    body = response.json()
    return str(body["status"] if response.status_code == 200 else body["errorCode"])


def wait_until(done: Callable[[], bool], what: str, seconds: float = TIMEOUT_SECONDS) -> None:
    """Wait until `done`; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"still waiting for {what}"
        time.sleep(0.05)


def announcement(kind: str, id: str) -> dict[str, Any]:
    """Build a change notification as Billwerk+ receives it."""
    return {"TransactionId": id, "AgreementId": None, "Type": WEBHOOK_TYPES[kind]}


def assert_ledgers_match(result: TransactionResult, kind: str) -> None:
    """Assert that the response contains the PSP's movements, one by one."""
    if result.later.status_code != 200:
        assert result.ledger == []
        return
    body, entries = result.body, result.ledger
    if kind == "payment":
        assert movements(body["payments"]) == booked(entries, *MONEY_IN)
        assert movements(body["chargebacks"]) == booked(entries, "chargeback")
        left = total(entries, *MONEY_IN) - total(entries, "chargeback")
        assert body["refundedAmount"] + body["refundableAmount"] == left
    elif kind == "refund":
        assert body["refundedAmount"] == total(entries, "refund")
        assert [e.psp_id for e in entries] == [body["pspTransactionId"]] * len(entries)
    else:
        assert body["authorizedAmount"] == total(entries, "authorize")


def movements(items: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """Return the movements of a payment as Billwerk+ sees them."""
    return sorted((item["externalItemId"], item["amount"]) for item in items)


def booked(entries: list[Entry], *kinds: str) -> list[tuple[str, Any]]:
    """Return the movements of these kinds in the PSP's ledger."""
    return sorted((e.psp_id, e.amount) for e in entries if e.kind in kinds)


@contextmanager
def open_environment(stack: Stack) -> Iterator[Environment]:
    """Open the environment of a running stack."""
    run = stack.run
    with Billwerk(run["api"], stack.token) as billwerk:
        psp = SandboxPsp(run["sandbox_psp"], stack.demo["api_key"])
        try:
            yield Environment(stack, billwerk, psp)
        finally:
            psp.close()
