"""One stack with everybody around it, and what can be seen of a transaction from all sides."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.e2e.sandbox import Entry, SandboxPsp, decoded, total
from tests.support.billwerk import TYPES, Billwerk, new_id
from tests.support.stack import Stack

CARD = "4242424242424242"
IBAN = "DE89370400440532013000"
IBAN_FAILS = "DE62370400440532013001"
IBAN_CHARGED_BACK = "DE35370400440532013002"

QUIET_SECONDS = 1.0
"""Longer than the sandbox takes to send the last webhook about something that has happened."""

HANG_SECONDS = 60.0
"""Nothing takes this long; a limit against waiting for ever."""

MONEY_IN = ("charge", "capture")


@dataclass(frozen=True)
class Seen:
    """A transaction after everything has come to rest; `owner` is what it takes money from."""

    request: dict[str, Any]
    answer: httpx.Response
    later: httpx.Response
    webhooks: list[dict[str, Any]]
    ledger: list[Entry]
    owner: dict[str, Any] | None = None

    @property
    def id(self) -> str:
        """The transaction."""
        return str(self.request["transactionId"])

    @property
    def first(self) -> str:
        """What the POST said: the status, or the error code."""
        return outcome(self.answer)

    @property
    def last(self) -> str:
        """What the GET says at the end."""
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
class World:
    """A running stack, its merchant's platform and its PSP."""

    stack: Stack
    billwerk: Billwerk
    psp: SandboxPsp
    agreements: dict[str, str] = field(default_factory=dict)

    def sign_up(self, *means: str) -> None:
        """Make an agreement for each of these cards and IBANs."""
        for one in means:
            agreement = self.agreements[one] = new_id()
            if one.startswith("DE"):
                self.billwerk.sign_up_debit(agreement, one)
            else:
                self.billwerk.sign_up_card(agreement, one)

    def authorized(self, amount: str = "119.00") -> dict[str, Any]:
        """A new agreement with a reservation that can be captured; returns its request."""
        return self.billwerk.sign_up_card(new_id(), requestedAmount=amount)

    def paid(self, amount: str) -> dict[str, Any]:
        """A payment that has succeeded; returns its request."""
        body = self.billwerk.payment(self.agreements[CARD], amount)
        answer = self.billwerk.post("Payment", body)
        assert outcome(answer) == "Succeeded", answer.text
        return body

    def capture(self, preauth: dict[str, Any], amount: str, **changes: Any) -> dict[str, Any]:
        """The request of a capture."""
        members = {"preauthTransactionId": preauth["transactionId"], **changes}
        agreement = members.pop("agreementId", preauth["agreementId"])
        return self.billwerk.payment(agreement, amount, **members)

    def at_once(self, *calls: Callable[[], httpx.Response]) -> list[httpx.Response]:
        """The answers to calls made at the same time, in the calls' order."""
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
        owner: dict[str, Any] | None = None,
    ) -> Seen:
        """POST, wait for that many webhooks and then for silence, and look from all sides."""
        answer = self.billwerk.post(resource, body)
        return self.seen(resource, body, answer, webhooks, owner)

    def seen(
        self,
        resource: str,
        body: dict[str, Any],
        answer: httpx.Response,
        webhooks: int = 0,
        owner: dict[str, Any] | None = None,
    ) -> Seen:
        """As `play`, for a request that has been answered already."""
        id = body["transactionId"]
        wait_until(lambda: len(self.billwerk.received(id)) >= webhooks, f"webhooks of {id}")
        time.sleep(QUIET_SECONDS)
        return Seen(
            request=body,
            answer=answer,
            later=self.billwerk.get(resource, id),
            webhooks=self.billwerk.received(id),
            ledger=self.psp.ledger(id),
            owner=owner,
        )


def outcome(response: httpx.Response) -> str:
    """The status of a transaction, or the code of an error."""
    body = response.json()
    return str(body["status"] if response.status_code == 200 else body["errorCode"])


def wait_until(done: Callable[[], bool], what: str, seconds: float = HANG_SECONDS) -> None:
    """Wait until `done`; fails when that takes so long that something must hang."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"still waiting for {what}"
        time.sleep(0.05)


def announcement(kind: str, id: str) -> dict[str, Any]:
    """A change notification as the platform reads it."""
    return {"TransactionId": id, "AgreementId": None, "Type": TYPES[kind]}


def assert_same_books(seen: Seen, kind: str) -> None:
    """What the platform is told is what the PSP has booked, movement by movement."""
    if seen.later.status_code != 200:
        assert seen.ledger == []
        return
    body, entries = seen.body, seen.ledger
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
    """The movements of a payment as the platform sees them."""
    return sorted((item["externalItemId"], item["amount"]) for item in items)


def booked(entries: list[Entry], *kinds: str) -> list[tuple[str, Any]]:
    """The movements of these kinds as the PSP has booked them."""
    return sorted((e.psp_id, e.amount) for e in entries if e.kind in kinds)


@contextmanager
def around(stack: Stack) -> Iterator[World]:
    """The platform and the PSP's control of a running stack."""
    run = stack.run
    with Billwerk(run["api"], stack.token) as billwerk:
        psp = SandboxPsp(run["sandbox_psp"], stack.demo["api_key"])
        try:
            yield World(stack, billwerk, psp)
        finally:
            psp.close()
