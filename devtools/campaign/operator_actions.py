"""Operator actions during traffic: replace the encryption keys and erase customers."""

import asyncio
import json
import math
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from devtools.campaign.polling import wait_until
from devtools.campaign.stack import Stack
from integrator.crypto.keys import generate_key

RESTARTED_PROCESSES = ("worker", "api", "codec_server")
_RESTART_TIMEOUT_SECONDS = 40.0
_OLD, _NEW = "old", "new"
_REPLACE_KEYS_AT, _ROTATE_AGAIN_AT = 0.3, 0.7


class OperatorCommandError(RuntimeError):
    """An operator command failed."""


class OperatorCommands:
    """Runs the product's commands on the stack."""

    def __init__(self, stack: Stack, code: Path) -> None:
        self._stack = stack
        self._code = code

    async def heal(self) -> None:
        """Heal what a restored backup of Temporal has lost, as after every restore."""
        await self.run("heal", "--apply", "--rate", "100", codes=(0, 1))

    async def run(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        """Run `integrator ARGUMENTS` and return its output; raise `OperatorCommandError`."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "integrator.cli", *arguments),
            cwd=self._code,
            env=self._stack.env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await process.communicate()
        if process.returncode not in codes:
            raise OperatorCommandError(
                f"integrator {' '.join(arguments)}: {errors.decode()[-500:]}"
            )
        return out.decode()


class Operator:
    """Replaces keys and erases customers; `counts` holds the number of actions by name."""

    def __init__(self, stack: Stack, commands: OperatorCommands) -> None:
        self.counts: Counter[str] = Counter()
        self._stack = stack
        self._commands = commands
        self._entries = {name: f"{name}:{generate_key()}" for name in (_OLD, _NEW)}

    def write_initial_keys(self) -> None:
        """Write the key file before the stack starts: both keys, of which the old one encrypts."""
        self._stack.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._write_keys(_OLD, _NEW)

    async def run(self, progress: Callable[[], float]) -> None:
        """Replace the keys under load; `progress` returns the completed share of the traffic."""
        await wait_until(lambda: progress() >= _REPLACE_KEYS_AT, math.inf)
        await self.replace_keys()
        await wait_until(lambda: progress() >= _ROTATE_AGAIN_AT, math.inf)
        await self.rotate()

    async def replace_keys(self) -> None:
        """Make the new key the encrypting one and re-encrypt what the old one encrypted."""
        self._write_keys(_NEW, _OLD)
        for name in RESTARTED_PROCESSES:
            pid = self._stack.run["pids"][name]
            os.kill(pid, signal.SIGTERM)
            if not await wait_until(partial(self._restarted, name, pid), _RESTART_TIMEOUT_SECONDS):
                raise OperatorCommandError(f"{name} did not restart")
        await self.rotate()

    async def rotate(self) -> None:
        """Re-encrypt data of the old key; concurrent writes may leave some."""
        await self._commands.run("keys", "rotate", codes=(0, 1))
        self.counts["keys rotated"] += 1

    async def require_old_key_unused(self) -> None:
        """Raise `OperatorCommandError` if anything in the store still needs the old key."""
        await self._commands.run("keys", "rotate")
        usage = json.loads(await self._commands.run("keys", "usage", "--json", "--histories", "0"))
        remaining = {name: column["keys"].get(_OLD, 0) for name, column in usage["store"].items()}
        if any(remaining.values()):
            raise OperatorCommandError(f"the old key is still in use: {remaining}")

    async def erase(self, agreements: Sequence[str]) -> None:
        """Erase the data of these agreements' customers."""
        for agreement in agreements:
            await self._commands.run(
                "erase", "--merchant", "demo", "--agreement", agreement, "--yes"
            )
            self.counts["agreements erased"] += 1

    def _restarted(self, name: str, old_pid: int) -> bool:
        return bool(self._stack.run["pids"].get(name, old_pid) != old_pid)

    def _write_keys(self, *order: str) -> None:
        file = self._stack.data_dir / "keys"
        temporary_file = file.with_name(".keys.draft")
        temporary_file.write_text(",".join(self._entries[name] for name in order) + "\n")
        temporary_file.chmod(0o600)
        temporary_file.replace(file)
