"""`dummy.py NAME DIARY [stubborn|dies]`: a process that writes down what happens to it."""

import os
import signal
import sys
import time
from types import FrameType


def main(name: str, diary: str, *manners: str) -> None:
    """Run until SIGTERM, which `stubborn` ignores; `dies` ends at once."""

    def write(word: str) -> None:
        descriptor = os.open(diary, os.O_WRONLY | os.O_APPEND)
        os.write(descriptor, f"{name} {word}\n".encode())
        os.close(descriptor)

    def leave(_signal: int, _frame: FrameType | None) -> None:
        write("down")
        sys.exit(0)

    if "dies" in manners:
        sys.exit("cannot go on")
    signal.signal(signal.SIGTERM, signal.SIG_IGN if "stubborn" in manners else leave)
    write("up")
    while True:
        time.sleep(60)


main(*sys.argv[1:])
