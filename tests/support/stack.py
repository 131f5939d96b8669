"""Stack of `make run` for tests."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from devtools.campaign.stack import Stack as RunningStack
from tests.support.temporal import temporal_binary


class Stack(RunningStack):
    """Stack that skips the test if there is no Temporal program."""

    def __init__(self, data_dir: Path, env: Mapping[str, str] | None = None) -> None:
        temporal_binary()
        super().__init__(data_dir, env)


@contextmanager
def running_stack(data_dir: Path, env: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """Run a stack during the block."""
    stack = Stack(data_dir, env)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
