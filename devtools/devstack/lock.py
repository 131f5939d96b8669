"""Lock that allows one stack per data folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devtools.devstack.errors import DevStackError


@contextmanager
def hold_lock(file: Path) -> Iterator[None]:
    """Hold the lock on `file`; raises `DevStackError` when another process holds it.

    The operating system releases it when this process ends.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DevStackError(_lock_held_message(file, descriptor)) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _lock_held_message(file: Path, descriptor: int) -> str:
    pid = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
    process = f" (process {pid})" if pid else ""
    return (
        f"A stack already runs on the data folder {file.parent}{process}. Stop it first, or name "
        "another folder with INTEGRATOR_DATA_DIR and other ports."
    )
