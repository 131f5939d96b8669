"""Process that is restarted whenever it exits, until it is stopped."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devtools.devstack.backoff import Backoff

_LAUNCHER = Path(__file__).with_name("parent_bound_exec.py")

Report = Callable[[str], None]


@dataclass(frozen=True)
class Command:
    """Command line with its name in messages. `env` may hold secrets and is not in the repr."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)


class Process:
    """Keeps a command running in its own session, its output appended to `log`.

    `pid_changed` is called whenever there is a new pid, `report` with a line about every
    unexpected exit.
    """

    def __init__(
        self, command: Command, log: Path, *, pid_changed: Callable[[], None], report: Report
    ) -> None:
        self.command = command
        self.log = log
        self.unexpected_exits = 0
        self._pid_changed = pid_changed
        self._report = report
        self._backoff = Backoff()
        self._stop = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._supervision: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Return the pid of the current process, or of the last one before a restart."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the process; call once, from the main thread's event loop."""
        self._supervision = asyncio.create_task(
            self._supervise(), name=f"supervise {self.command.name}"
        )

    async def stop(self, grace: float) -> bool:
        """Send SIGTERM, and SIGKILL after `grace` seconds; return whether SIGTERM was enough."""
        self._stop.set()
        if self._supervision is None:
            return True
        self._send(signal.SIGTERM)
        done, _ = await asyncio.wait([self._supervision], timeout=grace)
        if not done:
            self.kill()
            await asyncio.wait([self._supervision])
        return bool(done)

    def kill(self) -> None:
        """Stop with SIGKILL, without waiting."""
        self._stop.set()
        self._send(signal.SIGKILL)

    async def _supervise(self) -> None:
        while not self._stop.is_set():
            started = time.monotonic()
            exit_description = await self._run()
            if self._stop.is_set():
                return
            self.unexpected_exits += 1
            delay = self._backoff.next_delay(time.monotonic() - started)
            self._report(f"{self.command.name} {exit_description}; restarting in {delay:g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), delay)

    async def _run(self) -> str:
        """Run the command once until it exits; return how it ended."""
        try:
            process = await self._spawn()
        except OSError as error:
            return f"cannot be started ({error.strerror})"
        self._process = process
        self._pid_changed()
        if self._stop.is_set():
            # Stopped while the process was being created.
            self._send(signal.SIGTERM)
        return _describe_exit(await process.wait())

    async def _spawn(self) -> asyncio.subprocess.Process:
        argv = (sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), *self.command.argv)
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                env=dict(self.command.env),
                # Only the supervisor receives Ctrl-C in the terminal.
                start_new_session=True,
            )
        finally:
            os.close(descriptor)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)


def _describe_exit(status: int) -> str:
    if status >= 0:
        return f"exited with code {status}"
    try:
        return f"was terminated by {signal.Signals(-status).name}"
    except ValueError:
        return f"was terminated by signal {-status}"
