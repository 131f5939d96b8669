"""Simulated Billwerk+: repeats requests until a definite response, reads after each webhook."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import httpx

from devtools.campaign.polling import wait_until
from devtools.campaign.receiver import WebhookReceiver
from devtools.campaign.responses import Response, decode_object
from devtools.campaign.scenario import RequestPattern
from devtools.campaign.transaction import Transaction

MAX_CONCURRENT_REQUESTS = 16
REQUEST_TIMEOUT_SECONDS = 20.0
_DOUBTFUL_CODES = ("", "InternalError", "UnmappedError")
_MAX_DOUBTFUL_RESPONSES = 6
"""How often a response that may be a transient error is retried before it is accepted."""

_KIND_BY_WEBHOOK_TYPE = {1: "preauth", 2: "payment", 3: "refund"}


class NoDefiniteResponse(Exception):
    """No definite response was received before the end of the campaign."""


class BillwerkSimulator:
    """Billwerk+ with its transactions by id.

    `lost_requests` counts attempts without a definite response.
    """

    def __init__(self, api: str, token: str, deadline: float) -> None:
        self.transactions: dict[str, Transaction] = {}
        self.unmatched_webhooks: list[str] = []
        self.lost_requests: Counter[str] = Counter()
        self.receiver = WebhookReceiver(self._receive_webhook)
        self._deadline = deadline
        self._semaphore = asyncio.Semaphore(MAX_CONCURRENT_REQUESTS)
        self._reads: set[asyncio.Task[None]] = set()
        self._http = httpx.AsyncClient(
            base_url=api,
            headers={"Authorization": f"Bearer {token}"},
            timeout=REQUEST_TIMEOUT_SECONDS,
            limits=httpx.Limits(max_connections=MAX_CONCURRENT_REQUESTS * 4),
            trust_env=False,
        )

    async def close(self) -> None:
        """Stop the receiver, wait for reads in progress and close the HTTP client."""
        await self.receiver.close()
        await asyncio.gather(*self._reads, return_exceptions=True)
        await self._http.aclose()

    async def send(self, transaction: Transaction, pattern: RequestPattern) -> None:
        """POST a transaction in the given pattern; return when every copy has its response."""
        self.transactions[transaction.id] = transaction
        copies = [
            self._post(transaction, pattern.timeout if not n else None)
            for n in range(pattern.copies)
        ]
        await asyncio.gather(*copies)
        transaction.answered = True
        if (
            pattern.conflicting_repeat
            and transaction.latest is not None
            and not transaction.latest.outcome.startswith("Failed")
        ):
            await self._repeat_with_other_amount(transaction)

    async def cancel(self, transaction: Transaction) -> str:
        """Cancel a preauth; return the cancellation status or the error code."""
        response = await self._request_until_definite(
            transaction, "POST", f"Preauth/{transaction.id}/Cancel", {}
        )
        if response.status != 200:
            return response.code
        status = str(response.body.get("cancellationStatus"))
        transaction.cancelled = transaction.cancelled or status == "Succeeded"
        return status

    async def finalize(self, transaction: Transaction) -> None:
        """Finalize a preauth after the customer's return."""
        body = {"transactionId": transaction.id, "finalizationData": {}}
        transaction.record_response(
            await self._request_until_definite(transaction, "POST", "Preauth/Finalize", body),
            posted=False,
        )

    async def read(self, transaction: Transaction, reason: str) -> Response:
        """GET the current state."""
        return await self._request_until_definite(
            transaction, "GET", f"{transaction.resource}/{transaction.id}", None, reason
        )

    async def wait_until_decided(self, transaction: Transaction, seconds: float) -> bool:
        """Wait until the transaction is decided; return whether it is."""
        return await wait_until(
            lambda: transaction.latest is not None and transaction.latest.decided, seconds
        )

    async def wait_for_redirect(self, transaction: Transaction, seconds: float) -> str | None:
        """Wait for the checkout's redirect URL; None if there is none in time."""

        def has_redirect() -> bool:
            return transaction.latest is not None and bool(
                transaction.latest.redirect_url or transaction.latest.decided
            )

        await wait_until(has_redirect, seconds)
        return transaction.latest.redirect_url if transaction.latest else None

    async def _post(self, transaction: Transaction, timeout: float | None) -> None:
        transaction.record_response(
            await self._request_until_definite(
                transaction, "POST", transaction.resource, transaction.body, timeout=timeout
            ),
            posted=True,
        )

    async def _repeat_with_other_amount(self, transaction: Transaction) -> None:
        body = {**transaction.body, "requestedAmount": str(transaction.amount + 1)}
        response = await self._request_until_definite(
            transaction, "POST", transaction.resource, body, "another amount"
        )
        transaction.conflict_accepted = response.code != "AlreadyExecuted"

    def _receive_webhook(self, body: dict[str, Any]) -> None:
        transaction = self.transactions.get(str(body.get("TransactionId")))
        if (
            transaction is None
            or _KIND_BY_WEBHOOK_TYPE.get(body.get("Type", 0)) != transaction.kind
        ):
            self.unmatched_webhooks.append(str(body))
            return
        transaction.webhooks.append(time.time())
        task = asyncio.create_task(self._read_after_webhook(transaction))
        self._reads.add(task)
        task.add_done_callback(self._reads.discard)

    async def _read_after_webhook(self, transaction: Transaction) -> None:
        transaction.record_response(await self.read(transaction, "after a webhook"), posted=False)

    async def _request_until_definite(
        self,
        transaction: Transaction,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        reason: str = "",
        timeout: float | None = None,
    ) -> Response:
        """Repeat a request with growing pauses until there is a definite response."""
        request, pause, doubtful_count = f"{method} {path} {reason}".strip(), 0.2, 0
        while time.monotonic() < self._deadline:
            try:
                async with self._semaphore:
                    response = await self._http.request(
                        method,
                        f"/api/{path}",
                        json=body,
                        timeout=timeout or REQUEST_TIMEOUT_SECONDS,
                    )
            except httpx.TransportError as error:
                self.lost_requests[
                    "given up by the caller" if timeout else type(error).__name__
                ] += 1
                transaction.record_exchange(request, type(error).__name__)
            else:
                definite = _parse_definite(response, doubtful_count >= _MAX_DOUBTFUL_RESPONSES)
                transaction.record_exchange(request, _summarize(response, definite))
                if definite is not None:
                    return definite
                self.lost_requests[f"HTTP {response.status_code}"] += 1
                doubtful_count += response.status_code == 500
            timeout = None
            await asyncio.sleep(pause)
            pause = min(pause * 1.6, 3.0)
        raise NoDefiniteResponse(f"{request} of {transaction.id}")


def _parse_definite(response: httpx.Response, accept_doubtful: bool) -> Response | None:
    """Return the response, or None if it may be a transient error."""
    body = decode_object(response.text)
    if response.status_code in (502, 503, 504) or body is None:
        return None
    parsed = Response(response.status_code, body)
    if response.status_code == 500 and parsed.code in _DOUBTFUL_CODES and not accept_doubtful:
        return None
    return parsed


def _summarize(response: httpx.Response, parsed: Response | None) -> str:
    if parsed is None:
        return f"HTTP {response.status_code}, not definite"
    values = {
        key: str(value)
        for key, value in parsed.body.items()
        if key in _LOGGED_KEYS and value not in (None, [], "")
    }
    return f"HTTP {response.status_code} {values}"


_LOGGED_KEYS = (
    *("status", "errorCode", "errorMessage", "pspErrorCode", "lastUpdated", "receivedAt"),
    *("pspTransactionId", "authorizedAmount", "payments", "chargebacks", "refundedAmount"),
    *("cancellationStatus",),
)
