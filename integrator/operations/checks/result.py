"""Result of a check."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """Severity of a result: only a problem makes the command fail."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class CheckResult:
    """Result of one check; `advice` is the remedy, empty if the check passed."""

    level: Level
    check: str
    text: str
    advice: str = ""


def ok(check: str, text: str) -> CheckResult:
    """Return the result of a passed check."""
    return CheckResult(Level.OK, check, text)


def warning(check: str, text: str, advice: str) -> CheckResult:
    """Return the result of a check that an operator should look into."""
    return CheckResult(Level.WARNING, check, text, advice)


def problem(check: str, text: str, advice: str) -> CheckResult:
    """Return the result of a failed check."""
    return CheckResult(Level.PROBLEM, check, text, advice)
