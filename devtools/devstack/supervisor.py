"""Supervisor of a stack's processes: start, restart, and stop in a given order."""

from collections.abc import Callable, Sequence

from devtools.devstack.data_dir import Layout
from devtools.devstack.errors import DevStackError
from devtools.devstack.process import Command, Process, Report

# A little more than the worker's grace period for PSP calls in flight.
GRACE_SECONDS = 12.0
MAX_EXITS_AT_START = 3
_LOG_TAIL_LINES = 15


class Supervisor:
    """Supervises every process it starts. `pids_changed` is called whenever one is replaced."""

    def __init__(self, layout: Layout, *, report: Report, pids_changed: Callable[[], None]) -> None:
        self._layout = layout
        self._report = report
        self._pids_changed = pids_changed
        self._processes: dict[str, Process] = {}
        self._immediate = False

    def start(self, command: Command) -> None:
        """Start `command` and keep it running."""
        process = Process(
            command,
            self._layout.log(command.name),
            pid_changed=self._pids_changed,
            report=self._report,
        )
        self._processes[command.name] = process
        process.start()

    def pids(self) -> dict[str, int]:
        """Return the pid of every started process by name."""
        pids = {name: process.pid for name, process in self._processes.items()}
        return {name: pid for name, pid in pids.items() if pid is not None}

    def require_alive(self) -> None:
        """Raise `DevStackError` with the end of its log if a process keeps exiting."""
        for name, process in self._processes.items():
            if process.unexpected_exits >= MAX_EXITS_AT_START:
                raise DevStackError(
                    f"{name} does not start. End of {process.log}:\n{_log_tail(process)}"
                )

    async def stop(self, order: Sequence[str], grace: float = GRACE_SECONDS) -> None:
        """Stop the named processes one after the other, then all others."""
        unordered = [name for name in self._processes if name not in order]
        for name in [*order, *unordered]:
            process = self._processes.get(name)
            if process is None:
                continue
            if not await process.stop(0 if self._immediate else grace) and not self._immediate:
                self._report(f"{name} did not stop within {grace:g} s and was killed")

    def stop_immediately(self) -> None:
        """Kill all processes; a `stop` in progress then ends without waiting."""
        self._immediate = True
        for process in self._processes.values():
            process.kill()


def _log_tail(process: Process) -> str:
    try:
        lines = process.log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return "(empty)"
    return "\n".join(lines[-_LOG_TAIL_LINES:])
