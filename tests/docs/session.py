"""The commands of a document, carried out in its order as if one person entered them all."""

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from integrator.cli import main as cli
from tests.docs.classified import ENDS_OTHERWISE
from tests.docs.pages import ROOT
from tests.docs.shell import Command

# An HTTP error is a failure of the command, unlike for a person who reads it.
_PRELUDE = f"""
curl() {{ command curl --fail-with-body --max-time 30 "$@"; }}
integrator() {{ PYTHONPATH='{ROOT}' '{sys.executable}' -m integrator.cli "$@"; }}
"""
_SECONDS = 60


@dataclass(frozen=True)
class Done:
    """A command, its exit code, and what it wrote."""

    command: Command
    code: int
    output: str

    @property
    def complaint(self) -> str | None:
        """Why this is not what the document promises."""
        wanted = next(
            (code for begin, code in ENDS_OTHERWISE.items() if self.command.text.startswith(begin)),
            0,
        )
        if self.code == wanted:
            return None
        return f"{self.command.place}: exit code {self.code}\n{self.command.text}\n{self.output}"


def filled_in(text: str, words: Mapping[str, str]) -> str:
    """The text with the stack's own values in the places of the document's examples."""
    for shown, own in words.items():
        whole = r"(?<![A-Za-z_$]){}(?![A-Za-z_=])" if shown.isupper() else "{}"
        text = own.join(re.split(whole.format(re.escape(shown)), text))
    return text


def in_bash(
    commands: Sequence[Command], words: Mapping[str, str], env: Mapping[str, str], folder: Path
) -> list[Done]:
    """All commands in one shell, so that variables and functions live on."""
    script, outputs = [_PRELUDE], [folder / f"{number}.out" for number in range(len(commands))]
    for command, output in zip(commands, outputs, strict=True):
        text = filled_in(command.text, words)
        # Braces and not a subshell: what is set here is used further down.
        script.append(f"{{\n{text}\n}} > '{output}' 2>&1\necho $? > '{output}.code'")
    ended = subprocess.run(
        ["bash", "-s"],
        input="\n".join(script),
        cwd=folder,
        env=dict(env),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert not ended.stderr, ended.stderr
    return [
        Done(command, int(Path(f"{output}.code").read_text()), output.read_text())
        for command, output in zip(commands, outputs, strict=True)
    ]


def integrator(words: Sequence[str], command: Command, given: Mapping[str, str]) -> Done:
    """One call of `integrator`, in this process: starting one takes longer than the call.

    Questions are answered with yes.
    """
    arguments = [filled_in(word, given) for word in words[1:]]
    result = CliRunner().invoke(cli.app, arguments, input="y\n")
    return Done(command, result.exit_code, result.output)
