"""Process that records its events: `dummy.py NAME JOURNAL [stubborn|dies]`."""

import os
import signal
import sys
import time
from types import FrameType


def main(name: str, journal: str, *modes: str) -> None:
    """Run until SIGTERM, which `stubborn` ignores; `dies` exits at once."""

    def record(event: str) -> None:
        descriptor = os.open(journal, os.O_WRONLY | os.O_APPEND)
        os.write(descriptor, f"{name} {event}\n".encode())
        os.close(descriptor)

    def exit_on_signal(_signal: int, _frame: FrameType | None) -> None:
        record("down")
        sys.exit(0)

    if "dies" in modes:
        sys.exit("cannot go on")
    signal.signal(signal.SIGTERM, signal.SIG_IGN if "stubborn" in modes else exit_on_signal)
    record("up")
    while True:
        time.sleep(60)


main(*sys.argv[1:])
