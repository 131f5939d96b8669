"""The simulated platform: asks until it has an answer, and reads after each notification."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import httpx

from devtools.campaign.polling import until
from devtools.campaign.receiver import Receiver
from devtools.campaign.responses import Answer, decode
from devtools.campaign.scenario import Manner
from devtools.campaign.transaction import Transaction

AT_ONCE = 16
PATIENCE_SECONDS = 20.0
_UNKNOWN_CODES = ("", "InternalError", "UnmappedError")
_DOUBTS = 6
"""So often an answer that may mean a mishap is asked for again before it is believed."""

_TYPES = {1: "preauth", 2: "payment", 3: "refund"}


class Unanswered(Exception):
    """No definite answer came before the end of the campaign."""


class Billwerk:
    """`books` holds every transaction by its id; `lost` counts attempts without an answer."""

    def __init__(self, api: str, token: str, give_up_at: float) -> None:
        self.books: dict[str, Transaction] = {}
        self.strangers: list[str] = []
        self.lost: Counter[str] = Counter()
        self.receiver = Receiver(self._notified)
        self._give_up_at = give_up_at
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._reads: set[asyncio.Task[None]] = set()
        self._http = httpx.AsyncClient(
            base_url=api,
            headers={"Authorization": f"Bearer {token}"},
            timeout=PATIENCE_SECONDS,
            limits=httpx.Limits(max_connections=AT_ONCE * 4),
            trust_env=False,
        )

    async def close(self) -> None:
        """Stop everything."""
        await self.receiver.stop()
        await asyncio.gather(*self._reads, return_exceptions=True)
        await self._http.aclose()

    async def request(self, of: Transaction, manner: Manner) -> None:
        """POST a transaction in its manner; returns when every copy has its answer."""
        self.books[of.id] = of
        copies = [self._post(of, manner.patience if not n else None) for n in range(manner.copies)]
        await asyncio.gather(*copies)
        of.answered = True
        if manner.clash and of.known is not None and not of.known.outcome.startswith("Failed"):
            await self._clash(of)

    async def cancel(self, of: Transaction) -> str:
        """Cancel a preauth; the cancellation status or the error code."""
        answer = await self._insist(of, "POST", f"Preauth/{of.id}/Cancel", {})
        if answer.status != 200:
            return answer.code
        status = str(answer.body.get("cancellationStatus"))
        of.cancelled = of.cancelled or status == "Succeeded"
        return status

    async def finalize(self, of: Transaction) -> None:
        """The customer came back."""
        body = {"transactionId": of.id, "finalizationData": {}}
        of.told(await self._insist(of, "POST", "Preauth/Finalize", body), asked=False)

    async def read(self, of: Transaction, why: str) -> Answer:
        """GET the present state."""
        return await self._insist(of, "GET", f"{of.resource}/{of.id}", None, why)

    async def decided(self, of: Transaction, seconds: float) -> bool:
        """Wait until the platform knows how it ended."""
        return await until(lambda: of.known is not None and of.known.decided, seconds)

    async def redirected(self, of: Transaction, seconds: float) -> str | None:
        """Wait until the platform knows where to send the customer."""

        def there() -> bool:
            return of.known is not None and bool(of.known.redirect or of.known.decided)

        await until(there, seconds)
        return of.known.redirect if of.known else None

    async def _post(self, of: Transaction, patience: float | None) -> None:
        of.told(await self._insist(of, "POST", of.resource, of.body, patience=patience), asked=True)

    async def _clash(self, of: Transaction) -> None:
        other = {**of.body, "requestedAmount": str(of.amount + 1)}
        answer = await self._insist(of, "POST", of.resource, other, "another amount")
        of.clash_accepted = answer.code != "AlreadyExecuted"

    def _notified(self, body: dict[str, Any]) -> None:
        of = self.books.get(str(body.get("TransactionId")))
        if of is None or _TYPES.get(body.get("Type", 0)) != of.kind:
            self.strangers.append(str(body))
            return
        of.webhooks.append(time.time())
        task = asyncio.create_task(self._read_after_notice(of))
        self._reads.add(task)
        task.add_done_callback(self._reads.discard)

    async def _read_after_notice(self, of: Transaction) -> None:
        of.told(await self.read(of, "after a webhook"), asked=False)

    async def _insist(
        self,
        of: Transaction,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        why: str = "",
        patience: float | None = None,
    ) -> Answer:
        """Repeat the same request, with growing pauses, until there is a definite answer."""
        what, pause, doubts = f"{method} {path} {why}".strip(), 0.2, 0
        while time.monotonic() < self._give_up_at:
            try:
                async with self._gate:
                    response = await self._http.request(
                        method, f"/api/{path}", json=body, timeout=patience or PATIENCE_SECONDS
                    )
            except httpx.TransportError as error:
                self.lost["given up by the caller" if patience else type(error).__name__] += 1
                of.note(what, type(error).__name__)
            else:
                answer = _definite(response, doubts >= _DOUBTS)
                of.note(what, _short(response, answer))
                if answer is not None:
                    return answer
                self.lost[f"HTTP {response.status_code}"] += 1
                doubts += response.status_code == 500
            patience = None
            await asyncio.sleep(pause)
            pause = min(pause * 1.6, 3.0)
        raise Unanswered(f"{what} of {of.id}")


def _definite(response: httpx.Response, believed: bool) -> Answer | None:
    """The answer, unless it may as well mean that something went wrong on the way."""
    body = decode(response.text)
    if response.status_code in (502, 503, 504) or body is None:
        return None
    answer = Answer(response.status_code, body)
    if response.status_code == 500 and answer.code in _UNKNOWN_CODES and not believed:
        return None
    return answer


def _short(response: httpx.Response, answer: Answer | None) -> str:
    if answer is None:
        return f"HTTP {response.status_code}, not definite"
    told = {
        key: str(value)
        for key, value in answer.body.items()
        if key in _TOLD and value not in (None, [], "")
    }
    return f"HTTP {response.status_code} {told}"


_TOLD = (
    *("status", "errorCode", "errorMessage", "pspErrorCode", "lastUpdated", "receivedAt"),
    *("pspTransactionId", "authorizedAmount", "payments", "chargebacks", "refundedAmount"),
    *("cancellationStatus",),
)
