"""Rate limits, counted in this process in a sliding window."""

import math
import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from fastapi import Request
from limits import parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from api.errors import RateLimited

TRUST_SECONDS = 600.0
MAX_TRUSTED = 10_000


class RateLimit:
    """A limit such as `300/minute`, counted separately for each key."""

    def __init__(self, text: str) -> None:
        self._item = parse(text)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def acquire(self, key: str) -> None:
        """Count one request. Raises `RateLimited` when the limit is reached."""
        if not await self._limiter.hit(self._item, key):
            raise RateLimited(await self._retry_after(key))

    async def check(self, key: str) -> None:
        """Check the limit without counting. Raises `RateLimited` when it is reached."""
        if not await self._limiter.test(self._item, key):
            raise RateLimited(await self._retry_after(key))

    async def _retry_after(self, key: str) -> int:
        """Return the whole seconds until a request may be allowed again."""
        free_at = (await self._limiter.get_window_stats(self._item, key)).reset_time
        return max(1, math.ceil(free_at - time.time()))


class FailedAuthLimit:
    """Limit of failed authentications per client address.

    An address with too many failures is refused before its credential is checked, unless the
    credential was valid recently. Billwerk+ calls for all of its merchants from the same few
    addresses, and so does each PSP: one merchant's wrong token must not lock the others out.
    """

    def __init__(self, text: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._failures = RateLimit(text)
        self._clock = clock
        self._trusted_until: dict[str, float] = {}

    async def check(self, address: str, credential: str = "") -> None:
        """Raise `RateLimited` for an address with too many failures."""
        if self._trusted_until.get(credential, -math.inf) < self._clock():
            await self._failures.check(address)

    async def record_failure(self, address: str) -> None:
        """Count a failed authentication. Raises `RateLimited` when there were too many."""
        await self._failures.acquire(address)

    def trust(self, credential: str) -> None:
        """Record that the credential is valid now."""
        now = self._clock()
        if len(self._trusted_until) >= MAX_TRUSTED:
            self._trusted_until = {
                key: until for key, until in self._trusted_until.items() if until > now
            }
        self._trusted_until[credential] = now + TRUST_SECONDS


def client_address(request: Request) -> str:
    """Return the address to count by: for IPv6 its /64 network, as a client has many of them."""
    host = request.client.host if request.client else "unknown"
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address)
