"""What a PSP allows per second: kept here, so that calls beyond it are never sent.

Nothing waits: a call without a place is an outage of a known length, and Temporal repeats it.
"""

import time
from functools import cache

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from integrator.psp.errors import LocallyRateLimited


class Budget:
    """Calls per second of one account at one PSP, within this process; reads and writes apart."""

    def __init__(self, *, reads: int, writes: int) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._reads = RateLimitItemPerSecond(reads, namespace="reads")
        self._writes = RateLimitItemPerSecond(writes, namespace="writes")

    def take(self, *, write: bool) -> None:
        """Take one place; raises `OverBudget` with the time until the next one is free."""
        item: RateLimitItem = self._writes if write else self._reads
        if not self._limiter.hit(item):
            free_at = self._limiter.get_window_stats(item).reset_time
            wait = max(0.05, free_at - time.time())
            raise LocallyRateLimited("Our own budget for this PSP is used up", retry_after=wait)


@cache
def budget_of(psp: str, account: str, *, reads: int, writes: int) -> Budget:
    """The one budget of an account, named by anything that tells accounts apart (no secret)."""
    return Budget(reads=reads, writes=writes)
