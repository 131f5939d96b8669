"""Calls of programs that query registries, each with its own defaults and credentials."""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

TIMEOUT_SECONDS = 180


@dataclass(frozen=True)
class Completed:
    """Exit status and output of a program."""

    code: int
    stdout: str
    stderr: str

    @property
    def reason(self) -> str:
        """Return the first line of the error output that is no warning."""
        lines = [line.strip() for line in self.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if not line.startswith("WARNING")]
        return errors[0] if errors else f"exit code {self.code}"


Run = Callable[[Sequence[str]], Completed]
"""Runs a command line to its end; raises `FileNotFoundError` if there is no such program."""


def run(command: Sequence[str]) -> Completed:
    """Run a program without input; one that hangs counts as failed."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed programs, arguments of this repository's files
            command,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return Completed(1, "", f"no result within {TIMEOUT_SECONDS} s")
    return Completed(done.returncode, done.stdout, done.stderr)
