"""Path of the browser for tests."""

import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
# The sandbox needs privileges that root in a container lacks; the other flags avoid network access.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str:
    """Return the path of the browser; skip the test if there is none."""
    configured = os.environ.get("CHROMIUM")
    if configured and os.access(configured, os.X_OK):
        return configured
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser: install Chromium ({', '.join(NAMES)}) or set CHROMIUM")
    return path
