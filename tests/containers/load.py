"""Load on a deployment through the proxy over TLS, and what became of it."""

import asyncio
import hashlib
import hmac
import itertools
import json
import random
import ssl
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.billwerk import RETURN_URLS, new_id

CARD = "4242424242424242"
SETTLE_SECONDS = 60.0
"""Within it the PSP has notified every late payment, and the workflows have applied it."""

PAID, LATE = "10.00", "10.05"
"""Amounts that the sandbox PSP decides at once, and later by a notification."""

REFUNDED = "4.00"


@dataclass(frozen=True)
class Target:
    """What the load is put on: the API, the merchant and its account at the PSP."""

    url: str
    tls: ssl.SSLContext
    token: str
    notification_url: str
    webhook_secret: str
    psp_control_url: str
    webhook_target: str


@dataclass(frozen=True)
class Call:
    """A request; `status` is an HTTP status, or the name of the error that prevented one."""

    kind: str
    began: float
    seconds: float
    status: int | str
    detail: str = ""
    """The body of a failed request's response."""

    @property
    def failed(self) -> bool:
        """Whether the caller did not get a result; a 4xx would be a mistake of the load."""
        return not isinstance(self.status, int) or self.status >= 400


@dataclass(frozen=True)
class Expected:
    """Final state of a transaction and its movements at the PSP."""

    resource: str
    id: str
    movements: tuple[str, ...]
    status: str = "Succeeded"


@dataclass(frozen=True)
class Changed:
    """A transaction that is not as expected."""

    expected: Expected
    status: str
    movements: tuple[str, ...]


@dataclass
class Report:
    """Requests by kind and the transactions that are not as expected."""

    calls: list[Call] = field(default_factory=list)
    changed: list[Changed] = field(default_factory=list)
    reverted: list[str] = field(default_factory=list)
    """Transactions that were read as succeeded, and later as something else."""
    transactions: int = 0
    warnings: list[str] = field(default_factory=list)
    """Warnings and errors that the API logged meanwhile."""

    @property
    def failed(self) -> list[Call]:
        """Return the failed requests."""
        return [call for call in self.calls if call.failed]

    def table(self, phases: list[tuple[str, float, float]] | None = None) -> str:
        """Render a line for each kind, and for each phase (name, begin, end by `time.time`)."""
        lines = [f"{'':28}{'requests':>9}{'failed':>8}{'p50 ms':>8}{'p99 ms':>8}{'max ms':>8}"]
        for kind in sorted({call.kind for call in self.calls}):
            lines.append(_line(kind, [call for call in self.calls if call.kind == kind]))
        for name, begin, end in phases or []:
            lines.append(_line(name, [call for call in self.calls if begin <= call.began < end]))
        lines.append(_line("all", self.calls))
        lines.append(
            f"{self.transactions} transactions, {len(self.changed)} not as expected, "
            f"{len(self.reverted)} with a changed state in between"
        )
        return "\n".join(lines)


def _line(name: str, calls: list[Call]) -> str:
    durations = sorted(1000 * call.seconds for call in calls) or [0.0]
    p50, p99 = (durations[int(len(durations) * share)] for share in (0.5, 0.99))
    failed = sum(call.failed for call in calls)
    return f"{name:28}{len(calls):9}{failed:8}{p50:8.0f}{p99:8.0f}{durations[-1]:8.0f}"


