"""Processor time and memory of processes."""

from collections.abc import Iterable

import psutil


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of the processes so far, together."""
    used = (psutil.Process(pid).cpu_times() for pid in pids)
    return float(sum(times.user + times.system for times in used))


def resident_mib(pid: int) -> float:
    """Memory that a process occupies, in MiB."""
    return float(psutil.Process(pid).memory_info().rss) / 2**20
