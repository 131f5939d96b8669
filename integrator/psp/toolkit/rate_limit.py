"""Our own limit on calls per second, so that calls beyond a PSP's rate limit are never sent.

Nothing waits here: a call beyond the limit fails with a known delay, and Temporal retries it.
"""

import time
from functools import cache

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from integrator.psp.errors import LocallyRateLimited


class RateLimiter:
    """Limit of calls per second for one account at one PSP, within this process.

    Reads and writes are counted separately.
    """

    def __init__(self, *, reads: int, writes: int) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._reads = RateLimitItemPerSecond(reads, namespace="reads")
        self._writes = RateLimitItemPerSecond(writes, namespace="writes")

    def acquire(self, *, write: bool) -> None:
        """Count one call; raises `LocallyRateLimited` with the time until the next is allowed."""
        item: RateLimitItem = self._writes if write else self._reads
        if not self._limiter.hit(item):
            free_at = self._limiter.get_window_stats(item).reset_time
            wait = max(0.05, free_at - time.time())
            raise LocallyRateLimited("Our own rate limit for this PSP is reached", retry_after=wait)


@cache
def get_rate_limiter(psp: str, account: str, *, reads: int, writes: int) -> RateLimiter:
    """Return the rate limiter of an account; `account` is any unique name that is not secret."""
    return RateLimiter(reads=reads, writes=writes)
