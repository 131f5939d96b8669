"""Processor time and memory of processes."""

from collections.abc import Iterable

import psutil


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the total user and system time of the processes so far."""
    used = (psutil.Process(pid).cpu_times() for pid in pids)
    return float(sum(times.user + times.system for times in used))


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process, in MiB."""
    return float(psutil.Process(pid).memory_info().rss) / 2**20
