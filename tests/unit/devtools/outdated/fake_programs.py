"""Programs with recorded outputs."""

from collections.abc import Mapping, Sequence

from devtools.outdated.programs import Completed


class FakePrograms:
    """Runs no program: returns the output recorded for the longest matching start of a command.

    A command without one is a program that is not installed.
    """

    def __init__(self, outputs: Mapping[str, Completed | str]) -> None:
        self._outputs = outputs
        self.commands: list[str] = []

    def __call__(self, command: Sequence[str]) -> Completed:
        line = " ".join(command)
        self.commands.append(line)
        for start in sorted(self._outputs, key=len, reverse=True):
            if line.startswith(start):
                output = self._outputs[start]
                return Completed(0, output, "") if isinstance(output, str) else output
        raise FileNotFoundError(command[0])
