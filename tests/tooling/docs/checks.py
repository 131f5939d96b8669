"""Checks of commands that do not execute them. Each raises AssertionError."""

import importlib.util
import re
import subprocess
from collections.abc import Callable, Sequence
from functools import cache
from itertools import dropwhile, pairwise
from typing import Any

import pytest
import typer

from integrator.cli import main as cli
from tests.support.compose import MISSING, compose_command
from tests.support.paths import ROOT
from tests.support.temporal import temporal_binary

Check = Callable[[Sequence[str]], None]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = frozenset(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def accept_any(words: Sequence[str]) -> None:
    """Accept any arguments; only the shell syntax is checked."""


def make(words: Sequence[str]) -> None:
    """Check that the targets exist."""
    targets = [word for word in words[1:] if re.fullmatch(r"[a-z-]+", word)]
    assert targets, "name a target"
    assert set(targets) <= TARGETS, f"unknown targets {set(targets) - TARGETS}; see `make help`"


def python(words: Sequence[str]) -> None:
    """Check that the module of `-m` exists."""
    if "-m" in words:
        module = words[words.index("-m") + 1]
        assert importlib.util.find_spec(module) is not None, f"module {module} does not exist"


def integrator(words: Sequence[str]) -> None:
    """Check that `integrator` accepts the arguments."""
    path, arguments, command = resolve_command(words)
    try:
        command.make_context(" ".join(path), list(arguments))
    except Exception as error:  # noqa: BLE001 - the classes of the command line are private
        raise AssertionError(f"`integrator` rejects the arguments: {error}") from None


def resolve_command(words: Sequence[str]) -> tuple[tuple[str, ...], list[str], Any]:
    """Return the sub-command's path, its arguments, and the sub-command."""
    command: Any = typer.main.get_command(cli.app)
    path: list[str] = []
    remaining = list(words[1:])
    while hasattr(command, "commands"):
        name = remaining.pop(0) if remaining else ""
        assert name in command.commands, f"`integrator` has no sub-command {[*path, name]}"
        command = command.commands[name]
        path.append(name)
    return tuple(path), remaining, command


def subcommands() -> dict[tuple[str, ...], Any]:
    """Return all sub-commands and groups by their path."""
    commands: dict[tuple[str, ...], Any] = {}

    def walk(path: tuple[str, ...], command: Any) -> None:
        commands[path] = command
        for name, subcommand in getattr(command, "commands", {}).items():
            walk((*path, name), subcommand)

    walk((), typer.main.get_command(cli.app))
    return commands


def compose(words: Sequence[str]) -> None:
    """Check the files together, the names of services, and commands run in them."""
    words = words[2:]
    files = tuple(following for word, following in pairwise(words) if word == "-f")
    services = _services(files or ("docker-compose.yml",))
    if "run" in words or "exec" in words:
        action = next(word for word in words if word in ("run", "exec"))
        after_action = words[words.index(action) + 1 :]
        following = list(dropwhile(lambda word: word.startswith("-"), after_action))
        assert following[0] in services, f"unknown service {following[0]}"
        check_integrator_call(following)


def kubectl(words: Sequence[str]) -> None:
    """Check the command that is run in a pod."""
    if "--" in words:
        check_integrator_call(words[words.index("--") :])


def check_integrator_call(words: Sequence[str]) -> None:
    """Check a call of `integrator` that follows the name of a service or `--`."""
    if words[1:2] == ["integrator"]:
        integrator(words[1:])


def docker(words: Sequence[str]) -> None:
    """Check `docker compose`; accept any other sub-command."""
    if words[1] == "compose":
        compose(words)


def script(words: Sequence[str]) -> None:
    """Check the syntax of a shell script."""
    result = subprocess.run(
        ["bash", "-n", words[0]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def temporal(words: Sequence[str]) -> None:
    """Check sub-command and options with `--help`, which parses them and does nothing."""
    result = subprocess.run(
        [temporal_binary(), *words[1:], "--help"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    usage = re.search(r"^Usage:\n +(temporal.*)", result.stdout, re.MULTILINE)
    # For an unknown sub-command, the parent's usage is printed.
    assert usage is not None
    assert "[command]" not in usage[1], f"{words} is not a sub-command"


@cache
def _services(files: tuple[str, ...]) -> frozenset[str]:
    program = compose_command()
    if program is None:
        pytest.skip(MISSING)
    file_options = [argument for file in files for argument in ("-f", file)]
    settings = ["--project-directory", ".", "--env-file", "deploy/.env.example"]
    profiles = ["--profile", "*"]
    result = subprocess.run(
        [*program, *settings, *profiles, *file_options, "config", "--services"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return frozenset(result.stdout.split())
