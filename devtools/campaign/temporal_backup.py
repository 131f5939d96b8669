"""Backup of the Temporal server's database, put back while the server is down."""

import asyncio
import os
import signal
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from devtools.campaign.polling import wait_until
from devtools.campaign.stack import Stack

SERVER_SCRIPT = Path(__file__).with_name("temporal_with_restore.sh")
"""Program in place of `temporal`: puts back a waiting backup, then becomes the server."""

_RESTART_TIMEOUT_SECONDS = 40.0


def server_environment(binary: Path, data_dir: Path) -> dict[str, str]:
    """Return the variables with which a stack starts its server by the script."""
    return {
        "INTEGRATOR_TEMPORAL_BIN": str(SERVER_SCRIPT),
        "CAMPAIGN_TEMPORAL_BIN": str(binary),
        "CAMPAIGN_TEMPORAL_DB": str(data_dir / "temporal.db"),
    }


class TemporalBackup:
    """Takes backups of a running stack's Temporal server and restores them."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._database = stack.data_dir / "temporal.db"
        self._copy = stack.data_dir / "temporal.db.backup"

    async def take(self) -> None:
        """Copy the database as of one moment; the server goes on."""
        await asyncio.to_thread(copy_database, self._database, self._copy)

    async def restore(self) -> bool:
        """Put the copy back while nothing runs; return whether all processes have started again.

        API and worker are stopped first, as operators do it, and lose what they remember: a worker
        that goes on with workflows which the server has forgotten writes into other histories.
        """
        self._copy.replace(self._database.with_name("temporal.db.restore"))
        pids = {name: self._stack.run["pids"][name] for name in ("api", "worker", "temporal")}
        clients = (pids["api"], pids["worker"])
        for pid in clients:
            os.kill(pid, signal.SIGSTOP)
        os.kill(pids["temporal"], signal.SIGKILL)
        started = await self._wait_for_others({"temporal": pids["temporal"]})
        for pid in clients:
            os.kill(pid, signal.SIGKILL)
        return started and await self._wait_for_others(pids)

    async def _wait_for_others(self, pids: Mapping[str, int]) -> bool:
        """Return whether other processes than these have been started within the time limit."""
        return await wait_until(
            lambda: all(self._stack.run["pids"][name] != pid for name, pid in pids.items()),
            _RESTART_TIMEOUT_SECONDS,
        )


def copy_database(source: Path, target: Path) -> None:
    """Copy a database that may be in use, as of one moment."""
    target.unlink(missing_ok=True)
    with closing(sqlite3.connect(source)) as database, closing(sqlite3.connect(target)) as copy:
        database.backup(copy)
