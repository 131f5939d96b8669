"""One process that is started again whenever it dies, until it is told to stop."""

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

_CHILD = Path(__file__).with_name("parent_bound_exec.py")

Report = Callable[[str], None]


@dataclass(frozen=True)
class Command:
    """What to run under which name. The environment may hold secrets and is not shown."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)


class Process:
    """Keeps a command running in a session of its own, its output appended to `log`.

    `changed` is called whenever there is a new pid, `report` is told about deaths.
    """

    def __init__(
        self, command: Command, log: Path, *, changed: Callable[[], None], report: Report
    ) -> None:
        self.command = command
        self.log = log
        self.deaths = 0
        self._changed = changed
        self._report = report
        self._backoff = Backoff()
        self._stop = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The pid of the current process, or of the last one while the next is awaited."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Begin; must be called once, from the main thread's event loop."""
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.command.name}")

    async def stop(self, grace: float) -> bool:
        """SIGTERM, and SIGKILL after `grace` seconds; says whether the former was enough."""
        self._stop.set()
        if self._keeper is None:
            return True
        self._send(signal.SIGTERM)
        done, _ = await asyncio.wait([self._keeper], timeout=grace)
        if not done:
            self.kill()
            await asyncio.wait([self._keeper])
        return bool(done)

    def kill(self) -> None:
        """Stop at once, without asking."""
        self._stop.set()
        self._send(signal.SIGKILL)

    async def _keep(self) -> None:
        while not self._stop.is_set():
            started = time.monotonic()
            ending = await self._run()
            if self._stop.is_set():
                return
            self.deaths += 1
            delay = self._backoff.after(time.monotonic() - started)
            self._report(f"{self.command.name} {ending}; starting it again in {delay:g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), delay)

    async def _run(self) -> str:
        """Run the command once, to its end; says how it ended."""
        try:
            process = await self._spawn()
        except OSError as error:
            return f"cannot be started ({error.strerror})"
        self._process = process
        self._changed()
        if self._stop.is_set():
            # Told to stop while the process was being made.
            self._send(signal.SIGTERM)
        return _ending(await process.wait())

    async def _spawn(self) -> asyncio.subprocess.Process:
        argv = (sys.executable, "-I", "-S", str(_CHILD), str(os.getpid()), *self.command.argv)
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                env=dict(self.command.env),
                # Ctrl-C in the terminal is the supervisor's alone.
                start_new_session=True,
            )
        finally:
            os.close(descriptor)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)


def _ending(status: int) -> str:
    if status >= 0:
        return f"ended with code {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
