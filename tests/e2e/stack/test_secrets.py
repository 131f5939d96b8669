"""Test that Temporal's database, the logs and the store contain no readable secrets."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack.environment import TIMEOUT_SECONDS, Environment
from tests.e2e.stack.scenarios import DEBITS, SIGN_UPS, Background

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("run_last")]

PERSONAL = (
    "Mia Kern",
    "lastName",
    "mia.kern@example.org",
    "Frankfurt",
)  # too long to occur by chance


def temporal_files(data_dir: Path) -> list[Path]:
    return sorted(data_dir.glob("temporal.db*"))


def log_files(data_dir: Path) -> list[Path]:
    return [*sorted((data_dir / "logs").iterdir()), data_dir / "console.log"]


def secrets(environment: Environment) -> Iterator[str]:
    """Yield everything that must stay inside the store and the PSP."""
    yield from DEBITS
    yield from {visit.card for visit in SIGN_UPS.values()}
    yield from PERSONAL
    yield from environment.stack.demo.values()


def hits(files: list[Path], words: Iterator[str]) -> list[tuple[str, str]]:
    """Return which words occur in which files."""
    contents = {file.name: file.read_bytes() for file in files}
    return [(name, word) for word in words for name in contents if word.encode() in contents[name]]


def test_temporal_contains_no_payment_data_and_no_credentials(
    environment: Environment, background: Background, data_dir: Path
) -> None:
    files = temporal_files(data_dir)
    id = background.captured.result(TIMEOUT_SECONDS).id
    assert any(id.encode() in file.read_bytes() for file in files)  # the search would find one
    assert hits(files, secrets(environment)) == []


def test_logs_contain_no_payment_data_and_no_credentials(
    environment: Environment, data_dir: Path
) -> None:
    assert hits(log_files(data_dir), secrets(environment)) == []


def test_the_store_encrypts_payment_data_and_credentials(
    environment: Environment, data_dir: Path
) -> None:
    assert hits(sorted(data_dir.glob("integrator.db*")), secrets(environment)) == []


def test_stored_payment_methods_appear_in_no_log_and_no_workflow(
    environment: Environment, data_dir: Path
) -> None:
    token = re.compile(rb"\b(pm|cus)_[A-Za-z0-9]{16,}")
    for file in [*temporal_files(data_dir), *log_files(data_dir)]:
        assert token.findall(file.read_bytes()) == [], file.name
