"""What can be said of a command without carrying it out. Each check raises AssertionError."""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import typer

from integrator.cli import main as cli
from tests.docs.pages import ROOT
from tests.support.temporal import temporal_binary

Check = Callable[[Sequence[str]], None]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = frozenset(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def anything(words: Sequence[str]) -> None:
    """Nothing beyond the shell's own syntax."""


def make(words: Sequence[str]) -> None:
    """The targets exist."""
    targets = [word for word in words[1:] if re.fullmatch(r"[a-z-]+", word)]
    assert targets, "name a target"
    assert set(targets) <= TARGETS, f"`make help` knows no {set(targets) - TARGETS}"


def python(words: Sequence[str]) -> None:
    """A module that is started exists."""
    if "-m" in words:
        module = words[words.index("-m") + 1]
        assert importlib.util.find_spec(module) is not None, f"there is no module {module}"


def integrator(words: Sequence[str]) -> None:
    """The command line understands the arguments."""
    path, arguments, command = resolved(words)
    try:
        command.make_context(" ".join(path), list(arguments))
    except Exception as error:  # noqa: BLE001 - the classes of the command line are private
        raise AssertionError(f"`integrator` does not take this: {error}") from None


def resolved(words: Sequence[str]) -> tuple[tuple[str, ...], list[str], Any]:
    """The sub-command's path, its arguments, and the sub-command."""
    command: Any = typer.main.get_command(cli.app)
    path: list[str] = []
    rest = list(words[1:])
    while hasattr(command, "commands"):
        name = rest.pop(0) if rest else ""
        assert name in command.commands, f"`integrator` has no sub-command {[*path, name]}"
        command = command.commands[name]
        path.append(name)
    return tuple(path), rest, command


def sub_commands() -> dict[tuple[str, ...], Any]:
    """All sub-commands by their path; groups are among them."""
    found: dict[tuple[str, ...], Any] = {}

    def walk(path: tuple[str, ...], command: Any) -> None:
        found[path] = command
        for name, below in getattr(command, "commands", {}).items():
            walk((*path, name), below)

    walk((), typer.main.get_command(cli.app))
    return found


def compose(words: Sequence[str]) -> None:
    """The files are valid together, the services exist, and so does what is run in them."""
    words = words[1:] if words[0] == "docker-compose" else words[2:]
    files = tuple(after for word, after in pairwise(words) if word == "-f")
    services = _services(files or ("docker-compose.yml",))
    if "run" in words or "exec" in words:
        verb = next(word for word in words if word in ("run", "exec"))
        after = [word for word in words[words.index(verb) + 1 :] if not word.startswith("-")]
        assert after[0] in services, f"there is no service {after[0]}"
        inner(after)


def kubectl(words: Sequence[str]) -> None:
    """What is run in a pod is understood."""
    if "--" in words:
        inner(words[words.index("--") :])


def inner(words: Sequence[str]) -> None:
    """A call of `integrator` behind the service, or whatever it is run in, is understood."""
    if words[1:2] == ["integrator"]:
        integrator(words[1:])


def docker(words: Sequence[str]) -> None:
    """`docker compose` as `docker-compose`; of everything else only the syntax."""
    if words[1] == "compose":
        compose(words)


def script(words: Sequence[str]) -> None:
    """A script of ours that the shell understands."""
    done = subprocess.run(
        ["bash", "-n", words[0]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def temporal(words: Sequence[str]) -> None:
    """The sub-command exists and has the options: with `--help` it reads them and does nothing."""
    done = subprocess.run(
        [temporal_binary(), *words[1:], "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    usage = re.search(r"^Usage:\n +(temporal.*)", done.stdout, re.MULTILINE)
    # What is no sub-command makes its parent show what it has.
    assert usage is not None
    assert "[command]" not in usage[1], f"{words} is no sub-command"


@cache
def _services(files: tuple[str, ...]) -> frozenset[str]:
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed")
    given = [argument for file in files for argument in ("-f", file)]
    settings = ["--project-directory", ".", "--env-file", "deploy/.env.example"]
    done = subprocess.run(
        [program, *settings, *given, "config", "--services"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return frozenset(done.stdout.split())
