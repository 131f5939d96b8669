"""What a check says."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is: only a problem makes the command fail."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class CheckResult:
    """One line; `advice` says what to do, empty where all is well."""

    level: Level
    check: str
    text: str
    advice: str = ""


def ok(check: str, text: str) -> CheckResult:
    """All is well."""
    return CheckResult(Level.OK, check, text)


def warning(check: str, text: str, advice: str) -> CheckResult:
    """It works, and somebody should look."""
    return CheckResult(Level.WARNING, check, text, advice)


def problem(check: str, text: str, advice: str) -> CheckResult:
    """Something does not work."""
    return CheckResult(Level.PROBLEM, check, text, advice)
