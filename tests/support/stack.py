"""Stack of `make run` for tests."""

from collections.abc import Mapping
from pathlib import Path

from devtools.campaign.stack import Stack as RunningStack
from tests.support.temporal import temporal_binary


class Stack(RunningStack):
    """Stack that skips the test if there is no Temporal program."""

    def __init__(self, data_dir: Path, env: Mapping[str, str] | None = None) -> None:
        temporal_binary()
        super().__init__(data_dir, env)
