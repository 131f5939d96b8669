"""Where tests find a browser."""

import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
# The sandbox needs rights that root in a container has not; the rest keeps it off the internet.
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
    """Path of the browser; skips the test where there is none."""
    named = os.environ.get("CHROMIUM")
    if named and os.access(named, os.X_OK):
        return named
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser: install Chromium ({', '.join(NAMES)}) or set CHROMIUM")
    return found
