"""Limit of concurrent requests to hosts that do not respond, so that they leave room for others.

A process executes a limited number of activities at once. Hundreds of calls that each wait eight
seconds for a PSP that does not respond would take all of them, also from other PSPs.
"""

import logging
from collections import Counter

import httpx

log = logging.getLogger(__name__)

HANGING_AFTER = 3
"""Timeouts in a row, without a response in between, after which a host counts as hanging."""

MAX_IN_FLIGHT = 20
"""Requests at once to a hanging host, a fifth of a worker's activities; any response ends that."""


class HangingHostLimit(httpx.AsyncBaseTransport):
    """Transport that sends by another one, up to `MAX_IN_FLIGHT` requests to a hanging host.

    A request beyond that is not sent and raises `httpx.PoolTimeout`, as if all connections were
    in use.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport
        self._in_flight: Counter[str] = Counter()
        self._timeouts: Counter[str] = Counter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request; raises `httpx.PoolTimeout` beyond the limit."""
        host = request.url.netloc.decode("ascii")
        if self._timeouts[host] >= HANGING_AFTER and self._in_flight[host] >= MAX_IN_FLIGHT:
            raise httpx.PoolTimeout("the host does not respond to others", request=request)
        self._in_flight[host] += 1
        try:
            response = await self._transport.handle_async_request(request)
        except httpx.TimeoutException:
            self._timeouts[host] += 1
            if self._timeouts[host] == HANGING_AFTER:
                log.warning("%s does not respond; %d calls at once", host, MAX_IN_FLIGHT)
            raise
        else:
            del self._timeouts[host]
            return response
        finally:
            self._in_flight[host] -= 1

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()
