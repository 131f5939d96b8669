"""What the stack leaves behind in Temporal's database and in the logs."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.platform import HANG_SECONDS, World
from tests.e2e.scenarios import DEBITS, SIGN_UPS, Background

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("comes_last")]

PERSONAL = (
    "Mia Kern",
    "lastName",
    "mia.kern@example.org",
    "Frankfurt",
)  # too long to turn up by chance


def temporal_files(data_dir: Path) -> list[Path]:
    return sorted(data_dir.glob("temporal.db*"))


def log_files(data_dir: Path) -> list[Path]:
    return [*sorted((data_dir / "logs").iterdir()), data_dir / "console.log"]


def secrets(world: World) -> Iterator[str]:
    """Everything that must stay inside the store and the PSP."""
    yield from DEBITS
    yield from {visit.card for visit in SIGN_UPS.values()}
    yield from PERSONAL
    yield from world.stack.demo.values()


def hits(files: list[Path], words: Iterator[str]) -> list[tuple[str, str]]:
    """Which of these words are found in which of these files."""
    contents = {file.name: file.read_bytes() for file in files}
    return [(name, word) for word in words for name in contents if word.encode() in contents[name]]


def test_temporal_keeps_no_payment_data_and_no_credentials(
    world: World, background: Background, data_dir: Path
) -> None:
    files = temporal_files(data_dir)
    id = background.captured.result(HANG_SECONDS).id
    assert any(id.encode() in file.read_bytes() for file in files)  # one would be found
    assert hits(files, secrets(world)) == []


def test_logs_hold_no_payment_data_and_no_credentials(world: World, data_dir: Path) -> None:
    assert hits(log_files(data_dir), secrets(world)) == []


def test_the_store_keeps_payment_data_and_credentials_sealed(world: World, data_dir: Path) -> None:
    assert hits(sorted(data_dir.glob("integrator.db*")), secrets(world)) == []


def test_stored_payment_methods_are_named_in_no_log_and_no_workflow(
    world: World, data_dir: Path
) -> None:
    token = re.compile(rb"\b(pm|cus)_[A-Za-z0-9]{16,}")
    for file in [*temporal_files(data_dir), *log_files(data_dir)]:
        assert token.findall(file.read_bytes()) == [], file.name