class Load:
    """Sends requests at `rate` per second until stopped, whether or not earlier ones are answered.

    Of ten requests four are payments, one is decided later, three are reads, one is a refund and
    one a signed notification; the sandbox PSP sends those of the late payments itself.
    """

    def __init__(self, target: Target, http: httpx.AsyncClient, rate: float) -> None:
        self.report = Report()
        self._target = target
        self._http = http
        self._rate = rate
        self._agreement = new_id()
        self._expected: dict[str, Expected] = {}
        self._refundable: list[str] = []
        self._succeeded: set[str] = set()
        self._numbers = itertools.count()

    async def sign_up(self) -> None:
        """Create the agreement that the payments use, as a customer with a card."""
        means = {"role": "CreditCard", **RETURN_URLS}
        body = self._body(PAID, paymentMeansReference=means, isInitial=True)
        opened = (await self._post("Preauth", body)).raise_for_status().json()
        form = {"card_number": CARD, "holder": "Mia Kern", "expiry": "12/34", "cvc": "123"}
        await self._http.post(opened["redirectUrl"], data={**form, "action": "pay"})
        finalized = {"transactionId": body["transactionId"], "finalizationData": {}}
        (await self._post("Preauth/Finalize", finalized)).raise_for_status()

    async def measure_capacity(self, seconds: float, callers: int) -> float:
        """Return the requests per second of the mix with callers that wait for each answer."""
        end = time.monotonic() + seconds
        sequence = itertools.cycle(self._kinds())

        async def call() -> None:
            while time.monotonic() < end:
                await next(sequence)()

        await asyncio.gather(*(call() for _ in range(callers)))
        return len(self.report.calls) / seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop`, then wait for the answers."""
        sequence = itertools.cycle(self._kinds())
        running: set[asyncio.Task[None]] = set()
        due = time.monotonic()
        while not stop.is_set():
            running.add(task := asyncio.create_task(next(sequence)()))
            task.add_done_callback(running.discard)
            due += 1 / self._rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        await asyncio.gather(*running)

    def _kinds(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        return [
            *(self._pay, self._read, self._pay, self._refund, self._read),
            *(self._pay, self._pay_late, self._notify, self._pay, self._read),
        ]

    async def _pay(self) -> None:
        body = self._body(PAID, paymentMeansReference={"role": "CreditCard"})
        response = await self._timed("payment", lambda: self._post("Payment", body))
        if response is not None and response.status_code < 400:
            self._expect(Expected("Payment", body["transactionId"], ("charge",)))
            if response.json().get("status") == "Succeeded":
                self._refundable.append(body["transactionId"])

    async def _pay_late(self) -> None:
        body = self._body(LATE, paymentMeansReference={"role": "CreditCard"})
        response = await self._timed("late payment", lambda: self._post("Payment", body))
        if response is not None and response.status_code < 400:
            self._expect(Expected("Payment", body["transactionId"], ("charge",)))

    async def _refund(self) -> None:
        if not self._refundable:
            return
        payment = self._refundable.pop()
        body = {
            "transactionId": new_id(),
            "requestedAmount": REFUNDED,
            "currency": "EUR",
            "webhookTarget": self._target.webhook_target,
            "paymentTransactionId": payment,
        }
        response = await self._timed("refund", lambda: self._post("Refund", body))
        if response is not None and response.status_code < 400:
            self._expect(Expected("Refund", body["transactionId"], ("refund",)))

    async def _read(self) -> None:
        if not self._expected:
            return
        one = random.choice(list(self._expected.values()))  # noqa: S311 - not for security
        response = await self._timed("read", lambda: self._get(one.resource, one.id))
        if response is None or response.status_code >= 400:
            return
        status = response.json().get("status")
        if status == one.status:
            self._succeeded.add(one.id)
        elif one.id in self._succeeded:
            self.report.reverted.append(f"{one.resource} {one.id}: {status}")

    async def _notify(self) -> None:
        """Send a signed event of a type that the adapter acknowledges and does not need."""
        event = {"id": f"evt_load_{next(self._numbers)}_{new_id()}", "type": "account.checked"}
        now = str(int(time.time()))
        body = json.dumps({**event, "sequence": 1, "created_at": now, "data": {}}).encode()
        signed = hmac.new(
            self._target.webhook_secret.encode(), f"{now}.".encode() + body, hashlib.sha256
        )
        headers = {"sandbox-signature": f"t={now},v1={signed.hexdigest()}"}
        url = self._target.notification_url
        await self._timed(
            "notification", lambda: self._http.post(url, content=body, headers=headers)
        )

    async def verify(self) -> Report:
        """Wait until every transaction is as expected, at most a minute; report the others."""
        deadline = time.monotonic() + SETTLE_SECONDS
        waiting = list(self._expected.values())
        self.report.transactions = len(waiting)
        while waiting:
            found = [await self._read_final(one) for one in waiting]
            self.report.changed = [
                one
                for one in found
                if (one.status, one.movements) != (one.expected.status, one.expected.movements)
            ]
            waiting = [one.expected for one in self.report.changed]
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(1)
        return self.report

    async def _read_final(self, expected: Expected) -> Changed:
        response = await self._get(expected.resource, expected.id)
        state = response.json()
        status = str(state.get("status") or state.get("errorCode"))
        control = self._target.psp_control_url
        ledger = await self._http.get(f"{control}/ledger", params={"reference": expected.id})
        movements = tuple(entry["kind"] for entry in ledger.raise_for_status().json()["entries"])
        return Changed(expected, status, movements)

    async def _timed(
        self, kind: str, send: Callable[[], Coroutine[Any, Any, httpx.Response]]
    ) -> httpx.Response | None:
        began, clock = time.time(), time.monotonic()
        try:
            response = await send()
        except httpx.HTTPError as error:
            self.report.calls.append(
                Call(kind, began, time.monotonic() - clock, type(error).__name__)
            )
            return None
        detail = response.text[:500] if response.status_code >= 400 else ""
        call = Call(kind, began, time.monotonic() - clock, response.status_code, detail)
        self.report.calls.append(call)
        return response

    def _expect(self, expected: Expected) -> None:
        self._expected[expected.id] = expected

    def _body(self, amount: str, **members: Any) -> dict[str, Any]:
        id = new_id()
        return {
            "transactionId": id,
            "requestedAmount": amount,
            "currency": "EUR",
            "webhookTarget": self._target.webhook_target,
            "transactionReferenceText": f"{id} load",
            "payerData": {
                "firstName": "Mia",
                "lastName": "Kern",
                "emailAddress": "mia.kern@example.org",
                "address": {"postalCode": "60311", "city": "Frankfurt am Main", "country": "DE"},
            },
            "agreementId": self._agreement,
            **members,
        }

    async def _post(self, resource: str, body: dict[str, Any]) -> httpx.Response:
        return await self._http.post(
            f"{self._target.url}/api/{resource}", json=body, headers=self._headers()
        )

    async def _get(self, resource: str, id: str) -> httpx.Response:
        url = f"{self._target.url}/api/{resource}/{id}"
        return await self._http.get(url, headers=self._headers())

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._target.token}"}
