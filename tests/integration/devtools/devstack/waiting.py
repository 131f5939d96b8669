"""Wait for other processes."""

import asyncio
from collections.abc import Callable
from pathlib import Path


async def eventually(check: Callable[[], object], timeout: float = 10) -> None:
    """Wait until `check` is true; raise TimeoutError after `timeout` seconds."""
    async with asyncio.timeout(timeout):
        while not check():  # noqa: ASYNC110 - what is awaited happens in another process
            await asyncio.sleep(0.02)


def is_running(pid: int) -> bool:
    """Return whether the process runs; zombies do not count."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
