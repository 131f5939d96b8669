"""Waiting for something that nobody announces."""

import asyncio
import time
from collections.abc import Callable


async def until(done: Callable[[], bool], seconds: float, pause: float = 0.05) -> bool:
    """Wait until `done`; False when that takes longer than `seconds`."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(pause)
    return True
