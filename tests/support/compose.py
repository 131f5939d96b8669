"""Docker Compose, which resolves compose files without an engine."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

MISSING = (
    "there is no Docker Compose 2 or newer: install Docker's plugin, or run "
    "`deploy/test-engine/engine prepare ~/.cache/payment-integrator/engine` as root"
)
"""Reason to skip what needs it."""

_PLUGIN = "engine/engine/usr/libexec/docker/cli-plugins/docker-compose"


@cache
def compose_command() -> tuple[str, ...] | None:
    """Return the first words of a call of Docker Compose 2 or newer; None if there is none."""
    folder = os.environ.get("INTEGRATOR_TEST_CACHE") or Path.home() / ".cache/payment-integrator"
    candidates = (("docker", "compose"), ("docker-compose",), (str(Path(folder) / _PLUGIN),))
    return next(filter(_is_new_enough, candidates), None)


def _is_new_enough(command: tuple[str, ...]) -> bool:
    if shutil.which(command[0]) is None:
        return False
    # Version 1 is a program of its own, which knows this option as well.
    result = subprocess.run(
        [*command, "version", "--short"], capture_output=True, text=True, check=False
    )
    major, _, _ = result.stdout.strip().removeprefix("v").partition(".")
    return result.returncode == 0 and major.isdecimal() and int(major) >= 2
