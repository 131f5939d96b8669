"""Waiting for what other processes do."""

import asyncio
from collections.abc import Callable
from pathlib import Path


async def eventually(check: Callable[[], object], timeout: float = 10) -> None:
    """Return when `check` is true; fails after `timeout` seconds."""
    async with asyncio.timeout(timeout):
        while not check():  # noqa: ASYNC110 - what is awaited happens in another process
            await asyncio.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether there is such a process, dead ones nobody has asked about left out."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
