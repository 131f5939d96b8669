"""A backup of the Temporal server is put back before the server starts."""

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from devtools.campaign.temporal_backup import SERVER_SCRIPT, copy_database, server_environment

ECHO = Path(shutil.which("echo") or "/bin/echo")


def write(database: Path, value: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE IF NOT EXISTS t (value TEXT)")
        connection.execute("INSERT INTO t VALUES (?)", (value,))


def values(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        return [value for (value,) in connection.execute("SELECT value FROM t")]


def start_server(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, **server_environment(ECHO, folder)}
    program = environment["INTEGRATOR_TEMPORAL_BIN"]
    return subprocess.run(
        [program, *arguments], env=environment, check=True, capture_output=True, text=True
    ).stdout


def test_a_waiting_backup_is_put_back_once(tmp_path: Path) -> None:
    database, copy = tmp_path / "temporal.db", tmp_path / "copy"
    write(database, "before")
    with closing(sqlite3.connect(database)) as server:
        # The write-ahead log of a server that is running, or was killed, must not survive.
        server.execute("SELECT * FROM t").fetchall()
        copy_database(database, copy)
        write(database, "after")
        copy.replace(tmp_path / "temporal.db.restore")
        assert start_server(tmp_path, "server", "start-dev") == "server start-dev\n"
    assert values(database) == ["before"]
    write(database, "later")
    start_server(tmp_path)
    assert values(database) == ["before", "later"]


def test_the_script_can_be_executed() -> None:
    assert os.access(SERVER_SCRIPT, os.X_OK)
