"""Run a command that is killed when its parent dies.

Usage: `python -I -S parent_bound_exec.py PARENT_PID COMMAND...`. A separate program because code
between fork and exec is not safe in a process with threads. Imports nothing of the project, so
that it starts fast.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Request SIGKILL on the parent's death (Linux only), then exec `command`."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        # Not SIGTERM: the next run needs the ports at once, and a crash loses no data.
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        # The parent died before the signal was requested.
        sys.exit(1)
    # Python ignores SIGPIPE, and the new program would inherit that.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606 - replacing this process is the purpose
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
