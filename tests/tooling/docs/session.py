"""Execute the commands of a document in order, in one shell session."""

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from integrator.cli import main as cli
from tests.support.paths import ROOT
from tests.tooling.docs.classified import EXPECTED_EXIT_CODES
from tests.tooling.docs.shell import Command

# Here, unlike for a reader, an HTTP error must fail the command.
_PRELUDE = f"""
curl() {{ command curl --fail-with-body --max-time 30 "$@"; }}
integrator() {{ PYTHONPATH='{ROOT}' '{sys.executable}' -m integrator.cli "$@"; }}
"""
_SECONDS = 60


@dataclass(frozen=True)
class CommandResult:
    """Command, exit code and output."""

    command: Command
    code: int
    output: str

    @property
    def error(self) -> str | None:
        """Return a message if the exit code is not the expected one."""
        expected = next(
            (
                code
                for prefix, code in EXPECTED_EXIT_CODES.items()
                if self.command.text.startswith(prefix)
            ),
            0,
        )
        if self.code == expected:
            return None
        return f"{self.command.place}: exit code {self.code}\n{self.command.text}\n{self.output}"


def substitute(text: str, words: Mapping[str, str]) -> str:
    """Return the text with the document's placeholders replaced by the stack's values."""
    for placeholder, value in words.items():
        pattern = r"(?<![A-Za-z_$]){}(?![A-Za-z_=])" if placeholder.isupper() else "{}"
        text = value.join(re.split(pattern.format(re.escape(placeholder)), text))
    return text


def run_in_bash(
    commands: Sequence[Command], words: Mapping[str, str], env: Mapping[str, str], folder: Path
) -> list[CommandResult]:
    """Run all commands in one shell, so that variables and functions persist."""
    script, outputs = [_PRELUDE], [folder / f"{number}.out" for number in range(len(commands))]
    for command, output in zip(commands, outputs, strict=True):
        text = substitute(command.text, words)
        # Braces instead of a subshell: later commands use the variables set here.
        script.append(f"{{\n{text}\n}} > '{output}' 2>&1\necho $? > '{output}.code'")
    process = subprocess.run(
        ["bash", "-s"],
        input="\n".join(script),
        cwd=folder,
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert not process.stderr, process.stderr
    return [
        CommandResult(command, int(Path(f"{output}.code").read_text()), output.read_text())
        for command, output in zip(commands, outputs, strict=True)
    ]


def run_integrator(
    words: Sequence[str], command: Command, values: Mapping[str, str]
) -> CommandResult:
    """Run `integrator` in this process, which is faster than starting another.

    Prompts are answered with yes.
    """
    arguments = [substitute(word, values) for word in words[1:]]
    result = CliRunner().invoke(cli.app, arguments, input="y\n")
    return CommandResult(command, result.exit_code, result.output)
