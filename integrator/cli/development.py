"""Commands `run` and `demo` of the development tools, which are a separate distribution."""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import cast

from integrator.operations import command_runner

GROUP = "integrator.commands"
"""The entry-point group by which an installed distribution provides commands."""


def run() -> None:
    """Run everything on this machine until Ctrl-C: Temporal, sandbox PSP, worker and API."""
    _development_command("run")()


def demo() -> None:
    """Run a demo of one customer's payments against the running stack, or start one for it."""
    _development_command("demo")()


def _development_command(name: str) -> Callable[[], None]:
    """Load the development tools' command; exit if they are not installed."""
    provided = entry_points(group=GROUP, name=name)
    if not provided:
        command_runner.fail(
            f"`integrator {name}` is a development tool and not part of this installation. In a "
            f"checkout of the repository, `make {name}` installs and starts it; into this "
            "environment, `pip install --no-deps ./devtools` installs it from the checkout."
        )
    return cast(Callable[[], None], next(iter(provided)).load())
