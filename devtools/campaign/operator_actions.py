"""An operator at work while traffic flows: changes the keys, and erases customers."""

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

from devtools.campaign.polling import until
from devtools.campaign.stack import Stack
from integrator.crypto.keys import generate_key

RESTARTED = ("worker", "api", "codec_server")
_PATIENCE_SECONDS = 40.0
_OLD, _NEW = "old", "new"
_CHANGE_AT, _AGAIN_AT = 0.3, 0.7


class OperatorError(RuntimeError):
    """A command of the operator's did not do what it should."""


class Operator:
    """Works with the product's own commands; `done` counts what was done."""

    def __init__(self, stack: Stack, code: Path) -> None:
        self.done: Counter[str] = Counter()
        self._stack = stack
        self._code = code
        self._entries = {name: f"{name}:{generate_key()}" for name in (_OLD, _NEW)}

    def lay_keys(self) -> None:
        """Before the stack starts: both keys are known, the old one encrypts."""
        self._stack.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._write(_OLD, _NEW)

    async def work(self, behind: Callable[[], float]) -> None:
        """Change the keys under load; `behind` is the share of the traffic that is over."""
        await until(lambda: behind() >= _CHANGE_AT, math.inf)
        await self.change_keys()
        await until(lambda: behind() >= _AGAIN_AT, math.inf)
        await self.rotate()

    async def change_keys(self) -> None:
        """The new key encrypts from now on, and what the old one has sealed is sealed anew."""
        self._write(_NEW, _OLD)
        for name in RESTARTED:
            before = self._stack.run["pids"][name]
            os.kill(before, signal.SIGTERM)
            if not await until(partial(self._restarted, name, before), _PATIENCE_SECONDS):
                raise OperatorError(f"{name} did not come back")
        await self.rotate()

    async def rotate(self) -> None:
        """Seal anew what is not sealed with the new key; beside writers some may be left."""
        await self._run("keys", "rotate", codes=(0, 1))
        self.done["keys rotated"] += 1

    async def require_old_key_unused(self) -> None:
        """Raises `OperatorError` if anything in the store still needs the old key."""
        await self._run("keys", "rotate")
        usage = json.loads(await self._run("keys", "usage", "--json", "--histories", "0"))
        left = {name: column["keys"].get(_OLD, 0) for name, column in usage["store"].items()}
        if any(left.values()):
            raise OperatorError(f"the old key is still in use: {left}")

    async def erase(self, agreements: Sequence[str]) -> None:
        """Make these customers' data unreadable."""
        for agreement in agreements:
            await self._run("erase", "--merchant", "demo", "--agreement", agreement, "--yes")
            self.done["agreements erased"] += 1

    def _restarted(self, name: str, before: int) -> bool:
        return bool(self._stack.run["pids"].get(name, before) != before)

    def _write(self, *order: str) -> None:
        file = self._stack.data_dir / "keys"
        draft = file.with_name(".keys.draft")
        draft.write_text(",".join(self._entries[name] for name in order) + "\n")
        draft.chmod(0o600)
        draft.replace(file)

    async def _run(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "integrator.cli", *arguments),
            cwd=self._code,
            env=self._stack.env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, errors = await process.communicate()
        if process.returncode not in codes:
            raise OperatorError(f"integrator {' '.join(arguments)}: {errors.decode()[-500:]}")
        return out.decode()
