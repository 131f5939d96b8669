"""How often somebody may ask; counted in this process, in a window that slides."""

import math
import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from fastapi import Request
from limits import parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from api.errors import RateLimited

KNOWN_FOR_SECONDS = 600.0
MOST_KNOWN = 10_000


class Rate:
    """One limit, such as `300/minute`, for each key by itself."""

    def __init__(self, text: str) -> None:
        self._item = parse(text)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def take(self, key: str) -> None:
        """Count one request; raises `TooMany` when there is no place left."""
        if not await self._limiter.hit(self._item, key):
            raise RateLimited(await self._wait(key))

    async def check(self, key: str) -> None:
        """Count nothing; raises `TooMany` when there is no place left."""
        if not await self._limiter.test(self._item, key):
            raise RateLimited(await self._wait(key))

    async def _wait(self, key: str) -> int:
        """Whole seconds until there may be a place again."""
        free_at = (await self._limiter.get_window_stats(self._item, key)).reset_time
        return max(1, math.ceil(free_at - time.time()))


class FailedAuthLimit:
    """Who comes without proof, by address.

    An address that has had too many refusals is turned away without being looked at; but not with
    a credential that was good lately. One platform calls for all of its merchants from the same
    few addresses, and so does one PSP: a single merchant's wrong token must not shut the others
    out.
    """

    def __init__(self, text: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._refusals = Rate(text)
        self._clock = clock
        self._known: dict[str, float] = {}

    async def check(self, address: str, credential: str = "") -> None:
        """Raises `TooMany`."""
        if self._known.get(credential, -math.inf) < self._clock():
            await self._refusals.check(address)

    async def record_failure(self, address: str) -> None:
        """Count a refusal; raises `TooMany` in its place when there were too many."""
        await self._refusals.take(address)

    def trust(self, credential: str) -> None:
        """The credential is good now."""
        now = self._clock()
        if len(self._known) >= MOST_KNOWN:
            self._known = {key: until for key, until in self._known.items() if until > now}
        self._known[credential] = now + KNOWN_FOR_SECONDS


def client_address(request: Request) -> str:
    """The address that guests are counted by: of IPv6 the network, as each has addresses galore."""
    host = request.client.host if request.client else "unknown"
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address)
