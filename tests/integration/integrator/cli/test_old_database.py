"""Every command that uses the database refuses one that is older than the code."""

import asyncio
import logging
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from integrator.cli import main as cli
from integrator.store.migrate import current_revision, upgrade
from integrator.store.schema import known_revisions, newest_revision

OLDER = known_revisions()[-2]
NEWER = "9001"
COMMANDS = [
    ("merchant", "add", "acme"),
    ("merchant", "list"),
    ("merchant", "hosts", "acme"),
    ("token", "issue", "acme"),
    ("token", "list", "acme"),
    ("token", "revoke", "acme", "id"),
    ("client", "add", "acme"),
    ("client", "list", "acme"),
    ("client", "revoke", "acme", "id"),
    ("settings", "show", "acme"),
    ("keys", "rotate"),
    ("keys", "usage"),
    ("erase", "--agreement", "a", "--yes"),
    ("erase", "--agreement", "a", "--merchant", "acme", "--yes"),
    ("explain", "t1"),
    ("list",),
    ("attention",),
    ("attention", "--scan"),
    ("resolve", "t1", "failed", "--reason", "r", "--yes"),
    ("decisions",),
    ("reconcile", "t1"),
    ("reconcile", "--merchant", "acme"),
    ("webhook", "redeliver", "t1"),
    ("webhook", "redeliver", "--undelivered"),
]


class Database:
    """A SQLite database, and the commands that are run on it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "integrator.db"
        self.url = f"sqlite+aiosqlite:///{self.file}"

    def upgrade(self, revision: str = "head") -> None:
        asyncio.run(upgrade(self.url, revision))

    @property
    def revision(self) -> str | None:
        return asyncio.run(current_revision(self.url))

    def set_revision(self, revision: str) -> None:
        """Record another revision, as the migration of a later version does."""
        with closing(sqlite3.connect(self.file)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
            connection.commit()

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run a command; return its exit code and what it printed."""
        result = CliRunner().invoke(cli.app, arguments)
        return result.exit_code, result.output


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    for name in [name for name in os.environ if name.startswith("INTEGRATOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("INTEGRATOR_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("INTEGRATOR_TEMPORAL_ADDRESS", "127.0.0.1:1")
    # Commands that connect to Temporal end the process so.
    monkeypatch.setattr(os, "_exit", sys.exit)
    monkeypatch.setattr(logging, "shutdown", lambda: None)
    return Database(tmp_path)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_older_database_is_refused(database: Database, command: tuple[str, ...]) -> None:
    database.upgrade(OLDER)
    code, output = database.run(*command)
    assert (code, output.strip()) == (
        1,
        f"The database has schema revision {OLDER}, and this version needs revision "
        f"{newest_revision()}. Run `integrator migrate` of this version, or use the image of the "
        "version that is running.",
    )
    assert database.revision == OLDER


def test_an_empty_database_is_refused(database: Database) -> None:
    code, output = database.run("merchant", "list")
    assert code == 1
    assert output.startswith("The database has no schema, and this version needs revision")
    assert database.revision is None


def test_a_newer_database_is_used(database: Database) -> None:
    database.upgrade()
    database.set_revision(NEWER)
    assert database.run("merchant", "add", "acme")[0] == 0
    assert "acme" in database.run("merchant", "list")[1]
    code, output = database.run("migrate", "--no-temporal")
    assert (code, output.strip()) == (
        0,
        f"The database schema ({NEWER}) is newer than this version's; nothing to do.",
    )
    assert database.revision == NEWER


def test_doctor_runs_on_any_database(database: Database) -> None:
    database.upgrade(OLDER)
    newest = newest_revision()
    code, output = database.run("doctor")
    assert code == 1
    assert f"database: the schema's revision is {OLDER}, the newest is {newest}" in output
    assert "127.0.0.1:1 is unreachable" in output  # the checks after it ran
    database.upgrade()
    assert f"database: answers; schema {newest} is the newest" in database.run("doctor")[1]
    database.set_revision(NEWER)
    output = database.run("doctor")[1]
    assert f"warning   database: the schema's revision is {NEWER}" in output
    assert "encryption:" in output
