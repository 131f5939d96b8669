"""The processes of a stack: started one by one, kept running, stopped in a given order."""

from collections.abc import Callable, Sequence

from devtools.devstack.data_dir import Layout
from devtools.devstack.errors import DevStackError
from devtools.devstack.process import Command, Process, Report

# A little more than the worker gives its PSP calls in flight.
GRACE_SECONDS = 12.0
DEATHS_AT_START = 3
_LAST_LINES = 15


class Supervisor:
    """Owns every process it starts. `pids_changed` is called whenever one of them is replaced."""

    def __init__(self, layout: Layout, *, report: Report, pids_changed: Callable[[], None]) -> None:
        self._layout = layout
        self._report = report
        self._pids_changed = pids_changed
        self._processes: dict[str, Process] = {}
        self._hurried = False

    def start(self, command: Command) -> None:
        """Run `command` from now on."""
        process = Process(
            command,
            self._layout.log(command.name),
            changed=self._pids_changed,
            report=self._report,
        )
        self._processes[command.name] = process
        process.start()

    def pids(self) -> dict[str, int]:
        """Name to pid of everything that has been started."""
        found = {name: process.pid for name, process in self._processes.items()}
        return {name: pid for name, pid in found.items() if pid is not None}

    def require_alive(self) -> None:
        """Raise `DevStackError`, with the end of its log, for a process that dies again and again."""
        for name, process in self._processes.items():
            if process.deaths >= DEATHS_AT_START:
                raise DevStackError(
                    f"{name} does not start. The end of {process.log}:\n{_end(process)}"
                )

    async def stop(self, order: Sequence[str], grace: float = GRACE_SECONDS) -> None:
        """Stop the named processes one after the other, then whatever else was started."""
        rest = [name for name in self._processes if name not in order]
        for name in [*order, *rest]:
            process = self._processes.get(name)
            if process is None:
                continue
            if not await process.stop(0 if self._hurried else grace) and not self._hurried:
                self._report(f"{name} did not stop within {grace:g} s and was killed")

    def hurry(self) -> None:
        """Stop everything at once; a `stop` under way comes to its end."""
        self._hurried = True
        for process in self._processes.values():
            process.kill()


def _end(process: Process) -> str:
    try:
        lines = process.log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return "(it wrote nothing)"
    return "\n".join(lines[-_LAST_LINES:])
